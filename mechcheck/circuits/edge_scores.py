"""What each edge is worth: exactly, or by gradients, which are never returned without exact values beside them."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.base.text import did_you_mean
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.graphs.gradients import gradient_scores
from mechcheck.engine.graphs.senders import senders_of
from mechcheck.engine.run import sweep
from mechcheck.measures.figures.edges import edge_graph
from mechcheck.measures.figures.model import CircuitGraph
from mechcheck.notation.edges import one_edge
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import Metric, as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.arrays import check_finite
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Method = Literal["exact", "eap", "eap-ig-inputs", "eap-ig-activations", "relp"]
Instead = Literal["counterfactual", "zero", "mean", "resample"]
METHODS: tuple[Method, ...] = ("exact", "eap", "eap-ig-inputs", "eap-ig-activations", "relp")
STEPS = 5
"""Points between both ends that gradients are averaged over; Hanna et al. found 5 to be enough."""
SAMPLE = 48


class Beside(NamedTuple):
    """Estimates beside exact values: half of the edges are those of the largest estimates, half were drawn among the others."""

    edges: tuple[Site, ...]
    exact: Float[np.ndarray, " edge"]
    """Means over the prompts."""
    estimated: Float[np.ndarray, " edge"]
    rank_correlation: float
    """Spearman's, of both; NaN where one of them does not vary."""
    worst: Site
    """The edge whose estimate lies farthest off."""
    worst_error: float
    """By how much, in the metric's unit."""

    def __str__(self) -> str:
        return (
            f"rank correlation with exact values {self.rank_correlation:.2f}, worst error {self.worst_error:.3g} ({self.worst}), "
            f"over {len(self.edges)} edges"
        )


@dataclass(frozen=True, eq=False)
class EdgeScores(Pictured):
    """What the metric changes by when an edge carries something else: `scores["0.3->1.1.q"]` is a measurement, one value per prompt."""

    values: Float[np.ndarray, "prompt receiver sender"]
    """NaN where there is no edge."""
    graph: Graph
    """Names the receivers and the senders."""
    method: Method
    instead: str
    """What edges carried in place of what they do."""
    metric: str
    unit: str
    ids: tuple[str, ...]
    templates: tuple[str, ...]
    beside: Beside | None
    """Of estimates, exact values of some edges; None where all are exact."""

    def __getitem__(self, edge: str | Site) -> Measurement:
        site = one_edge(edge)
        mask = self.graph.mask([site])
        values = self.values[:, mask.numpy()][:, 0]
        return Measurement(values, self.ids, self.templates, f"{self.metric}, change along {site} ({self.method})", self.unit)

    @cached_property
    def mean(self) -> Float[np.ndarray, "receiver sender"]:
        """Over the prompts."""
        return self.values.mean(0)

    def top(self, n: int) -> Sites:
        """The n edges whose scores are largest in size; of equals the earlier."""
        if not 0 < n <= len(self.graph):
            raise MechcheckError(f"the graph has {len(self.graph)} edges, so there are no {n} largest")
        return self.graph.chosen(torch.from_numpy(self._largest(n)))

    def figure(self, title: str | None = None, n: int = 30) -> CircuitGraph:
        """The n largest as a graph, with their intervals; all, where there are fewer."""
        n = min(n, len(self.graph))
        return edge_graph(self.top(n), self, title=title or f"{self.metric}: the {n} largest of {len(self.graph)} edges ({self.method})")

    def _largest(self, n: int) -> Bool[np.ndarray, "receiver sender"]:
        size = np.where(np.isnan(self.mean), -np.inf, np.abs(self.mean)).ravel()
        chosen = np.zeros(size.shape, dtype=bool)
        chosen[np.argsort(-size, kind="stable")[:n]] = True
        return chosen.reshape(self.mean.shape)

    def __str__(self) -> str:
        checked = "" if self.beside is None else f"; {self.beside}"
        return f"{self.metric} by {len(self.graph)} edges, {self.method}, {self.instead}{checked}"


