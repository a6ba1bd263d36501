"""Completeness and minimality of a circuit (Wang et al. 2022, arXiv:2211.00593): does it miss parts, and does it need all it has?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.evaluation import Cut, Mask
from mechcheck.circuits.placed import PlacedMask, alike
from mechcheck.notation.circuit import Circuit, parts_of
from mechcheck.notation.sites import Site, Sites
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.multiplicity import holm


class Without(NamedTuple):
    """Some parts taken out of the circuit, and out of the model."""

    parts: Sites
    circuit: Measurement
    """The metric of the circuit without them."""
    model: Measurement
    """The metric of the model without them."""
    how: str
    """"random" or "greedy"."""

    @property
    def gap(self) -> float:
        """By how much both differ in the mean: large where the circuit misses what stands in for these parts."""
        return abs(self.circuit.mean - self.model.mean)


@dataclass(frozen=True)
class Completeness:
    """What is left of circuit and model when the same parts are taken out of both."""

    subsets: tuple[Without, ...]
    """The largest gap first."""

    @property
    def worst(self) -> Without:
        """The set of parts whose absence the circuit and the model take most differently."""
        return self.subsets[0]


class Part(NamedTuple):
    """What one part is worth in its circuit."""

    part: Site
    without: Sites
    """Parts that were taken out before: the part's worth is largest without them."""
    change: Measurement
    """The metric with the part, less the metric without it."""
    p_adjusted: float
    """Against "its mean change is none", two-sided, by Holm over all parts and all sets tried."""


def completeness(cut: Cut, circuit: Sites | Circuit, *, subsets: int = 20, greedy: int = 3, seed: int = 0) -> Completeness:
    """Take the same parts out of the circuit and of the model: a complete circuit changes as the model does.

    Args:
        cut: the model, the prompts, and what edges that are cut carry.
        circuit: edges, or nodes.
        subsets: random sets of the circuit's parts, of every size alike.
        greedy: also searched for: how many times a set is grown, always by the part that widens the gap most, up to ten parts, each time
            from another random start.
        seed: of the draws.
    """
    parts, kept = _parts(cut, circuit)
    if subsets < 1 or greedy < 0:
        raise MechcheckError(f"subsets={subsets}, greedy={greedy}: at least 1 random set")
    rng = np.random.default_rng(seed)
    chosen: list[tuple[tuple[int, ...], str]] = []
    for _ in range(subsets):
        size = int(rng.integers(1, len(parts) + 1))
        chosen.append((tuple(sorted(rng.choice(len(parts), size, replace=False).tolist())), "random"))
    for _ in range(greedy):
        taken = [int(rng.integers(len(parts)))]
        while len(taken) < min(10, len(parts)):
            tried = [[*taken, i] for i in range(len(parts)) if i not in taken]
            taken = tried[int(np.argmax(_gaps(cut, parts, kept, tried)))]
            chosen.append((tuple(sorted(taken)), "greedy"))
    chosen = list(dict.fromkeys(chosen))
    sets = [list(some) for some, _ in chosen]
    values = cut.values([mask for some in sets for mask in _pair(cut, parts, kept, some)])
    found = [
        Without(Sites(parts[i] for i in some), cut.measured(c, "circuit without them"), cut.measured(m, "model without them"), how)
        for (some, how), c, m in zip(chosen, values[0::2], values[1::2], strict=True)
    ]
    return Completeness(tuple(sorted(found, key=lambda one: -one.gap)))


def minimality(cut: Cut, circuit: Sites | Circuit, *, confidence: Confidence | None = None) -> tuple[Part, ...]:
    """What each part is worth in its circuit: by itself, and where others that do the same are out of the way.

    A part whose worth is not told from none, alone or without its like, need not be there. Its like are the other parts of its role, or
    those of its kind where there are no roles.

    Args:
        cut, circuit: as in `completeness`.
        confidence: of the intervals that p-values belong to.
    """
    parts, kept = _parts(cut, circuit)
    like = [[i for i in group if i != number] for number in range(len(parts)) for group in [_group(circuit, parts, number)]]
    sets: list[list[int]] = []
    for number, others in enumerate(like):
        for before in ([], others) if others else ([],):
            sets += [before, [*before, number]]
    values = cut.values([_out(cut, parts, kept, some) for some in sets])
    confidence = confidence or Confidence()
    found: list[tuple[int, Part]] = []
    for i in range(0, len(sets), 2):
        number = sets[i + 1][-1]
        change = (cut.measured(values[i], "with") - cut.measured(values[i + 1], "without")).named(f"worth of {parts[number]}")
        p = two_sided(change, confidence)
        found.append((number, Part(parts[number], Sites(parts[j] for j in sets[i]), change, p)))
    adjusted = holm([one.p_adjusted for _, one in found])
    by_part: dict[int, Part] = {}
    for (number, one), p in zip(found, adjusted, strict=True):
        better = one._replace(p_adjusted=p)
        if number not in by_part or abs(better.change.mean) > abs(by_part[number].change.mean):
            by_part[number] = better
    return tuple(by_part[number] for number in range(len(parts)))


def two_sided(change: Measurement, confidence: Confidence) -> float:
    """The p-value against "its mean is none"."""
    found = estimate_mean(change, confidence)
    return min(1.0, 2 * min(found.p_above(0.0), found.p_below(0.0)))


def _parts(cut: Cut, circuit: Sites | Circuit) -> tuple[list[Site], Mask | PlacedMask]:
    parts, kept = parts_of(circuit), cut.mask(circuit)
    if len(parts) < 2:
        raise CircuitError(f"a circuit of {len(parts)} part has nothing to take out; these are questions to circuits of 2 parts or more")
    return list(parts), kept


def _group(circuit: Sites | Circuit, parts: Sequence[Site], number: int) -> list[int]:
    if isinstance(circuit, Circuit) and not circuit.edges:
        (role, *_) = [sites for sites in circuit.values() if parts[number] in sites]
        return [i for i, part in enumerate(parts) if part in role]
    one = parts[number]
    return [i for i, part in enumerate(parts) if (part.kind, part.layer, part.to) == (one.kind, one.layer, one.to)]


def edges_with(cut: Cut, parts: Sequence[Site]) -> Mask | PlacedMask:
    """The edges that go with these parts: themselves, or all that leave them."""
    if parts and parts[0].to is not None:
        return cut.mask(Sites(parts))
    out = {(part.kind, part.layer, part.index) for part in parts}
    return cut.graph.real & torch.tensor([(site.kind, site.layer, site.index) in out for site in cut.graph.senders])


def _out(cut: Cut, parts: Sequence[Site], kept: Mask | PlacedMask, some: Sequence[int]) -> Mask | PlacedMask:
    left, gone = alike([kept, edges_with(cut, [parts[i] for i in some])])
    return left & ~gone


def _pair(cut: Cut, parts: Sequence[Site], kept: Mask | PlacedMask, some: Sequence[int]) -> Iterator[Mask | PlacedMask]:
    yield _out(cut, parts, kept, some)
    yield _out(cut, parts, cut.graph.real, some)


def _gaps(cut: Cut, parts: Sequence[Site], kept: Mask | PlacedMask, sets: Sequence[Sequence[int]]) -> Float[np.ndarray, " set"]:
    values = cut.values([mask for some in sets for mask in _pair(cut, parts, kept, some)]).mean(1)
    return np.abs(values[0::2] - values[1::2])
