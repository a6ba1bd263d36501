"""Two circuits side by side: what they share, which is more faithful at equal size, and what the parts are worth that only one has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import CircuitError
from mechcheck.circuits.completeness import edges_with, two_sided
from mechcheck.circuits.edge_scores import Instead
from mechcheck.circuits.edge_search import check_unseen
from mechcheck.circuits.evaluation import Cut, Mask
from mechcheck.circuits.placed import PlacedMask, alike
from mechcheck.notation.circuit import Circuit, parts_of
from mechcheck.notation.metrics import Metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.multiplicity import holm
from mechcheck.stats.resample import drawn_again

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_DRAWS = 1000
# Of the parts that are left, at most this share goes in one step of cutting a circuit down.
_AT_ONCE = 0.1


class CircuitOverlap(NamedTuple):
    """What two circuits share."""

    nodes: float
    """Jaccard: nodes of both, over nodes of either, wherever they act; of edges the senders are counted. NaN where neither has any."""
    edges: float | None
    """Jaccard of their edges, an edge at a named position being another one than the edge at every position; None of circuits of nodes."""
    shared: Sites
    """Parts of both: edges where both have edges, else nodes."""
    only_a: Sites
    """Parts of the first alone."""
    only_b: Sites
    """Parts of the second alone."""


class Disagreement(NamedTuple):
    """A part that only one of two circuits has."""

    part: Site
    of: Literal["a", "b"]
    """Whose it is."""
    effect: Measurement
    """What the metric changes by where this part of the whole model is cut, exactly, one value per prompt."""
    p_adjusted: float
    """Against "that is none in the mean", two-sided, by Holm over all such parts."""


@dataclass(frozen=True, eq=False)
class CircuitComparison:
    """Two circuits on the same prompts."""

    overlap: CircuitOverlap
    sizes: tuple[int, int]
    """Parts of each: nodes where both are circuits of nodes, else edges."""
    a: Measurement
    """Faithfulness of the first, as it is."""
    b: Measurement
    """Faithfulness of the second, as it is."""
    size: int | None
    """Parts of both where they are compared at equal size; None where the larger could not be cut down."""
    how: str
    """How the larger was cut down, or why it was not."""
    at_size: tuple[Measurement, Measurement]
    """Faithfulness at that size; as they are where there is none."""
    ahead: Estimate
    """Faithfulness of the first less that of the second, at that size: a ratio of means, paired by prompt."""
    farther: float
    """How much farther from 1 the first's faithfulness lies than the second's; below 0 the first is the more faithful."""
    farther_interval: tuple[float, float]
    """95%, by drawing templates again for both at once."""
    disagreements: tuple[Disagreement, ...]
    """The largest mean effect first."""

    @property
    def more_faithful(self) -> Literal["a", "b"] | None:
        """Which one is, as far as the interval tells; None where it does not."""
        low, high = self.farther_interval
        return "a" if high < 0 else "b" if low > 0 else None


def circuit_overlap(a: Sites | Circuit, b: Sites | Circuit) -> CircuitOverlap:
    """What two circuits share, by what they name alone: no model is asked.

    Args:
        a, b: of nodes, whose positions are left out, or of edges.
    """
    one, other = parts_of(a), parts_of(b)
    both = one.members + other.members
    along = bool(both) and all(site.to is not None for site in both)
    if not along:
        one, other = _nodes(one), _nodes(other)
    nodes = _jaccard(_nodes(one), _nodes(other))
    return CircuitOverlap(nodes, _jaccard(one, other) if along else None, Sites(s for s in one if s in other), one - other, other - one)


def _nodes(parts: Sites) -> Sites:
    """Who speaks, wherever that is; what enters the first layer is there in every circuit, and not counted."""
    return Sites(
        replace(site, at=None, to=None) for site in parts if site.to is None or (site.kind, site.layer) != ("resid_pre", 0)
    )  # fmt: skip


def _jaccard(one: Sites, other: Sites) -> float:
    either = one | other
    return len(Sites(site for site in one if site in other)) / len(either) if len(either) else float("nan")


def compare_circuits(
    model: "TransformerBridge", prompts: PromptSet, a: Sites | Circuit, b: Sites | Circuit, *, instead: Instead = "counterfactual",
    source: PromptSet | None = None, metric: Metric = logit_diff, cut_on: PromptSet | None = None, confidence: Confidence | None = None,
    seen: bool = False, seed: int = 0,
) -> CircuitComparison:  # fmt: skip
    """Two circuits on the same prompts: what they share, which is more faithful at equal size, and what their differences are worth.

    Where sizes differ the larger one is cut down to the smaller's: by the scores that its file has, the largest in size staying; else, on
    `cut_on`, greedily: step by step the tenth of its parts goes that changes the metric least alone. Where there is neither, both
    are compared as they are, and `size` is None.

    Args:
        model, prompts: as in `run`; prompts that neither circuit was found on.
        a, b: edges, or nodes. Of one each, the nodes' edges are meant.
        instead, source, metric: as in `faithfulness`.
        cut_on: prompts that the larger may be cut down on: those of the search, not these.
        confidence: of `ahead`.
        seen: allow prompts that a circuit was found on.
        seed: of the draws for the interval of `farther`.

    Raises:
        PromptError: a circuit was found on these prompts, and that was not asked for; `cut_on` shares prompts with them.
        CircuitError, SiteError: a circuit of another graph.
    """
    if not seen:
        for circuit in (a, b):
            check_unseen(circuit, prompts)
        if cut_on is not None:
            check_unseen(frozenset(cut_on.ids), prompts)
    cut = Cut(model, prompts, instead, source, metric)
    nodes = not any(site.to is not None for circuit in (a, b) for site in parts_of(circuit))
    parts = [_parts(cut, circuit, nodes) for circuit in (a, b)]
    sizes = (len(parts[0]), len(parts[1]))
    cuts_on = None if cut_on is None else Cut(model, cut_on, instead, source, metric)
    equal, how = _equal((a, b), parts, cuts_on)
    values = cut.values([*map(cut.mask, parts), *(_left(cut, *both) for both in zip(parts, equal, strict=True))])
    found = [cut.share(row, f"faithfulness of {name}") for row, name in zip(values, ("the first", "the second") * 2, strict=True)]
    none, whole = cut.ends
    ahead = (cut.measured(values[2], "the first") - cut.measured(values[3], "the second")) / (
        cut.measured(whole, "the model") - cut.measured(none, "all cut")
    )
    weights = drawn_again(prompts.templates, _DRAWS, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = ((values[2:] - none) @ weights.T) / ((whole - none) @ weights.T)
    shared = circuit_overlap(*parts)
    return CircuitComparison(
        shared if nodes else shared._replace(nodes=circuit_overlap(a, b).nodes),
        sizes,
        found[0],
        found[1],
        min(sizes) if len(equal[0]) == len(equal[1]) else None,
        how,
        (found[2], found[3]),
        estimate_mean(ahead, confidence or Confidence()).estimate,
        _farther(np.array([found[2].mean, found[3].mean])[:, None])[0],
        tuple(np.quantile(_farther(drawn), [0.025, 0.975]).tolist()),
        _disagreements(cut, shared, confidence or Confidence()),
    )


def _farther(shares: Float[np.ndarray, "2 draw"]) -> Float[np.ndarray, " draw"]:
    first, second = np.abs(1 - shares)
    return first - second


def _parts(cut: Cut, circuit: Sites | Circuit, nodes: bool) -> Sites:
    """A circuit's nodes, or the edges that it keeps."""
    found = parts_of(circuit)
    mask = cut.mask(found)  # to refuse what is no circuit of this graph
    if nodes:
        return _nodes(found)
    return found if any(site.to is not None for site in found) else cut.graph.chosen(mask)


