"""How well a circuit stands for its model: faithfulness at one size and over sizes."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.edge_scores import EdgeScores, Instead, carried
from mechcheck.circuits.ordering import ordered
from mechcheck.circuits.placed import PlacedMask, PositionKinds, alike, fewest
from mechcheck.engine.graphs.runs import Graphs
from mechcheck.engine.graphs.senders import senders_of
from mechcheck.notation.circuit import Circuit, parts_of
from mechcheck.notation.graph import Graph
from mechcheck.notation.metrics import Metric, as_metric, logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import ALL
from mechcheck.stats.arrays import check_finite
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.resample import drawn_again

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Mask = Bool[Tensor, "receiver sender"]
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of all edges: the sizes at which the MIB benchmark (Mueller et al. 2025, arXiv:2504.13151) asks for faithfulness."""
_DRAWS = 1000


def kept_edges(whole: Graph, circuit: Sites | Circuit) -> Mask:
    """The edges that a circuit keeps.

    Of a circuit that has edges these, whatever its roles say; of one of nodes all edges that leave them, and those that leave nodes of
    kinds it does not speak of: beside a circuit of heads the MLPs and the input stay. Nodes stay at every position, also where they name
    one; edges at named positions are told apart by `Cut.mask`.

    Raises:
        CircuitError: edges and nodes in one circuit, or parts that are no nodes of the graph.
        SiteError: edges that the graph has not, or that name a position.
    """
    sites = parts_of(circuit)
    along = [site for site in sites if site.to is not None]
    if along and len(along) < len(sites):
        raise CircuitError("this circuit has edges and nodes; an evaluation cuts either edges or nodes")
    if along:
        return whole.mask(along)
    if not len(sites):
        raise CircuitError("this circuit has no sites: where no edge is kept, faithfulness is 0 whatever the model")
    named = {(site.kind, site.layer, site.index) for site in sites}
    known = {(site.kind, site.layer, site.index) for site in whole.senders}
    lost = [site for site in sites if (site.kind, site.layer, site.index) not in known or site.code is not None]
    if lost:
        raise CircuitError(f"{lost[0].named} is no node of the graph, whose nodes are heads and MLPs")
    kinds = {site.kind for site in sites}
    stays = torch.tensor([(site.kind not in kinds) or (site.kind, site.layer, site.index) in named for site in whole.senders])
    return whole.real & stays


