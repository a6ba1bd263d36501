"""One effect in the models of several training seeds: its mean over seeds, with an interval that holds for other seeds.

The unit is the seed. Where all seeds are asked the same prompts, these are a sample too, and what they have in common does not average
out over seeds: the error is that of both (Clark 1973, J. Verb. Learn. Verb. Behav. 12:335, min F'). What is claimed of one model's
prompts is another question, and its interval is far narrower.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import SMALLEST, TOLERANCE

_FEW = 3


@dataclass(frozen=True)
class Replication:
    """An effect over seeds."""

    estimate: Estimate
    """Of the mean over seeds like these, and prompts like these; `clusters` is the number of seeds."""
    by_seed: dict[str, Estimate]
    """Each seed's own, over its prompts."""
    between: float
    """Standard deviation of the true effects between seeds (tau), in the effect's unit; 0 where prompts explain all differences."""
    heterogeneity: float
    """The share of the variance between the seeds' means that prompts do not explain (I squared, Higgins and Thompson 2002)."""
    another: tuple[float, float]
    """Between what the true effect of another such seed lies, at the interval's level (a prediction interval, Higgins et al. 2009)."""
    pooled: Measurement
    """All prompts of all seeds; a "template" is a seed."""
    interval: Interval
    """The estimate and its tests."""

    def supported(self, low: float, high: float) -> int:
        """In how many seeds the effect lies between these by itself, each at the interval's level."""
        return sum(one.valid and low < one.low and one.high < high for one in self.by_seed.values())


def replication(effects: Mapping[str, Measurement], confidence: Confidence | None = None) -> Replication:
    """The mean of an effect over the models of several training seeds.

    The interval is mean +- t error with error squared = s^2 / k + e^2, where s is the standard deviation of the k seeds' means and e the
    error over templates (over prompts where there is one template) of the mean over seeds. e counts where seeds share templates or
    prompts; where each has its own, s holds it already. The degrees of freedom are Satterthwaite's, k - 1 where seeds differ most.
    Seeds count alike, whatever their prompts, since it is a mean over seeds.

    `python benchmarks/replication.py` measures its coverage.

    Args:
        effects: seed, or model -> one value per prompt. A ratio of means is one number for each seed.
        confidence: of each side.

    Raises:
        MechcheckError: fewer than two seeds, fewer than two prompts, effects in different units, or a share of nothing.
        NonFiniteError: a value that is not finite.
    """
    sure = confidence or Confidence()
    if not isinstance(effects, Mapping) or not all(isinstance(one, Measurement) for one in effects.values()):
        raise MechcheckError("replication takes {seed: measurement}, with one value per prompt for each seed's model")
    if len(effects) < 2:
        raise MechcheckError(f"a replication needs at least 2 seeds, got {len(effects)}: one seed shows nothing about others")
    if len(units := {one.unit: None for one in effects.values()}) > 1:
        raise MechcheckError(f"seeds are measured in {' and '.join(unit or 'a number' for unit in units)}, which have no mean")
    for seed, one in effects.items():
        one.check_finite(f"{one.name or 'the effect'} of {seed}")
    return _Crossed(effects, sure).found()


