"""Edges of a circuit by any method: searched for, cut to a size, and searched for again on prompts drawn again."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np

from mechcheck.base.errors import MechcheckError
from mechcheck.base.text import did_you_mean
from mechcheck.circuits.edge_contexts import in_contexts
from mechcheck.circuits.edge_methods import acdc, edge_pruning, information_flow
from mechcheck.circuits.edge_scores import METHODS, EdgeScores, edge_scores
from mechcheck.circuits.edge_search import FoundEdges, prune_edges
from mechcheck.circuits.evaluation import Cut, faithfulness_curve
from mechcheck.circuits.ordering import ordered
from mechcheck.circuits.stability import By, edge_stability, search_stability
from mechcheck.notation.circuit import EdgeRecord, Stability
from mechcheck.notation.metrics import as_metric
from mechcheck.notation.sites import Sites
from mechcheck.stats.measurement import Measurement

Discovery = Literal[
    "prune", "exact", "eap", "eap-ig-inputs", "eap-ig-activations", "relp", "acdc", "edge-pruning", "information-flow",
    "contexts",
]  # fmt: skip
_SEARCHES: Mapping[str, Callable[[Cut], FoundEdges]] = {
    "prune": prune_edges, "acdc": acdc, "edge-pruning": edge_pruning, "information-flow": information_flow,
    "contexts": in_contexts,
}  # fmt: skip
_RESAMPLES = {"contexts": 0}
FAITHFUL = 0.9
"""How faithful a circuit is at least where nothing else is asked for, and by as much at most above 1."""
# Sizes that are measured: all of a small graph; of a large one so many, each by the same factor above the one before.
_SIZES = 400
_AT_ONCE = 32


class Discovered(NamedTuple):
    """Edges that were found, and all that is known of them from the prompts that the search saw."""

    edges: Sites
    found: FoundEdges
    """Circuits of every size, the trace, and the prompts that were seen."""
    record: EdgeRecord
    """For the circuit's file: scores, faithfulness, CMD and stability."""
    scores: EdgeScores | None
    """Of a method that scores edges, all scores, one value per prompt."""


def ranked(scores: EdgeScores, assemble: Literal["greedy", "top"] = "greedy") -> FoundEdges:
    """The circuits of every size that edge scores propose."""
    return FoundEdges(scores.graph, tuple(ordered(scores.graph, scores.mean, assemble)), scores.method, (), frozenset(scores.ids))


def discover_edges(
    cut: Cut, method: Discovery = "prune", *, size: int | None = None, faithful: float | None = None, resamples: int | None = None,
    by: By = "prompts", seed: int = 0,
) -> Discovered:  # fmt: skip
    """Search for a circuit's edges, of a size or as few as are faithful, and say how stable the search is.

    Edge scores ("exact", "eap", "eap-ig-inputs", "eap-ig-activations", "relp") are assembled from the logits up; the searches are those of
    `prune_edges`, `acdc`, `edge_pruning` and `information_flow` with what they do by default, and of `find_edges` ("contexts"), which takes
    out parts of models of 32 parts at most, and of larger ones looks at the whole model alone.

    Args:
        cut: the model, the discovery prompts, the metric and what cut edges carry; its executor shares the runs out.
        method: as above.
        size: how many edges; in place of `faithful`.
        faithful: take the smallest circuit from which on all larger ones are at least so faithful, and above 1 by as little (0.9: between
            0.9 and 1.1), on these prompts; 0.9 by default. Graphs of more than 400 edges are measured at 400 sizes.
        resamples, by, seed: of the stability, see `edge_stability` and `search_stability`: 200 by default for scores and 20 for a search,
            each of which costs as much as the search; none by default for "contexts", which costs most; 0 for none.

    Raises:
        MechcheckError: an unknown method; a size that the graph has not; a share that is none; both of them; prompts on which the metric is
            the same with every edge cut.
    """
    methods = get_args(Discovery)
    if method not in methods:
        raise MechcheckError(f"unknown method {method!r}; choose one of {', '.join(methods)}{did_you_mean(method, methods)}")
    if size is not None and faithful is not None:
        raise MechcheckError("a circuit is found at a size, or as small as it is faithful: give one of both")
    if not 0 < (FAITHFUL if faithful is None else faithful) < 1:
        raise MechcheckError(f"faithful={faithful}: a share between 0 and 1")
    if size is not None and not 0 < size <= len(cut.graph):
        raise MechcheckError(f"the graph has {len(cut.graph)} edges, so there is no circuit of {size}")
    none, full = cut.ends
    if not abs(full.mean() - none.mean()) > 1e-9:
        raise MechcheckError(
            f"with every edge cut {as_metric(cut.metric).name} is the same on these prompts, so nothing tells circuits apart"
        )
    scores = None
    if method in METHODS:
        scores = edge_scores(
            cut.model, cut.prompts, method, instead=cut.instead, source=cut.source, metric=cut.metric, executor=cut.executor
        )
        found = ranked(scores)
    else:
        found = _SEARCHES[method](cut)
    if size is None:
        size = smallest_faithful(cut, found, FAITHFUL if faithful is None else faithful)
    stability: Stability | None = None
    if resamples != 0:
        if scores is not None:
            stability = edge_stability(scores, size, resamples=200 if resamples is None else resamples, by=by, seed=seed)
        elif n := _RESAMPLES.get(method, 20) if resamples is None else resamples:
            stability = search_stability(cut, _SEARCHES[method], size, resamples=n, by=by, seed=seed)
    return Discovered(found.edges(size), found, _record(cut, method, found, scores, size, stability), scores)


def _record(cut: Cut, method: str, found: FoundEdges, scores: EdgeScores | None, size: int, stability: Stability | None) -> EdgeRecord:
    (kept,) = cut.values([found.mask(size)])
    _, full = cut.ends
    curve = faithfulness_curve(
        cut.model, cut.prompts, found, instead=cut.instead, source=cut.source, metric=cut.metric, executor=cut.executor
    )
    worth, whole = found.rank.numpy() if scores is None else scores.mean, cut.graph
    at = found.mask(size).nonzero().tolist()
    return EdgeRecord(
        method,
        cut.instead,
        as_metric(cut.metric).name,
        len(whole),
        _share(cut, kept).mean,
        float(abs((kept - full).mean())),
        curve.cmd,
        {str(whole.edge(row, column)): float(worth[row, column]) for row, column in at},
        stability,
        len(cut.prompts),
    )


def _share(cut: Cut, values: np.ndarray) -> Measurement:
    return cut.share(values, "faithfulness")


def smallest_faithful(cut: Cut, found: FoundEdges, faithful: float) -> int:
    """The size from which on all larger circuits are faithful: at least so much, and above 1 by as little.

    A smaller circuit may be as faithful by accident, on its way past 1, and is not taken.
    """
    every = len(found.graph)
    sizes = np.arange(1, every + 1) if every <= _SIZES else np.unique(np.geomspace(1, every, _SIZES).round().astype(int))
    smallest = every
    for start in range(len(sizes), 0, -_AT_ONCE):
        some = sizes[max(0, start - _AT_ONCE) : start][::-1].tolist()
        for size, values in zip(some, cut.values([found.mask(size) for size in some]), strict=True):
            # The share of all edges is 1 but for rounding; a share of nothing is none.
            if not abs(1 - _share(cut, values).mean) <= 1 - faithful + 1e-9:
                return smallest
            smallest = size
    return smallest