def edge_scores(
    model: "TransformerBridge",
    prompts: PromptSet,
    method: Method = "exact",
    *,
    instead: Instead = "counterfactual",
    source: PromptSet | None = None,
    metric: Metric = logit_diff,
    steps: int = STEPS,
    sample: int = SAMPLE,
    seed: int = 0,
    executor: Executor | None = None,
) -> EdgeScores:
    """What each edge of the model's graph is worth: the metric when it carries something else, less the metric when it does not.

    - "exact": one run for each edge, of what it can change.
    - "eap": edge attribution patching, to first order around the untouched run (Syed et al. 2023, arXiv:2310.10348).
    - "eap-ig-inputs": the same, with gradients averaged over inputs between the two (Hanna et al. 2024, arXiv:2403.17806).
    - "eap-ig-activations": averaged over activations between the two, part by part (the same authors; the gradients of all parts'
      runs are averaged for every edge).
    - "relp": as EAP, with rules of relevance propagation in place of gradients, where these see a slope that is not there a step away:
      norms divide by a constant, activation functions are lines through 0, and gates share what they multiply by halves (Jafari et al.
      2025, arXiv:2508.21258; their rule that makes attention patterns constants is left out, as it gives queries and keys nothing).

    Estimates come with exact values for a sample of edges, the rank correlation and the worst error. With grouped queries, keys and
    values are those of key/value heads.

    Args:
        model, prompts: as in `run`.
        method: as above.
        instead: what an edge carries: what the sender says on the counterfactual, nothing, its mean, or what it says on another prompt.
        source: the prompts that is taken from; by default the counterfactual, or the reference as for `Ablate`.
        metric: what is measured; one value per prompt.
        steps: points that gradients are averaged over.
        sample: edges whose exact values are computed beside estimates; 2 or more.
        seed: of that draw.
        executor: shares exact runs out, as in `sweep`; gradients are taken here.

    Raises:
        MechcheckError: an unknown method, or a metric that keeps each position.
        SiteError: an encoder, or an architecture whose arithmetic is not known.
        PromptError: no prompts to take the other values from.
        NonFiniteError: effects that are NaN or infinite, by which no two edges can be told apart.
    """
    if method not in METHODS:
        raise MechcheckError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}{did_you_mean(method, METHODS)}")
    if steps < 1 or sample < 2:
        raise MechcheckError(f"steps={steps}, sample={sample}: at least 1 step and 2 edges")
    metric = as_metric(metric)
    if metric.each:
        raise MechcheckError(f"{metric.name!r} has a value for each position; an edge's score is one per prompt: use metric.over(...)")
    whole = graph(model)
    if method == "exact":
        values = np.full((len(prompts), *whole.real.shape), np.nan)
        values[:, whole.real.numpy()] = exact_scores(model, prompts, whole.in_order, instead, source, metric, executor).T
    else:
        found = gradient_scores(model, prompts, carried(senders_of(model), instead, prompts, source), metric, method, steps)
        values = np.where(whole.real.numpy(), found.cpu().numpy(), np.nan)
        check_finite(values[:, whole.real.numpy()].T, prompts.ids, f"what {method} says of edges and {metric.name}")
    scores = EdgeScores(values, whole, method, instead, metric.name, metric.unit, prompts.ids, prompts.templates, beside=None)
    if method == "exact":
        return scores
    return replace(scores, beside=_beside(model, prompts, scores, instead, source, metric, sample, seed, executor))


def carried(sites: Sites, instead: Instead, prompts: PromptSet, source: PromptSet | None = None) -> Patch | Ablate:
    """The intervention that has these sites carry something else."""
    if instead == "counterfactual":
        if source is None and prompts.counterfactual is None:
            raise PromptError('there is no counterfactual: give source=..., or instead="mean", "resample" or "zero"')
        return Patch(sites, source)
    if instead not in ("zero", "mean", "resample"):
        raise MechcheckError(f'unknown instead={instead!r}; choose "counterfactual", "zero", "mean" or "resample"')
    return Ablate(sites, instead, source)


def exact_scores(
    model: "TransformerBridge",
    prompts: PromptSet,
    edges: Sequence[Site],
    instead: Instead,
    source: PromptSet | None,
    metric: Metric,
    executor: Executor | None = None,
) -> Float[np.ndarray, "edge prompt"]:
    """The exact change of the metric along each edge."""
    found = sweep(model, prompts, [[], *(carried(Sites([edge]), instead, prompts, source) for edge in edges)], metric, executor=executor)
    check_finite(found, prompts.ids, f"{metric.name} with an edge changed")
    return found[1:] - found[:1]


def _beside(
    model: "TransformerBridge",
    prompts: PromptSet,
    scores: EdgeScores,
    instead: Instead,
    source: PromptSet | None,
    metric: Metric,
    n: int,
    seed: int,
    executor: Executor | None,
) -> Beside:
    """Exact values of some edges: half of them drawn among all, half those of the largest estimates."""
    every, mean = scores.graph.in_order, scores.mean[scores.graph.real.numpy()]
    n = min(n, len(every))
    largest = np.argsort(-np.abs(mean), kind="stable")[: n // 2]
    others = np.setdiff1d(np.arange(len(every)), largest)
    drawn = np.random.default_rng(seed).choice(others, n - len(largest), replace=False)
    chosen = np.sort(np.concatenate([largest, drawn]))
    exact = exact_scores(model, prompts, [every[i] for i in chosen], instead, source, metric, executor).mean(1)
    estimated = mean[chosen]
    varied = min(np.ptp(exact), np.ptp(estimated)) > 0
    worst = int(np.argmax(np.abs(exact - estimated)))
    return Beside(
        tuple(every[i] for i in chosen),
        exact,
        estimated,
        float(scipy.stats.spearmanr(exact, estimated).statistic) if varied else float("nan"),
        every[chosen[worst]],
        float(abs(exact - estimated)[worst]),
    )
