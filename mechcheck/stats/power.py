"""What would settle what a sample left open: the effect that it would have decided, and the sample that the observed effect takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import scipy

from mechcheck.stats.estimates import Interval

POWER = 0.8
"""The chance of a decision that is asked for."""
FEASIBLE = 100_000
"""Prompts beyond which nobody goes."""


@dataclass(frozen=True)
class Settles:
    """What would decide an expectation that is inconclusive."""

    text: str
    mde: float | None = None
    """Minimum detectable effect: the distance from the threshold that this sample would have decided with probability 0.8."""
    templates: int | None = None
    """As many, each of as many prompts as in this sample, would decide the observed effect with that probability."""
    prompts: int | None = None
    """In all; None where no feasible number is enough."""


@dataclass(frozen=True)
class _Sample:
    """Errors that samples of other sizes would have, told from one."""

    interval: Interval
    each: float
    """Variance of one prompt, in units of the square of this sample's error."""
    agreement: float
    """Of the prompts of a template (intraclass correlation)."""
    templates: int

    def error(self, templates: int, prompts: float) -> float:
        """Standard error with so many templates of so many prompts, in units of this sample's."""
        return math.sqrt(self.each * (1 + (prompts - 1) * self.agreement) / (templates * prompts))

    def df(self, templates: int) -> float:
        """Degrees of freedom with so many templates."""
        return self.interval.df * templates / self.templates


def settles(interval: Interval, region: tuple[float, float], alpha: float, *, one_template: bool = False) -> Settles:
    """How large an effect the sample would have decided, and how many templates and prompts the observed one takes.

    The variance of a mean over N templates of m prompts is v (1 + (m - 1) r) / (N m): more prompts bring it down to v r / N and no
    further, so the agreement r within templates is told from the design effect. The power of the t tests follows from the
    approximation of Abramowitz and Stegun (1964, 26.7.10) to the noncentral t distribution; that of an exact test of a rate from the
    normal one, with the variance that the threshold implies and a correction for continuity. Where two thresholds have to be told
    from the value, as in an equivalence test, both are.

    Args:
        interval: the estimate, with its error.
        region: what is claimed. A value inside is to be shown to lie there, one outside to lie outside.
        alpha: one-sided level.
        one_template: the units are prompts, of which more can be drawn.
    """
    estimate = interval.estimate
    m = 1.0 if one_template else estimate.n / estimate.clusters
    # Where templates have one prompt each, nobody knows how much two would agree: as if they did entirely, which promises nothing.
    agreement = min(1.0, (interval.design - 1) / (m - 1)) if m > 1 else 1.0
    each = estimate.n / interval.design
    sample = _Sample(interval, each, agreement, estimate.clusters)
    mde = _detectable(interval.df, alpha) * interval.error
    low, high = region
    inside = low <= estimate.value <= high
    ends = [end for end in region if math.isfinite(end)] if inside else [low if estimate.value < low else high]
    per_template = max(1, round(m))

    def power(templates: int, prompts: float) -> float:
        found = [_power(sample, estimate.value, end, alpha, templates, prompts) for end in ends]
        return sum(found) - (len(found) - 1)

    templates = _first(lambda n: power(n, per_template) >= POWER, estimate.clusters + 1, FEASIBLE // per_template)
    distance = min(abs(estimate.value - end) for end in ends)
    said = f"this sample would have decided an effect {mde:.3g} from the threshold, with probability {POWER:g}"
    if templates is None:
        why = f"the estimate is {distance:.2g} from it: no feasible number of prompts (up to {FEASIBLE:,}) will"
        return Settles(f"{said}; {why}", mde)
    total = templates * per_template
    if one_template:
        return Settles(f"{said}; to decide {distance:.3g}, as measured, takes about {total:,} prompts", mde, None, total)
    text = f"{said}; to decide {distance:.3g}, as measured, takes about {templates:,} templates of {per_template} prompts"
    more = _first(lambda n: power(estimate.clusters, n) >= POWER, per_template + 1, FEASIBLE // estimate.clusters)
    if more is None:
        text += f" ({total:,} prompts): more prompts of these {estimate.clusters} templates would not do"
    else:
        text += f" ({total:,} prompts), or {more:,} prompts of each of these {estimate.clusters} templates"
    return Settles(text, mde, templates, total)


def _power(sample: _Sample, value: float, threshold: float, alpha: float, templates: int, prompts: float) -> float:
    """The chance that such a sample tells a true value of so much from the threshold."""
    error, df, distance = sample.error(templates, prompts), sample.df(templates), abs(value - threshold) / sample.interval.error
    if not math.isinf(df):
        critical = float(scipy.special.stdtrit(df, 1 - alpha))
        spread = math.sqrt(1 + critical**2 / (2 * df))
        return float(scipy.special.ndtr((distance / error - critical * (1 - 1 / (4 * df))) / spread))
    no, yes = sample.interval.worth
    threshold, distance, effective = (threshold - no) / (yes - no), abs((value - threshold) / (yes - no)), sample.each / error**2
    if not 0 < threshold < 1:
        return 0.0
    told = distance - 0.5 / effective - float(scipy.special.ndtri(1 - alpha)) * math.sqrt(threshold * (1 - threshold) / effective)
    return float(scipy.special.ndtr(told * abs(yes - no) / (error * sample.interval.error)))


def _detectable(df: float, alpha: float) -> float:
    """The effect, in errors, that is decided with the power that is asked for."""
    beyond = float(scipy.special.ndtri(POWER))
    if math.isinf(df):
        return float(scipy.special.ndtri(1 - alpha)) + beyond
    critical = float(scipy.special.stdtrit(df, 1 - alpha))
    return critical * (1 - 1 / (4 * df)) + beyond * math.sqrt(1 + critical**2 / (2 * df))


def _first(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number of which something is true, which stays true for larger ones; None where it is not up to `most`."""
    if most < least or not enough(most):
        return None
    low, high = least, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
