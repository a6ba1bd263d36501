"""How sure a mean is: an error, its degrees of freedom and its skewness, from which interval and p-values both follow."""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float, Int

from mechcheck.stats.ties import tied

# What follows is measured by `python benchmarks/coverage.py`, which says where it holds.
TOLERANCE = 1e-9
"""Values that differ by less than this part of the largest are the same value."""
_NOISE = 1e-12
_LEAST = 0.25
"""Of the variance of as many independent prompts: templates that agree by chance, or by design, do not make an interval vanish."""
_SKEWED, _FEW, _TOO_FEW = 0.15, 20, 11
"""Beyond this skewness of the mean's error the interval is doubled below so many effective prompts, and not valid below fewer."""
_ROUNDING = 1e-6
"""Less skewness is rounding, and what corrects for it is lost in rounding."""
_SPIKE, _RARE = 0.5, 8
"""Where more than this share of prompts has one value, the mean rests on the others, and the interval is widened where these are few."""
_FAR = 1e90
"""Errors beyond which it makes no difference how many there are, and the cube of which is finite."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""No p-value is smaller, and none is 0."""


@dataclass(frozen=True)
class Pivot:
    """A mean; (mean - truth) / error, made symmetric by the skewness, has a t distribution."""

    value: float
    error: float
    df: float
    """Degrees of freedom of the error."""
    skewness: float
    """Of the mean's error, in units of its standard deviation."""
    widened: float
    """By what factor the error was, as the caveat says."""
    design: float
    """By how much the variance exceeds that of as many independent prompts."""
    units: float
    """Units that these are worth, were they alike in size (Kish)."""
    agree: bool
    """Every prompt gives the same value."""
    valid: bool
    """False where no interval is known to keep its level."""
    caveat: str | None
    """Why it is not valid, or wider than it would be."""

    def p_above(self, threshold: float) -> float:
        """One-sided p-value against a true mean at or below the threshold."""
        return max(SMALLEST, float(scipy.special.stdtr(self.df, -self._symmetric((self.value - threshold) / self.error))))

    def p_below(self, threshold: float) -> float:
        """One-sided p-value against a true mean at or above the threshold."""
        return max(SMALLEST, float(scipy.special.stdtr(self.df, self._symmetric((self.value - threshold) / self.error))))

    def interval(self, level: float) -> tuple[float, float]:
        """The thresholds that neither p-value excludes at (1 - level) / 2."""
        q = float(scipy.special.stdtrit(self.df, (1 + level) / 2))
        if self.agree and tied(self.value - q * self.error, self.value) and tied(self.value, self.value + q * self.error):
            return self.value, self.value  # what rounding there may be is a tie to whoever compares the ends with a threshold
        # Corrected for skewness, at hardly any confidence an end would lie on the other side of the mean.
        return self.value - self.error * max(0.0, self._skewed(q)), self.value - self.error * min(0.0, self._skewed(-q))

    def _symmetric(self, t: float) -> float:
        """The transformation of Hall (1992, J. R. Statist. Soc. B 54:221), which takes the skewness out of a t statistic."""
        s, t = self.skewness, min(max(t, -_FAR), _FAR)
        return t + s * t * t / 3 + s * s * t**3 / 27 + s / 6

    def _skewed(self, x: float) -> float:
        """The inverse of it."""
        s = self.skewness
        return x if s == 0 else 3 / s * (math.copysign(abs(1 + s * (x - s / 6)) ** (1 / 3), 1 + s * (x - s / 6)) - 1)


