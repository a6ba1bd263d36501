"""Estimates with intervals, and the p-values that agree with them: means, rates, ratios of means."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import scipy

from mechcheck.base.errors import NonFiniteError
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import SMALLEST, Pivot, pivot
from mechcheck.stats.unanimous import unanimous
from mechcheck.stats.units import Units, effective_prompts, units_of, with_a_pair


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    """NaN where a share is of nothing."""
    low: float
    """Minus infinity, and `high` infinity, where the interval has no ends."""
    high: float
    level: float
    """Two-sided; each side alone has confidence (1 + level) / 2."""
    n: int
    """Prompts."""
    clusters: int
    """Templates, which are the units of the interval; the number of prompts where there is one template only."""
    method: str
    valid: bool = True
    """Whether the interval keeps its level on such data; where it does not, nothing is decided on it."""
    caveat: str | None = None
    """Why it is not valid, or what else a reader should know."""

    def _repr_html_(self) -> str:
        from mechcheck.drawing.estimates import estimate_facts
        from mechcheck.drawing.notebook import facts

        return facts("", estimate_facts(asdict(self)))


@dataclass(frozen=True)
class Confidence:
    """How sure a decision must be."""

    side: float = 0.975
    """Of each one-sided decision; the interval's level is 2 * side - 1."""

    @property
    def level(self) -> float:
        """Two-sided level of the interval."""
        return 2 * self.side - 1

    @property
    def alpha(self) -> float:
        """The p-value at or below which an interval decides something."""
        return 1 - self.side

    @property
    def overall(self) -> float:
        """The chance that is taken of deciding wrongly, over all looks at the sample that there may be."""
        return self.alpha

    def over_looks(self, p: float) -> float:
        """The smallest `overall` at which so small a p-value decides something here; itself, where there is one look only."""
        return p


@dataclass(frozen=True)
class Interval:
    """An estimate, and the tests that its interval is made of: a threshold lies outside exactly where one of them is at most alpha."""

    estimate: Estimate
    p_above: Callable[[float], float]
    """Threshold -> one-sided p-value against "the true value is at or below it"."""
    p_below: Callable[[float], float]
    """Threshold -> one-sided p-value against "the true value is at or above it"."""
    error: float
    """Standard error, as the tests use it."""
    df: float
    """Its degrees of freedom; infinite for a rate, whose tests are exact."""
    design: float
    """By how much the variance exceeds that of as many independent prompts."""
    worth: tuple[float, float] = (0.0, 1.0)
    """Of a rate: what a no and a yes count."""


def estimate_mean(measured: Measurement, confidence: Confidence, *, symmetric: bool = False) -> Interval:
    """The mean over prompts, clustered by template; a rate where the values are yes and no; a ratio of means where there is a denominator.

    A t interval over templates, corrected for unequal sizes and for skewness (`mechcheck.stats.pivot`). A ratio a / b exceeds t where
    the mean of a - t b is above zero: its interval holds the t for which that is not decided (Fieller 1954). It has no ends, and the
    ratio is undefined, where the denominator's mean is not told from zero. With a single template the prompts are the units.

    Args:
        measured: one value per prompt.
        confidence: of each side.
        symmetric: no correction for skewness, as for the difference of two runs that may be exchanged.

    Raises:
        NonFiniteError: the measurement holds NaN or infinity, or a number beyond 1e100.
        MechcheckError: fewer than two different prompts.
    """
    if measured.is_yes_no:
        return _of_worth(measured, confidence)
    measured.check_finite()
    units = units_of(measured)
    if (found := _all_alike(measured, units, confidence)) is not None:
        return found
    if measured.denominator is not None:
        return _ratio(measured, units, confidence)
    values, index, same, added = measured.values, units.index, units.same, ""
    if measured.scale == "difference":
        none, up = measured.worth
        index, same, times = with_a_pair(units)
        values, added = np.append(values, np.repeat([up, 2 * none - up], times)), _ADDED_PAIR
    mean = replace(pivot(values, index, same=same, scale=measured.size, symmetric=symmetric), value=float(measured.values.mean()))
    if added and round(mean.design, 9) > _AGREEING and round(mean.units, 9) < _FEW_UNITS:
        mean = replace(mean, valid=False, caveat="prompts of a template agree on the difference, and the templates are few")
    method = "every prompt gives the same value"
    if not mean.agree:
        method = f"t interval over {units.n} {units.noun}s{added}{', corrected for skewness' if abs(mean.skewness) > _TOLD else ''}"
    estimate = _estimate(measured, mean, *mean.interval(confidence.level), units, confidence, method)
    return Interval(estimate, mean.p_above, mean.p_below, mean.error, mean.df, mean.design)