@dataclass(frozen=True, eq=False)
class Cut:
    """A model some of whose edges carry something else: `cut(masks)` measures the prompts under several sets of kept edges at once."""

    model: "TransformerBridge"
    prompts: PromptSet
    instead: Instead = "counterfactual"
    source: PromptSet | None = None
    metric: Metric = logit_diff
    executor: Executor | None = None
    """Shares the runs out, as in `sweep`: of all that is measured or searched for by this cut."""

    @property
    def graph(self) -> Graph:
        """The model's."""
        return self.graphs.graph

    @cached_property
    def graphs(self) -> Graphs:
        """What runs it."""
        metric = as_metric(self.metric)
        if metric.each:
            raise MechcheckError(f"{metric.name!r} has a value for each position; a circuit is measured by one per prompt")
        return Graphs(
            self.model, self.prompts, carried(senders_of(self.model), self.instead, self.prompts, self.source), [metric], self.executor
        )

    def on(self, rows: Sequence[int]) -> "Cut":
        """The same on some of the prompts, as often as they are named; cut edges carry what they carry here."""
        aligned = self.source[rows] if self.source is not None and self.instead == "counterfactual" else None
        part = replace(self, prompts=self.prompts[rows], source=aligned)
        vars(part)["graphs"] = self.graphs.on(part.prompts, rows)
        return part

    @cached_property
    def kinds(self) -> PositionKinds:
        """Which positions are told apart by their names."""
        return PositionKinds(self.prompts)

    def mask(self, circuit: Sites | Circuit) -> Mask | PlacedMask:
        """The edges that a circuit keeps (see `kept_edges`); one that has edges at named positions keeps them there alone.

        Raises:
            CircuitError, SiteError: parts that the graph has not; an edge that is there both at every position and at a named one.
            PromptError: a position that these prompts do not name.
        """
        sites = parts_of(circuit)
        if not any(site.to is not None and site.at is not None for site in sites):
            return kept_edges(self.graph, sites)
        kept_edges(self.graph, sites.at(None))  # to refuse what is no circuit
        everywhere = {replace(site, at=None) for site in sites if site.at in (None, ALL)}
        if twice := [site for site in sites if site.at not in (None, ALL) and replace(site, at=None) in everywhere]:
            raise CircuitError(f"{twice[0].named} is there twice: at every position and at {twice[0].at} alone; leave one of them out")
        return self.kinds.mask(self.graph, sites)

    def values(self, kept: Sequence[Mask | PlacedMask]) -> Float[np.ndarray, "variant prompt"]:
        """The metric where only these edges carry what they do.

        Raises:
            CircuitError: a mask of another graph.
            NonFiniteError: a metric that is NaN or infinite, by which no two circuits can be told apart.
        """
        real = self.graph.real
        if strange := [mask for mask in kept if mask.shape[:2] != real.shape]:
            had = f"{strange[0].shape[0]} receivers and {strange[0].shape[1]} senders"
            raise CircuitError(f"this circuit is of a graph of {had}, and the model's has {real.shape[0]} and {real.shape[1]}")
        masks = alike(kept)
        if masks.ndim == 3:
            found = self.graphs.measure(real & ~masks)[0]
        else:
            found = self.graphs.measure(*fewest(real[..., None] & ~masks, self.kinds.of))[0]
        check_finite(found, self.prompts.ids, f"{as_metric(self.metric).name} of a circuit")
        return found

    def measured(self, values: Float[np.ndarray, " prompt"], name: str, unit: str | None = None) -> Measurement:
        """One value per prompt."""
        return Measurement(values, self.prompts.ids, self.prompts.templates, name, as_metric(self.metric).unit if unit is None else unit)

    @cached_property
    def ends(self) -> tuple[Float[np.ndarray, " prompt"], Float[np.ndarray, " prompt"]]:
        """The metric with every edge cut, and of the untouched model."""
        none, whole = self.values([torch.zeros_like(self.graph.real), self.graph.real])
        return none, whole

    def share(self, values: Float[np.ndarray, " prompt"], name: str) -> Measurement:
        """What is left of the whole model's metric, above that with every edge cut: a ratio of means."""
        none, whole = self.ends
        left, model, cut = self.measured(values, name), self.measured(whole, "the model's"), self.measured(none, "all cut")
        return ((left - cut) / (model - cut)).named(name, "share")


def faithfulness(
    model: "TransformerBridge", prompts: PromptSet, circuit: Sites | Circuit, *,
    instead: Instead = "counterfactual", source: PromptSet | None = None, metric: Metric = logit_diff,
) -> Measurement:  # fmt: skip
    """What is left of the metric when all but the circuit carries something else, as a share: (circuit - none) / (model - none).

    1 is the whole model's behaviour, 0 that of a model all of whose edges are cut; above 1 or below 0 the rest works against the circuit,
    or the circuit against the model, and neither is faithful (Miller et al. 2024, arXiv:2407.08734). A ratio of means, never a mean of
    ratios.

    Args:
        model, prompts: as in `run`.
        circuit: edges, or nodes (see `kept_edges`). An edge at a named position, "0.3->1.1.q@END", stays there and is cut elsewhere.
        instead, source: what all else carries.
        metric: one value per prompt; best one that is linear in the logits.

    Raises:
        CircuitError, SiteError: the circuit, or the model, has no such graph.
    """
    cut = Cut(model, prompts, instead, source, metric)
    kept = cut.values([cut.mask(circuit)])[0]
    return cut.share(kept, f"faithfulness under {instead} ablation")


class Ranked(Protocol):
    """All edges of a graph in an order, as searches leave them (`FoundEdges`)."""

    @property
    def graph(self) -> Graph:
        """Whose edges these are."""

    @property
    def order(self) -> Sequence[int]:
        """Numbers in the flat mask, those that matter most first."""


