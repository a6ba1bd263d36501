"""Edges that can matter: exact effects by several interventions, in the whole model and in the model without some of its parts."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.base.text import did_you_mean
from mechcheck.circuits.edge_scores import carried
from mechcheck.circuits.edge_search import FoundEdges
from mechcheck.circuits.evaluation import Cut
from mechcheck.circuits.ordering import by_size
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.graphs.lesions import sweep_without, writes
from mechcheck.notation.edges import INPUT, one_edge
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Intervention, Permute
from mechcheck.notation.metrics import Metric, as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.arrays import check_finite

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Change = Literal["counterfactual", "zero", "mean", "resample", "permute"]
CHANGES: tuple[Change, ...] = ("counterfactual", "zero", "resample", "permute")
_FAINT = 0.01  # of the largest effect: parts that never do more are not taken out together with others
_CONFIDENCE = 0.95
_PARTS = 32  # up to so many are taken out one by one, where nobody says which
_ORDERS = 4  # in which positions are exchanged, as what a mark does may depend on where it comes to stand


class Context(NamedTuple):
    """One intervention on every edge, in the model without some of its parts."""

    without: Sites
    """The heads and MLPs that say nothing."""
    instead: Change
    """What each edge carries, one at a time."""
    effects: Float[np.ndarray, "receiver sender"]
    """By how much the metric moves in the mean, up or down."""
    bounds: Float[np.ndarray, "receiver sender"]
    """The same, held down by how few prompts it was seen on (`lower_mean`)."""


@dataclass(frozen=True, eq=False)
class EdgesInContexts(FoundEdges):
    """Edges by the largest effect that each of them has in any context; `scores` are lower bounds of that."""

    contexts: tuple[Context, ...] = field(default=(), kw_only=True)
    """All that was tried."""

    def told_by(self, edge: str | Site) -> tuple[float, Context]:
        """An edge's score, and the context that it comes from."""
        at = tuple(self.graph.mask([one_edge(edge)]).nonzero()[0].tolist())
        best = max(self.contexts, key=lambda context: context.bounds[at])
        return float(best.bounds[at]), best


@usual_torch()
def find_edges(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    instead: Sequence[Change] = CHANGES,
    source: PromptSet | None = None,
    metric: Metric = logit_diff,
    lesions: Sites | None = None,
    together: int = 2,
    executor: Executor | None = None,
) -> EdgesInContexts:
    """The edges that matter in some context: each by the largest exact effect that any intervention on it has in any of them.

    An edge that a backup stands in for, that one of two alike would suffice for, or that is asleep, changes nothing in the whole model;
    and what it says may be the same on the counterfactual, as is a position, or a mark that each prompt has. So each edge is changed

    - by several interventions: to what its sender says on the counterfactual, to nothing, to what it says on other prompts, to what it
      says at other positions of the same prompt (`Permute`). The input is never changed to nothing, which no token's embedding is, and
      by which the norms of all that read it would divide by next to nothing;
    - in several contexts: in the whole model, in the model without each of its heads and MLPs (zero ablation), and in the model without
      each two (or more, `together`) of those that have been seen to matter, where some part matters that did not in the contexts before.

    A context is a model of its own: what is put in is what the sender says there. An effect is how far the metric moves, up or down: the
    mean over prompts, held down by how few they are (`lower_mean`), so that of many noisy effects the noisiest is not the largest.

    The cost: about edges x interventions x (1 + nodes) exact runs, each of what an edge can change, and of "permute" four times as many;
    for models of a few layers, or with `lesions`. Which edges make do by themselves as things stand is for `prune_edges` to say.

    Args:
        model, prompts: as in `run`; what is found is to be verified on other prompts.
        instead: the interventions; "mean" too.
        source: what "counterfactual" and the ablations take the other values from; by default as in `edge_scores`.
        metric: one value per prompt.
        lesions: the heads and MLPs that are taken out; all by default, none for the whole model alone.
        together: how many of them at once, at most.
        executor: shares the batches of each sweep out, as in `sweep`.

    Raises:
        MechcheckError: an unknown intervention, or a metric that keeps each position.
        PromptError: no prompts to take the other values from.
        SiteError: an encoder, or parts that are no heads and no MLPs.
        NonFiniteError: a metric that is NaN or infinite.
    """
    metric = as_metric(metric)
    _check(instead, metric, together)
    whole = graph(model)
    nodes = [site for site in whole.senders if site != INPUT]
    search = _Search(model, prompts, whole, nodes, metric, {how: _changes(how, prompts, source) for how in instead}, executor)
    known = arithmetic_of(model)
    out = [node for node in (nodes if lesions is None else lesions) if writes(known, node)]
    for silent in [(), *((node,) for node in out)][: 1 + together * len(out)]:
        search.sweep(silent)
    for size in range(2, together + 1):
        mattered = search.mattered(out)
        for silent in combinations(mattered, size):
            if search.is_new(silent):
                search.sweep(silent)
    return search.found()


def in_contexts(cut: Cut) -> EdgesInContexts:
    """`find_edges` on what a cut measures: in all contexts of a model of few parts, of a larger one as it stands.

    With 32 parts or fewer that is edges x 7 x (1 + parts) runs, and more for two that are gone at once; else edges x 7.
    """
    known = cut.prompts.counterfactual is not None or (cut.instead == "counterfactual" and cut.source is not None)
    instead = CHANGES if known else tuple(how for how in CHANGES if how != "counterfactual")
    source = cut.source if cut.instead == "counterfactual" else None
    few = len(cut.graph.senders) <= _PARTS
    return find_edges(
        cut.model, cut.prompts, instead=instead, source=source, metric=cut.metric, together=2 if few else 0, executor=cut.executor
    )