def estimate_rate(measured: Measurement, confidence: Confidence) -> Interval:
    """The share of prompts with value 1: the exact (Clopper-Pearson) binomial interval for the effective number of prompts.

    That number is smaller where prompts of a template agree more than chance (Korn and Graubard 1998), with degrees of freedom for
    templates of unequal sizes. Agreement cannot be told from a handful of templates that all say the same, so to what was measured a
    template's worth of yes and one of no are added before it is judged; where all prompts agree each template counts once.

    Raises:
        NonFiniteError: a prompt could not be decided.
        ValueError: values other than 0 and 1.
    """
    values = measured.values
    if measured.denominator is not None or measured.scale == "difference":
        raise ValueError("a rate needs one yes (1) or no (0) per prompt, and no quotient or difference of two; check.above takes these")
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{measured.name or 'the measurement'} holds NaN: a prompt could not be decided")
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("a rate needs one yes (1) or no (0) per prompt, for example run(...) > 0")
    units = units_of(measured)
    n, rate = len(values), float(values.mean())
    effective = effective_prompts(values, units, confidence.level)
    yes, no = rate * effective, (1 - rate) * effective

    def p_above(threshold: float) -> float:
        if rate == 0 or threshold >= 1:
            return SMALLEST if threshold < 0 else 1.0
        return max(SMALLEST, float(scipy.special.betainc(yes, no + 1, max(threshold, 0.0))))

    def p_below(threshold: float) -> float:
        if rate == 1 or threshold <= 0:
            return SMALLEST if threshold > 1 else 1.0
        return max(SMALLEST, float(scipy.special.betainc(no, yes + 1, 1 - min(threshold, 1.0))))

    low = float(scipy.special.betaincinv(yes, no + 1, confidence.alpha)) if rate > 0 else 0.0
    high = 1 - float(scipy.special.betaincinv(no, yes + 1, confidence.alpha)) if rate < 1 else 1.0
    method = "exact binomial (Clopper-Pearson)"
    if effective < n:
        method += f", {effective:.0f} effective prompts in {units.n} {units.noun}s"
    found = Estimate(rate, low, high, confidence.level, n, units.n, method)
    smoothed = (rate * n + 1) / (n + 2)
    return Interval(found, p_above, p_below, math.sqrt(smoothed * (1 - smoothed) / effective), math.inf, n / effective)


def _of_worth(measured: Measurement, confidence: Confidence) -> Interval:
    """The mean of a yes and no that count other than 1 and 0 each, as the error rate does: the rate's interval, on their scale."""
    (no, yes), step = measured.worth, measured.worth[1] - measured.worth[0]
    found = estimate_rate(replace(measured, values=(measured.values == yes).astype(np.float64)), confidence)
    if (no, yes) == (0.0, 1.0):
        return found
    low, high = sorted(no + step * end for end in (found.estimate.low, found.estimate.high))
    tests = [lambda t, p=p: p((t - no) / step) for p in (found.p_above, found.p_below)]
    p_above, p_below = tests if step > 0 else tests[::-1]
    estimate = replace(found.estimate, value=float(measured.values.mean()), low=low, high=high)
    return Interval(estimate, p_above, p_below, abs(step) * found.error, found.df, found.design, measured.worth)


def _all_alike(measured: Measurement, units: Units, confidence: Confidence) -> Interval | None:
    """The difference or the quotient of two rates where every prompt gives the same; None of anything else."""
    if measured.scale not in ("difference", "quotient"):
        return None
    found = unanimous(measured.values, measured.denominator, measured.worth, units)
    if found is None or np.isnan(measured.mean):
        return None
    no, step = measured.worth[0], measured.worth[1] - measured.worth[0]
    low, high = sorted(no + step * end for end in found.interval(confidence.alpha))
    tests = [lambda t, p=p: p((t - no) / step) for p in (found.p_above, found.p_below)]
    p_above, p_below = tests if step > 0 else tests[::-1]
    method = f"exact, every prompt gives the same: {found.units:.0f} of them count, in {units.n} {units.noun}s"
    estimate = Estimate(measured.mean, low, high, confidence.level, len(measured), units.n, method)
    return Interval(estimate, p_above, p_below, abs(step) * found.error(confidence.alpha), found.df, len(measured) / found.units)