@dataclass(frozen=True)
class _Crossed:
    """Seeds by prompts."""

    effects: Mapping[str, Measurement]
    confidence: Confidence

    def found(self) -> Replication:
        means, error, df, within = self.means, self.error, self.df, self.within
        k, mean = len(means), float(means.mean())
        variance = float(means.var(ddof=1))
        between = math.sqrt(max(0.0, variance - within))
        t = float(scipy.special.stdtrit(df, self.confidence.side))
        told = error > TOLERANCE * self.size
        noun = "template" if self.by_template else "prompt"
        also = f" and {self.n_units} {noun}s (min F', Clark 1973)" if self.shared else ""
        first = next(iter(self.effects.values()))
        pooled = Measurement(
            np.concatenate([one.values for one in self.linear]), tuple(i for one in self.linear for i in one.ids),
            tuple(seed for seed, one in self.effects.items() for _ in one.ids), first.name, first.unit, scale="real",
        )  # fmt: skip
        method = f"t interval over {k} seeds{also}, {df:.1f} df"
        estimate = Estimate(
            mean, mean - t * error, mean + t * error, self.confidence.level, len(pooled), k, method,
            valid=told, caveat=self.caveat(told),
        )  # fmt: skip
        spread = float(scipy.special.stdtrit(k - 1, self.confidence.side)) * math.hypot(between, error)
        interval = Interval(
            estimate,
            lambda threshold: max(SMALLEST, float(scipy.special.stdtr(df, (threshold - mean) / error))) if told else 1.0,
            lambda threshold: max(SMALLEST, float(scipy.special.stdtr(df, (mean - threshold) / error))) if told else 1.0,
            error, df, 1.0,
        )  # fmt: skip
        by_seed = {seed: estimate_mean(one, self.confidence).estimate for seed, one in self.effects.items()}
        share = 1 - min(1.0, within / variance) if variance > 0 else 0.0
        return Replication(estimate, by_seed, between, share, (mean - spread, mean + spread), pooled, interval)

    def caveat(self, told: bool) -> str | None:
        if not told:
            return "all seeds and all prompts give the same: there is no spread from which an error could be told"
        return f"only {len(self.effects)} seeds: the interval is as wide as that makes it" if len(self.effects) < _FEW else None

    @cached_property
    def linear(self) -> list[Measurement]:
        """Of each seed the values whose mean is its effect."""
        return [one.linearised() for one in self.effects.values()]

    @cached_property
    def means(self) -> Float[np.ndarray, " seed"]:
        return np.array([one.values.mean() for one in self.linear])

    @cached_property
    def size(self) -> float:
        return max(float(np.abs(one.values).max()) for one in self.linear) or 1.0

    @cached_property
    def by_template(self) -> bool:
        """Whether templates are the units, and not prompts."""
        return len({name for one in self.linear for name in one.templates}) > 1

    def units(self, one: Measurement) -> tuple[str, ...]:
        return one.templates if self.by_template else one.ids

    @cached_property
    def n_units(self) -> int:
        return len({unit for one in self.linear for unit in self.units(one)})

    @cached_property
    def shared(self) -> bool:
        """Whether a unit was asked of several seeds."""
        return self.n_units < sum(len(set(self.units(one))) for one in self.linear)

    @cached_property
    def sums(self) -> tuple[Float[np.ndarray, "seed unit"], Float[np.ndarray, "seed unit"]]:
        """What each unit adds to its seed's mean beyond that, and its share of the seed's prompts."""
        place = {unit: i for i, unit in enumerate(sorted({unit for one in self.linear for unit in self.units(one)}))}
        added, share = np.zeros((2, len(self.linear), len(place)))
        for row, (one, mean) in enumerate(zip(self.linear, self.means, strict=True)):
            at = [place[unit] for unit in self.units(one)]
            np.add.at(added[row], at, (one.values - mean) / len(one))
            np.add.at(share[row], at, 1 / len(one))
        return added, share

    @cached_property
    def variances(self) -> tuple[float, float]:
        """Of the mean over seeds: from the seeds, and from the units that they share."""
        of_seeds = float(self.means.var(ddof=1)) / len(self.means)
        if not self.shared:
            return of_seeds, 0.0
        added, share = (part.mean(0) for part in self.sums)
        return of_seeds, _cr2(added, share)

    @property
    def error(self) -> float:
        return max(math.sqrt(sum(self.variances)), 1e-300)

    @property
    def df(self) -> float:
        of_seeds, of_units = self.variances
        share = self.sums[1].mean(0)
        whole, effective = of_seeds + of_units, 1 / float((share**2).sum())
        if whole <= 0:
            return float(len(self.means) - 1)
        return whole**2 / (of_seeds**2 / (len(self.means) - 1) + of_units**2 / max(1.0, effective - 1))

    @property
    def within(self) -> float:
        """The variance of a seed's mean that prompts explain: of what is its own, where all seeds were asked the same units."""
        added, share = self.sums
        k = len(added)
        if self.shared and bool((share > 0).all()):
            return float(np.mean([_cr2(row - added.mean(0), one) for row, one in zip(added, share, strict=True)])) * k / (k - 1)
        return float(np.mean([_cr2(row, one) for row, one in zip(added, share, strict=True)]))


def _cr2(added: Float[np.ndarray, " unit"], share: Float[np.ndarray, " unit"]) -> float:
    """The variance of a mean, from what its units add to it; each corrected for what it has of the whole (CR2)."""
    there = share > 0
    if np.count_nonzero(there) < 2:
        raise MechcheckError("an interval needs at least 2 different prompts; one prompt shows nothing about others")
    return float((added[there] ** 2 / (1 - share[there])).sum())