class Curve(NamedTuple):
    """Faithfulness over sizes."""

    shares: tuple[float, ...]
    """Of all edges."""
    edges: tuple[int, ...]
    """How many these are."""
    faithfulness: tuple[Measurement, ...]
    """At each size."""
    cmd: float
    """Area between the curve and 1: the distance of circuits from the model (0 is best). Read it first."""
    cmd_interval: tuple[float, float]
    """95%, by drawing templates again."""
    cpr: float
    """Area below the curve; scores that only raise the metric raise it without bound."""
    cpr_interval: tuple[float, float]
    """Likewise."""
    outside: tuple[float, ...]
    """Shares at which faithfulness lies above 1 or below 0 by more than rounding."""


def faithfulness_curve(
    model: "TransformerBridge", prompts: PromptSet, scores: EdgeScores | Ranked, *, shares: Sequence[float] = SHARES,
    assemble: Literal["greedy", "top"] = "greedy", instead: Instead = "counterfactual", source: PromptSet | None = None,
    metric: Metric = logit_diff, seed: int = 0, executor: Executor | None = None,
) -> Curve:  # fmt: skip
    """Faithfulness of the circuits that scores, or a search, propose, from few edges to all, and the areas CMD and CPR.

    Areas are trapezoids over the share of edges, on a linear scale, so that the stretch from a fifth to all of them weighs most (Mueller
    et al. 2025, arXiv:2504.13151).

    Args:
        model, prompts, instead, source, metric: as in `faithfulness`; prompts that the scores were not computed on.
        scores: of each edge; or what a search found, whose order stands.
        shares: of all edges, rising.
        assemble: of scores: "greedy" takes edges from the logits up, always the best of those that lead to what is already reached; "top"
            the best of all.
        seed: of the draws for the intervals.
        executor: shares the runs out, as in `sweep`.

    Raises:
        CircuitError: scores of another model's edges.
        MechcheckError: shares that do not rise.
    """
    if not shares or any(not 0 < share <= 1 for share in shares) or list(shares) != sorted(set(shares)):
        raise MechcheckError(f"shares of all edges rise from above 0 to 1 at most, got {list(shares)}")
    cut = Cut(model, prompts, instead, source, metric, executor)
    if scores.graph != cut.graph:
        raise CircuitError(
            f"these edges are of another model: of a graph of {len(scores.graph)} edges, and this one's has {len(cut.graph)}"
        )
    counts = [max(1, round(share * len(cut.graph))) for share in shares]
    masks = nested(scores, counts, assemble)
    values = cut.values(masks)
    none, whole = cut.ends
    found = tuple(cut.share(row, f"faithfulness at {count} edges") for row, count in zip(values, counts, strict=True))
    weights = drawn_again(prompts.templates, _DRAWS, seed)
    tops, below = (values - none) @ weights.T, (whole - none) @ weights.T
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = tops / below  # [size, draw]
    curve = np.array([one.mean for one in found])
    distance, area = np.abs(1 - curve), curve
    return Curve(
        tuple(shares),
        tuple(counts),
        found,
        float(np.trapezoid(distance, shares)),
        _interval(np.trapezoid(np.abs(1 - drawn), shares, axis=0)),
        float(np.trapezoid(area, shares)),
        _interval(np.trapezoid(drawn, shares, axis=0)),
        tuple(share for share, at in zip(shares, curve, strict=True) if not -1e-6 <= at <= 1 + 1e-6),
    )


def _interval(drawn: Float[np.ndarray, " draw"]) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def nested(scores: EdgeScores | Ranked, counts: Sequence[int], assemble: Literal["greedy", "top"] = "greedy") -> list[Mask]:
    """The circuits of so many edges that scores, or a search, propose, each within the next."""
    order = ordered(scores.graph, scores.mean, assemble) if isinstance(scores, EdgeScores) else scores.order
    flat = [scores.graph.real.new_zeros(scores.graph.real.numel()) for _ in counts]
    for mask, count in zip(flat, counts, strict=True):
        mask[list(order[:count])] = True
    return [mask.view_as(scores.graph.real) for mask in flat]
