"""How stable what a search finds is: the same search on prompts that are drawn again from those it saw."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.base.progress import progress
from mechcheck.circuits.edge_scores import EdgeScores
from mechcheck.circuits.edge_search import FoundEdges
from mechcheck.circuits.evaluation import Cut
from mechcheck.circuits.ordering import ordered
from mechcheck.notation.circuit import Stability
from mechcheck.notation.graph import Graph
from mechcheck.stats.resample import drawn_again

By = Literal["prompts", "templates"]


def edge_stability(
    scores: EdgeScores, size: int, *, assemble: Literal["greedy", "top"] = "greedy", resamples: int = 200, by: By = "prompts", seed: int = 0
) -> Stability:
    """How far edge scores propose the same circuit on prompts that are drawn again, with replacement (arXiv:2510.00845).

    Scores are means over prompts, so that nothing is run again: each resample's are means of the same values.

    Args:
        scores: of each edge, one value per prompt.
        size: edges of each circuit.
        assemble: how scores make a circuit, as in `faithfulness_curve`.
        resamples: how often prompts are drawn again; 3 or more.
        by: what is drawn: prompts, as in the literature, or whole templates, which also tells how far other templates would find the same.
        seed: of the draws.

    Raises:
        MechcheckError: too few resamples, or a size that the graph has not.
    """
    _check(scores.graph, size, resamples)
    weights = _weights(scores.templates, by, resamples, seed)
    values = scores.values.reshape(len(scores.ids), -1)
    real = scores.graph.real.numpy().ravel()
    means = np.full((resamples, real.size), np.nan)
    means[:, real] = weights @ values[:, real] / len(scores.ids)
    found = np.zeros((resamples, real.size), dtype=bool)
    for draw, mean in enumerate(means):
        found[draw, ordered(scores.graph, mean.reshape(scores.graph.real.shape), assemble)[:size]] = True
    return _stability(scores.graph, size, found)


@usual_torch()
def search_stability(
    cut: Cut, search: Callable[[Cut], FoundEdges], size: int, *, resamples: int = 20, by: By = "prompts", seed: int = 0
) -> Stability:
    """How far a search finds the same circuit on prompts that are drawn again, with replacement: it is run on each resample.

    A prompt that was drawn twice counts twice. What cut edges carry is each prompt's own as it was on all prompts, so that nothing but the
    choice of prompts changes.

    Args:
        cut: the model, the prompts, the metric and what cut edges carry.
        search: `prune_edges`, `acdc`, or any other function of a cut that returns its edges in order.
        size, resamples, by, seed: as in `edge_stability`; a resample costs as much as the search.

    Raises:
        MechcheckError: too few resamples, or a size that the graph has not.
    """
    whole = cut.graph
    _check(whole, size, resamples)
    found = np.zeros((resamples, whole.real.numel()), dtype=bool)
    with progress(resamples, "resamples") as bar:
        for draw, counts in enumerate(_weights(cut.prompts.templates, by, resamples, seed)):
            rows = np.repeat(np.arange(len(cut.prompts)), counts.astype(int)).tolist()
            found[draw] = search(cut.on(rows)).mask(size).flatten().numpy()
            bar.update(1)
    return _stability(whole, size, found)


def _weights(templates: tuple[str, ...], by: By, resamples: int, seed: int) -> Float[np.ndarray, "draw prompt"]:
    """How often each prompt counts in each resample, as a share of how often it would."""
    if by not in ("prompts", "templates"):
        raise MechcheckError(f'unknown by={by!r}; choose "prompts" or "templates"')
    return drawn_again(templates if by == "templates" else ("all",) * len(templates), resamples, seed)


def _check(whole: Graph, size: int, resamples: int) -> None:
    if not 0 < size <= len(whole):
        raise MechcheckError(f"the graph has {len(whole)} edges, so there is no circuit of {size}")
    if resamples < 3:
        raise MechcheckError(f"resamples={resamples}: at least 3, so that their pairs have a spread")


def _stability(whole: Graph, size: int, found: Bool[np.ndarray, "draw edge"]) -> Stability:
    n, members = len(found), found.astype(np.float64)
    shared = members @ members.T
    counts = members.sum(1)
    every = counts[:, None] + counts - shared
    similar = shared / every
    pairs = similar[np.triu_indices(n, 1)]
    mean = float(pairs.mean())
    # Pairs share resamples, so the spread of their mean is that of leaving out one resample at a time (the jackknife).
    own = similar.sum(1) - 1
    without = (own.sum() - 2 * own) / ((n - 1) * (n - 2))
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    low, middle, high = np.quantile(pairs, [0.05, 0.5, 0.95])
    inclusion = found.mean(0)
    width = len(whole.senders)
    return Stability(
        size,
        n,
        mean,
        (max(0.0, mean - 1.96 * error), min(1.0, mean + 1.96 * error)),
        (float(low), float(middle), float(high)),
        {str(whole.edge(*divmod(int(at), width))): float(inclusion[at]) for at in np.flatnonzero(inclusion)},
    )