def _check(instead: Sequence[str], metric: Metric, together: int) -> None:
    known = (*CHANGES, "mean")
    unknown = [how for how in instead if how not in known]
    if unknown or not instead:
        asked = repr(unknown[0]) if unknown else "none"
        hint = did_you_mean(unknown[0], known) if unknown else ""
        raise MechcheckError(f"unknown intervention {asked}; choose some of {', '.join(known)}{hint}")
    if metric.each:
        raise MechcheckError(f"{metric.name!r} has a value for each position; an edge's effect is one per prompt: use metric.over(...)")
    if together < 0:
        raise MechcheckError(f"together={together}: 0 parts are taken out, or more")


def _changes(how: Change, prompts: PromptSet, source: PromptSet | None) -> list[Callable[[Sites], Intervention]]:
    """The interventions, over which an effect is averaged."""
    if how == "permute":
        return [partial(Permute, seed=seed) for seed in range(_ORDERS)]
    return [partial(carried, instead=how, prompts=prompts, source=source)]


def lower_mean(sizes: Float[np.ndarray, "... prompt"]) -> Float[np.ndarray, "..."]:
    """A mean of sizes, held down by how few there are: what the prompts at hand vouch for.

    The mean of what is never below 0 is the area below the share of prompts on which it is larger than each size. In place of the share
    that was seen stands its lower bound at 95% confidence (Clopper and Pearson 1934): on 8 prompts .69 for all of them, .006 for one. It
    is above 0 wherever anything was seen, and small where that was rare.
    """
    n = sizes.shape[-1]
    share = scipy.special.betaincinv(np.arange(n, 0, -1), np.arange(1, n + 1), 1 - _CONFIDENCE)  # of n, n - 1, ... 1 prompts of n
    return (np.diff(np.sort(sizes, axis=-1), prepend=0.0, axis=-1) * share).sum(-1)


@dataclass(eq=False)
class _Search:
    """What was found so far."""

    model: "TransformerBridge"
    prompts: PromptSet
    graph: Graph
    nodes: Sequence[Site]
    metric: Metric
    changes: Mapping[Change, Sequence[Callable[[Sites], Intervention]]]
    executor: Executor | None
    contexts: list[Context] = field(default_factory=list)
    by_node: dict[tuple[Site, ...], Float[np.ndarray, " node"]] = field(default_factory=dict)
    """Parts that are gone -> the largest effect of each node there."""

    def sweep(self, silent: tuple[Site, ...]) -> None:
        """Every edge under every intervention, without these parts."""
        real = self.graph.real.numpy()
        for how in self.changes:
            moved = self._moved(silent, how, self.graph.in_order)
            both = np.zeros((2, *real.shape))
            both[:, real] = moved.mean(1), lower_mean(moved)
            self.contexts.append(Context(Sites(silent), how, *both))

    def nodes_without(self, silent: tuple[Site, ...]) -> Float[np.ndarray, " node"]:
        """The largest effect of each node there, all that it says changed at once."""
        if silent not in self.by_node:
            self.by_node[silent] = np.max([lower_mean(self._moved(silent, how, self.nodes)) for how in self.changes], axis=0)
        return self.by_node[silent]

    def _moved(self, silent: tuple[Site, ...], how: Change, sites: Sequence[Site]) -> Float[np.ndarray, "site prompt"]:
        """How far the metric moves when each site says something else."""
        run = np.array([not (how == "zero" and site.kind == INPUT.kind) and replace(site, to=None) not in silent for site in sites])
        asked = [site for site, wanted in zip(sites, run, strict=True) if wanted]
        moved = np.zeros((len(sites), len(self.prompts)))
        for change in self.changes[how]:
            (values,) = sweep_without(self.model, self.prompts, Sites(silent), change, asked, [self.metric], self.executor)
            check_finite(values, self.prompts.ids, f"{self.metric.name} with an edge changed")
            moved[run] += np.abs(values[1:] - values[0]) / len(self.changes[how])
        return moved

    @property
    def scores(self) -> Float[np.ndarray, "receiver sender"]:
        """The largest bound of each edge."""
        return np.max([context.bounds for context in self.contexts], axis=0)

    def mattered(self, among: Sequence[Site]) -> list[Site]:
        """The nodes one of whose edges has had more than a faint effect."""
        scores = self.scores.max(0)
        largest = scores.max()
        of = dict(zip(self.graph.senders, scores, strict=True))
        return [node for node in among if of[node] > _FAINT * largest]

    def is_new(self, silent: tuple[Site, ...]) -> bool:
        """Whether some node matters without these parts that did not without any fewer of them."""
        there = self.nodes_without(silent)
        fewer = [self.nodes_without(some) for size in range(len(silent)) for some in combinations(silent, size)]
        return bool((there > np.max(fewer, axis=0) + _FAINT * self.scores.max()).any())

    def found(self) -> EdgesInContexts:
        """The result."""
        scores = self.scores
        order = tuple(by_size(self.graph, scores))
        seen = frozenset(self.prompts.ids)
        return EdgesInContexts(self.graph, order, "contexts", (), seen, scores=scores, contexts=tuple(self.contexts))
