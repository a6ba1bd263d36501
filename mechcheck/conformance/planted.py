"""Planted claims: thresholds at the true value, and at so many standard errors from it, decided by the very `Check` that claims use."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from mechcheck.conformance.populations import Sample, Series
from mechcheck.conformance.subjects import NOWHERE, Bench, Subject
from mechcheck.notation.site_checks import site_count
from mechcheck.notation.sites import Site, Sites
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.outcome import decide_claim
from mechcheck.verdicts.verdict import Verdict

One = TypeVar("One")
Kind = Literal["above", "below", "between", "equivalent", "greater", "rate", "share"]
KINDS: tuple[Kind, ...] = ("above", "below", "between", "equivalent", "greater", "rate", "share")
"""Expectations with a threshold; "share" is `above` or `below` of a quotient of two measurements."""
WIDE = 8.0
"""Half of the width of a claimed interval, in standard errors: only one of its ends is near the truth."""
_QUANTILES = (0.2, 0.35, 0.5, 0.65, 0.8)
_LEAST_RATE = 0.1
_TOLD = 8.0
"""Standard errors that a denominator is from zero; where it is less, the share is undefined, as it should be."""
RIVALS = 40
"""Neurons of a layer, each of which is contested by the others: as many as `beats_random` needs."""
_TRIES = 300
"""Draws without anything that a claim could be planted on, after which there is nothing."""


@dataclass(frozen=True, eq=False)
class Target:
    """Something whose true value is known."""

    subject: Subject
    kind: Kind
    series: Series
    """Of `greater`, the difference."""
    pair: tuple[Series, Series] | None = None
    """What `greater` compares."""

    @property
    def truth(self) -> float:
        """The value over the population."""
        return self.subject.population.truth(self.series)

    def error(self, n: int) -> float:
        """The standard error with so many prompts."""
        return self.subject.population.error(self.series, n)


@dataclass(frozen=True)
class Decided:
    """What became of a planted claim."""

    kind: str
    subject: str
    verdict: Verdict
    valid: bool
    """Whether the estimate says that its interval holds."""
    templates: int
    """Units of the estimate with the fewest."""
    skewness: float = 0.0
    """Of the values over the population, where they are of one kind."""


def _any(rng: np.random.Generator, among: Sequence[One]) -> One:
    return among[int(rng.integers(len(among)))]


def decided(kind: str, subject: str, check: Check) -> Decided:
    """The verdict of a claim that checked this."""
    outcome = decide_claim(check, "supported")
    found = [expectation.estimate for expectation in outcome.expectations]
    return Decided(kind, subject, outcome.verdict, all(one.valid for one in found), min(one.clusters for one in found))


def draw_target(benches: Sequence[Bench], kind: Kind, n: int, rng: np.random.Generator) -> Target | None:
    """Something of this kind that varies, on any model, with any labels and weights; None where there is nothing."""
    for _ in range(_TRIES):
        bench = _any(rng, benches)
        subject = _any(rng, bench.subjects)
        sites = _any(rng, bench.circuits).sites
        target = _target(subject, kind, sites, rng)
        if target is not None and target.error(n) > 0:
            return target
    return None


def _target(subject: Subject, kind: Kind, sites: Sites, rng: np.random.Generator) -> Target | None:
    plain, without = (subject.value(some, int(rng.integers(2))) for some in (NOWHERE, sites))
    lost = subject.lost(sites)
    if kind == "greater":
        a, b = (subject.value(), subject.value(sites))[:: 1 if rng.random() < 0.5 else -1]
        return Target(subject, kind, a - b, (a, b))
    if kind == "rate":
        value = subject.value(sites) if rng.random() < 0.5 else subject.value()
        threshold = 0.0 if rng.random() < 0.3 else float(np.quantile(value.values, rng.choice(_QUANTILES)))
        target = Target(subject, kind, value.exceeds(threshold))
        return target if _LEAST_RATE <= target.truth <= 1 - _LEAST_RATE else None
    if kind == "share":
        whole, share = Target(subject, "above", subject.value()), Target(subject, kind, lost.over(subject.value()))
        enough = whole.error(96) > 0 and abs(whole.truth) > _TOLD * whole.error(96)
        return share if enough else None
    return Target(subject, kind, _any(rng, (plain, without, lost)))


def claim_at(target: Target, distance: float, n: int, rng: np.random.Generator) -> Check | None:
    """Claim that the truth lies beyond a threshold that is so many standard errors away; it does not where the distance is negative.

    None where no such threshold exists, as of a rate that would have to be above 1.
    """
    truth, error = target.truth, target.error(n)
    sample, check = target.subject.population.draw(rng, n), Check()
    up = bool(rng.random() < 0.5)
    threshold = truth - distance * error if up else truth + distance * error
    low, high = (threshold, threshold + 2 * WIDE * error) if up else (threshold - 2 * WIDE * error, threshold)
    measured = sample.measured(target.series)
    match target.kind:
        case "above":
            check.above(measured, truth - distance * error)
        case "below":
            check.below(measured, truth + distance * error)
        case "between":
            check.between(measured, low, high)
        case "equivalent":
            check.equivalent(measured, (high - low) / 2, to=(low + high) / 2)
        case "greater":
            assert target.pair is not None
            check.greater(sample.measured(target.pair[0]), sample.measured(target.pair[1]), truth - distance * error)
        case "rate":
            if not 0 < threshold < 1:
                return None
            check.rate(measured, above=threshold if up else None, below=None if up else threshold)
        case "share":
            (check.above if up else check.below)(measured, threshold)
    return check


def plant(benches: Sequence[Bench], kind: Kind, distance: float, n: int, rng: np.random.Generator) -> Decided | None:
    """A claim of this kind, decided."""
    for _ in range(_TRIES):
        target = draw_target(benches, kind, n, rng)
        if target is None:
            return None
        check = claim_at(target, distance, n, rng)
        if check is not None:
            return replace(decided(kind, target.subject.name, check), skewness=target.subject.population.skewness(target.series))
    return None


def plant_several(benches: Sequence[Bench], n: int, rng: np.random.Generator) -> Decided:
    """A claim with two or three checks of the same prompts, each with its threshold at the truth."""
    bench = _any(rng, benches)
    subject = _any(rng, bench.subjects)
    sample, check = subject.population.draw(rng, n), Check()
    for circuit in bench.circuits[: int(rng.integers(2, 4))]:
        series = subject.value(circuit.sites)
        up = rng.random() < 0.5
        (check.above if up else check.below)(sample.measured(series), subject.population.truth(series))
    return decided("several checks", subject.name, check)


def plant_elsewhere(benches: Sequence[Bench], n: int, rng: np.random.Generator) -> Decided | None:
    """A claim that is true of a model, made of other labels or other weights, of which it is false by 4 standard errors and more."""
    for _ in range(_TRIES):
        bench = _any(rng, benches)
        other = _any(rng, bench.subjects[1:])
        sites = _any(rng, (NOWHERE, *(circuit.sites for circuit in bench.circuits)))
        right, wrong = bench.right.value(sites), other.value(sites)
        truth, elsewhere = bench.right.population.truth(right), other.population.truth(wrong)
        threshold = (truth + elsewhere) / 2
        if abs(threshold - elsewhere) < 4 * other.population.error(wrong, n) or truth == elsewhere:
            continue
        check = Check()
        (check.above if truth > threshold else check.below)(other.population.draw(rng, n).measured(wrong), threshold)
        return decided("labels swapped" if other is bench.swapped else "other weights", other.name, check)
    return None


@dataclass(frozen=True, eq=False)
class Contested:
    """Neurons of one layer, which differ in nothing but what they do."""

    subject: Subject
    sites: tuple[Sites, ...]
    outside: Sites
    """All others of the layer, which are not drawn as controls."""

    def claim(self, mine: int, sample: Sample, seed: int, added: float = 0.0) -> Check:
        """That one of them beats the others, once something is added to what it does."""
        check = Check(model=self.subject.model, outside=self.outside, seed=seed)

        def effect(sites: Sites) -> Measurement:
            measured = sample.measured(self.subject.lost(sites))
            return replace(measured, values=measured.values + added) if sites == self.sites[mine] else measured

        check.beats_random(effect, self.sites[mine])
        return check

    def strongest_but(self, mine: int) -> Series:
        """Of the others."""
        others = [self.subject.lost(sites) for place, sites in enumerate(self.sites) if place != mine]
        return max(others, key=self.subject.population.truth)


def contested(benches: Sequence[Bench], rng: np.random.Generator, most: int = 3) -> Iterator[Contested]:
    """A layer of each model that has neurons enough, of so many models at most."""
    models = {id(bench.right.model): bench.right for bench in benches if site_count(bench.right.model, "neuron")[1] >= RIVALS}
    for subject in itertools.islice(models.values(), most):
        count, layer = site_count(subject.model, "neuron")[1], int(rng.integers(subject.model.cfg.n_layers))
        chosen = {int(i) for i in rng.choice(count, RIVALS, replace=False)}
        sites = tuple(Sites([Site("neuron", layer, i, None)]) for i in sorted(chosen))
        subject.measure(sites)
        yield Contested(subject, sites, Sites(Site("neuron", layer, i, None) for i in range(count) if i not in chosen))


def plant_contest(among: Sequence[Contested], distance: float | None, n: int, rng: np.random.Generator) -> Decided | None:
    """A neuron like the others (distance None), or one that exceeds the strongest of them by so many standard errors."""
    for _ in range(_TRIES):
        one = _any(rng, among)
        mine, added, population = int(rng.integers(len(one.sites))), 0.0, one.subject.population
        own = one.subject.lost(one.sites[mine])
        if distance is not None:
            excess = own - one.strongest_but(mine)
            added = distance * population.error(excess, n) - population.truth(excess)
        if not population.error(own, n):
            continue
        return decided("beats_random", one.subject.name, one.claim(mine, population.draw(rng, n), int(rng.integers(2**31)), added))
    return None


def plant_for_all(benches: Sequence[Bench], broken: float, n: int, rng: np.random.Generator) -> Decided:
    """That a value exceeds a threshold on every prompt, where it does not on this share of them."""
    from hypothesis import strategies

    bench = _any(rng, benches)
    values = bench.right.value().values
    threshold = float(np.quantile(values, broken)) if broken else float(values.min()) - 1.0
    check = Check(seed=int(rng.integers(2**31)), examples=n)
    holds: Callable[[int], bool] = lambda row: bool(values[row] > threshold)  # noqa: E731
    check.for_all(strategies.integers(0, len(values) - 1), holds, label="every prompt")
    return decided("for_all", bench.right.name, check)