def _ratio(measured: Measurement, units: Units, confidence: Confidence) -> Interval:
    tops, bottoms, index, same, added = measured.values, measured.denominator, units.index, units.same, ""
    assert bottoms is not None
    value = math.nan if abs(bottoms.sum()) <= 1e-12 * np.abs(bottoms).sum() else float(tops.sum() / bottoms.sum())
    below = pivot(bottoms, index, same=same)
    if measured.scale == "quotient":
        index, same, times = with_a_pair(units)
        tops, bottoms = np.append(tops, np.repeat([measured.worth[1], 0.0], times)), np.append(bottoms, np.repeat([0.0, 1.0], times))
        added = _ADDED_PAIR
    sign = 1.0 if below.value > 0 else -1.0
    largest = float(np.abs(tops).max()), float(np.abs(bottoms).max())
    method = f"ratio of means (Fieller) over {units.n} {units.noun}s{added}"

    def excess(ratio: float, like: Pivot | None = None) -> Pivot:
        """Of the numerator over so large a share of the denominator."""
        values, scale = sign * (tops - ratio * bottoms), max(largest[0], abs(ratio) * largest[1])
        return pivot(values, index, same=same, scale=scale, like=like)

    def undefined(why: str) -> Interval:
        found = Estimate(value, -math.inf, math.inf, confidence.level, len(measured), units.n, method, valid=False, caveat=why)
        return Interval(found, lambda ratio: 1.0, lambda ratio: 1.0, math.inf, 1.0, 1.0)

    if min(below.p_above(0.0), below.p_below(0.0)) > confidence.alpha:
        low, high = below.interval(confidence.level)
        return undefined(f"the share is of something that is not told from zero: {below.value:.3g} [{low:.3g}, {high:.3g}]")
    at = replace(excess(value), value=value)
    shape = None if at.agree else at  # of all of them: else the tests would change with the share that is asked about

    def p_above(ratio: float) -> float:
        return excess(ratio, shape).p_above(0.0)

    def p_below(ratio: float) -> float:
        return excess(ratio, shape).p_below(0.0)

    step = at.error / abs(below.value)
    ends = replace(at, error=step).interval(confidence.level)
    found = _estimate(measured, at, *ends, units, confidence, method)
    if at.agree:
        return Interval(replace(found, method=f"every prompt gives the same share, {method}"), p_above, p_below, step, at.df, at.design)
    start = _where(p_above, value, -step, confidence.alpha)
    end = _where(p_below, value, step, confidence.alpha)
    if start is None or end is None:  # told from zero, but not by as much as the widened error would have it
        found = replace(found, valid=False, caveat="; ".join(filter(None, [at.caveat, "at this confidence the share has no bounds"])))
        return Interval(found, p_above, p_below, step, at.df, at.design)
    found = replace(found, low=start, high=end)
    # What is above one threshold is above all below it: far from the share errors are not of the shape that was taken over from it.
    beyond = _beyond(p_above, start, confidence.alpha, 1), _beyond(p_below, end, confidence.alpha, -1)
    return Interval(found, *beyond, step, at.df, at.design)


def _beyond(p_value: Callable[[float], float], end: float, alpha: float, sign: int) -> Callable[[float], float]:
    """The p-value, which is at most alpha beyond the end of the interval."""
    return lambda ratio: min(p_value(ratio), alpha) if sign * (end - ratio) > 0 else p_value(ratio)


def _where(p_value: Callable[[float], float], start: float, step: float, alpha: float) -> float | None:
    """The threshold, from the estimate on in steps, at which the p-value falls to alpha; None where it never does."""
    if p_value(start) <= alpha:  # at hardly any confidence, of skewed values
        return start
    near, reach = start, step
    for _ in range(40):
        far = start + reach
        if p_value(far) <= alpha:
            return float(scipy.optimize.brentq(lambda t: p_value(t) - alpha, near, far, xtol=abs(step) * 1e-9))
        near, reach = far, 1.5 * reach
    return None


def _estimate(measured: Measurement, found: Pivot, low: float, high: float, units: Units, confidence: Confidence, method: str) -> Estimate:
    return Estimate(found.value, low, high, confidence.level, len(measured), units.n, method, found.valid, found.caveat)


_ADDED_PAIR = ", a pair added each way"
_TOLD = 0.01
"""A correction for less skewness is not worth a word."""
_AGREEING, _FEW_UNITS = 3.0, 10.0
"""A difference of rates is not valid beyond this design effect on fewer effective templates: few pairs tell little of such templates."""
