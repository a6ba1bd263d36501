"""Runs in turn: mechcheck, then each rival, then mechcheck again; so that whatever slows the machine slows all of them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from comparison import flops
from comparison.jobs import Job, ours
from comparison.rivals import Rival
from comparison.timing import floor, timed
from mechcheck.base.device import to_numpy
from mechcheck.base.errors import SelfCheckWarning

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOLERANCE = 1e-3


class Spread(NamedTuple):
    """Of the rounds."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The smallest, the median and the largest."""
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True)
class Against:
    """One rival on one job."""

    rival: str
    seconds: Spread
    """For the whole job: what is done once, and the variants' share as measured on `measured` of them."""
    ratio: Spread
    """The rival's seconds over mechcheck's of the same round."""
    flop_ratio: float
    """The rival's operations over those that are needed."""
    measured: int
    variants: int
    difference: float
    """The largest between its numbers and mechcheck's, in logits, or nats of a loss."""


@dataclass(frozen=True)
class Outcome:
    """One job."""

    job: str
    seconds: Spread
    """Mechcheck's."""
    over_floor: Spread
    """Mechcheck's seconds over those of the needed operations at this machine's rate of matrix products."""
    effect: float
    """Standard deviation of the numbers over variants, in their unit: what the differences are to be held against."""
    against: tuple[Against, ...]


class Disagreement(Exception):
    """A rival's numbers are not mechcheck's: then nothing was measured."""


def alternate(model: "TransformerBridge", job: Job, rivals: Sequence[Rival], *, device: str, rounds: int, measured: int) -> Outcome:
    """Measure a job.

    Args:
        model: what mechcheck (and TransformerLens) sweeps.
        job: the whole of it is done by mechcheck in each round, with captures and self-check.
        rivals: each does what it does once, and `measured` variants, evenly spread; each forward pass of theirs costs the same.
        device: "cpu", "cuda".
        rounds: how often.

    Raises:
        Disagreement: a rival's numbers differ by more than TOLERANCE. SelfCheckWarning: the fast runner was not used.
    """
    shape, numbers = flops.shape_of(model), job.spread(measured)
    needed = flops.needed(shape, job)
    own: list[float] = []
    floors: list[float] = []
    theirs: list[list[float]] = [[] for _ in rivals]
    differences = [0.0] * len(rivals)
    _warm_up(model, job, rivals)
    for _ in range(rounds):
        with warnings.catch_warnings():
            warnings.simplefilter("error", SelfCheckWarning)
            taken, expected = timed(device, lambda: ours(model, job))
        own.append(taken)
        floors.append(floor(shape, needed, device))
        for which, rival in enumerate(rivals):
            once, _ = timed(device, lambda rival=rival: rival.prepare(job))
            taken, found = timed(device, lambda rival=rival: rival.values(job, numbers))
            theirs[which].append(once + taken * len(job.variants) / len(numbers))
            differences[which] = max(differences[which], _difference(rival, to_numpy(found), expected[numbers]))
    against = tuple(
        Against(
            rival=rival.name,
            seconds=Spread.of(taken),
            ratio=Spread.of([other / mine for other, mine in zip(taken, own, strict=True)]),
            flop_ratio=flops.full_forwards(shape, job, rival.forwards(job), last_logits=rival.last_logits) / needed.total(),
            measured=len(numbers),
            variants=len(job.variants),
            difference=difference,
        )
        for rival, taken, difference in zip(rivals, theirs, differences, strict=True)
    )
    over_floor = Spread.of([mine / least for mine, least in zip(own, floors, strict=True)])
    return Outcome(job.name, Spread.of(own), over_floor, float(expected.std(0).mean()), against)


def _warm_up(model: "TransformerBridge", job: Job, rivals: Sequence[Rival]) -> None:
    """Imports, weights taken out of the model, threads and kernels are paid for before the clock runs."""
    short = replace(job, variants=tuple(job.variants[number] for number in job.spread(4)))
    ours(model, short)
    for rival in rivals:
        rival.prepare(short)
        rival.values(short, [0])


def _difference(rival: Rival, found: np.ndarray, expected: np.ndarray) -> float:
    gap = float(np.abs(found - expected).max())
    if not gap <= TOLERANCE:
        raise Disagreement(f"{rival.name} gives other numbers: the largest difference is {gap:.3g}, allowed is {TOLERANCE:g}")
    return gap