def pivot(
    values: Float[np.ndarray, " prompt"],
    units: Int[np.ndarray, " prompt"],
    *,
    same: Int[np.ndarray, " prompt"] | None = None,
    scale: float = 0.0,
    symmetric: bool = False,
    like: Pivot | None = None,
) -> Pivot:
    """The mean of values over prompts that come in units (templates).

    The variance is that of the units' sums, corrected for what one unit has of the whole (CR2, Bell and McCaffrey 2002), on as many
    degrees of freedom as the units would have if they were alike in size (Kish's effective number, less one). The skewness is that
    of the prompts, carried over to the mean by the design effect, since the units alone are too few to tell it.

    Args:
        values: one per prompt.
        units: of each prompt, 0, 1, ...; at least two.
        same: which are one prompt, given several times; None where all differ.
        scale: the size of what the values were computed from, where they are differences: less than 1e-9 of it is no difference.
        symmetric: whether the error is known to be symmetric, as that of a difference between exchangeable runs is.
        like: whose skewness and widening to take over, where one of many means is asked for whose errors are much the same.
    """
    n, sizes = len(values), np.bincount(units)
    mean, k = float(values.mean()), len(sizes)
    share = sizes / n  # [unit]
    deviations = (values - mean) / n  # [prompt]
    sums = np.bincount(units, deviations)  # [unit]
    cancelled = False
    if same is not None:
        merged = np.bincount(same, deviations).astype(np.float64)  # [different prompt]
        cancelled = float(np.abs(merged / np.bincount(same)).max()) * n <= max(TOLERANCE * float(np.abs(values).max()), _NOISE)
        deviations = deviations if cancelled else merged
    unit_size = max(float(np.abs(values).max()), scale)
    noise = max(TOLERANCE * unit_size, _NOISE)
    effective_units = 1 / float((share**2).sum())
    df = max(1.0, effective_units - 1 - 0.5 * (1 - effective_units / k))
    if float(np.abs(values - mean).max()) <= noise:
        return Pivot(mean, noise, df, 0.0, 1.0, 1.0, effective_units, True, True, None)
    different = len(deviations)
    independent = float((deviations**2).sum()) * different / (different - 1)
    variance = max(float((sums**2 / (1 - share)).sum()), _LEAST * independent)
    design = max(1.0, variance / independent)
    skewness, widened, caveat, valid = 0.0, 1.0, None, True
    if like is not None:
        skewness, widened, caveat, valid = like.skewness, like.widened, like.caveat, like.valid
    elif not symmetric:
        skewness = _skewness(deviations, design)
        widened, caveat, valid = _caveat(values, noise, skewness, different / n / design)
    if cancelled:
        valid, caveat = False, "the values of prompts that are given several times cancel: nothing tells how sure their mean is"
    error = max(widened * math.sqrt(variance), noise)
    return Pivot(mean, error, df, skewness, widened, design, effective_units, False, valid, caveat)


def _skewness(deviations: Float[np.ndarray, " prompt"], design: float) -> float:
    """Of the mean's error: the prompts' over the root of their effective number, corrected for few (G1) and where it may well be chance."""
    of_mean = float((deviations**3).sum()) / float((deviations**2).sum()) ** 1.5  # the prompts' skewness / sqrt(n)
    few = max(len(deviations) / design, 3.5)
    unbiased = min(math.sqrt(few * (few - 1)) / (few - 2), 1.75)
    in_errors = abs(of_mean) * math.sqrt(len(deviations)) / math.sqrt(6 / max(few, 4.0))
    told = in_errors**4 / (1 + in_errors**4)
    skewness = float(np.clip(1.3 * unbiased * told * of_mean * math.sqrt(design), -1.5, 1.5))
    return skewness if abs(skewness) >= _ROUNDING else 0.0


def _caveat(values: Float[np.ndarray, " prompt"], noise: float, skewness: float, worth: float) -> tuple[float, str | None, bool]:
    """How much wider the interval must be, why, and whether it is valid then; `worth` is what a prompt counts among independent ones."""
    n = len(values)
    # In whatever order the prompts come: 20 of them are not fewer than 20 because a sum was rounded down.
    effective = round(n * worth, 9)
    ordered = np.sort(values)
    # The most common value: as many as are the same as each other, and not merely as their neighbours, of which a chain goes anywhere.
    same = int((np.searchsorted(ordered, ordered + noise, side="right") - np.arange(n)).max())
    rest = round((n - same) * worth, 9)
    if same > _SPIKE * n and rest < _RARE:
        factor = max(2.0, 6 / max(rest, 0.75))  # 8 at most, however few they are worth
        return (
            factor,
            f"{same} of {n} prompts have one value, and the mean rests on the others: the interval is {factor:.1f} times as wide",
            True,
        )
    if abs(skewness) > _SKEWED and effective < _TOO_FEW:
        return 2.0, f"skewed values, and only {effective:.0f} independent prompts' worth of them: no interval is known to hold", False
    if abs(skewness) > _SKEWED and effective < _FEW:
        return 2.0, f"skewed values, and only {effective:.0f} independent prompts' worth of them: the interval is twice as wide", True
    return 1.0, None, True