def _equal(circuits: tuple[Sites | Circuit, Sites | Circuit], parts: list[Sites], cut: Cut | None) -> tuple[list[Sites], str]:
    """Both at the smaller one's size, and how that was done."""
    sizes = list(map(len, parts))
    if sizes[0] == sizes[1]:
        return parts, f"both have {sizes[0]} parts"
    larger = int(sizes[1] > sizes[0])
    circuit, size = circuits[larger], min(sizes)
    name, end = ("the first", "the second")[larger], f"cut down from {max(sizes)} to {size} parts"
    record = circuit.edge_record if isinstance(circuit, Circuit) else None
    if record is not None and {str(edge) for edge in parts[larger]} == set(record.scores):
        order = sorted(parts[larger], key=lambda edge: -abs(record.scores[str(edge)]))
        left, how = Sites(order[:size]), f"{name} was {end} by its scores"
    elif cut is not None:
        left, how = cut_down(cut, parts[larger], size), f"{name} was {end} greedily, on {len(cut.prompts)} prompts of their own"
    else:
        return parts, f"as they are: {name} has no scores of its parts, and there were no prompts to cut it down on"
    return [left if i == larger else some for i, some in enumerate(parts)], how


def cut_down(cut: Cut, circuit: Sites, size: int) -> Sites:
    """A circuit's parts that are left when, step by step, the tenth goes that changes the metric's mean least alone.

    Args:
        cut: the model, the prompts, and what cut edges carry.
        circuit: edges, or nodes.
        size: how many parts are to be left.

    Raises:
        CircuitError: it has no more parts than that.
    """
    left = list(circuit)
    if not 0 < size <= len(left):
        raise CircuitError(f"a circuit of {len(left)} parts cannot be cut down to {size}")
    _, whole = cut.ends
    while len(left) > size:
        masks = [_left(cut, circuit, Sites(left[:i] + left[i + 1 :])) for i in range(len(left))]
        gaps = np.abs((cut.values(masks) - whole).mean(1))
        gone = set(np.argsort(gaps, kind="stable")[: min(max(1, int(_AT_ONCE * len(left))), len(left) - size)].tolist())
        left = [part for i, part in enumerate(left) if i not in gone]
    return Sites(left)


def _left(cut: Cut, circuit: Sites, left: Sites) -> Mask | PlacedMask:
    """What a circuit keeps of which only these parts are left; kinds of nodes that it had are cut where none of them is left."""
    kept, gone = alike([cut.mask(circuit), edges_with(cut, list(circuit - left))])
    return kept & ~gone


def _disagreements(cut: Cut, shared: CircuitOverlap, confidence: Confidence) -> tuple[Disagreement, ...]:
    """Each part that only one has, cut out of the whole model."""
    only: Sequence[tuple[Site, Literal["a", "b"]]] = [
        *((part, "a") for part in shared.only_a), *((part, "b") for part in shared.only_b),
    ]  # fmt: skip
    if not only:
        return ()
    _, whole = cut.ends
    every = cut.graph.real
    masks = [edges_with(cut, [part]) for part, _ in only]
    values = cut.values([(every if mask.ndim == 2 else every[..., None]) & ~mask for mask in masks]) - whole
    effects = [cut.measured(row, f"change without {part}") for row, (part, _) in zip(values, only, strict=True)]
    adjusted = holm([two_sided(effect, confidence) for effect in effects])
    found = [Disagreement(part, of, effect, p) for (part, of), effect, p in zip(only, effects, adjusted, strict=True)]
    return tuple(sorted(found, key=lambda one: -abs(one.effect.mean)))
