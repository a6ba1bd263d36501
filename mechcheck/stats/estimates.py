"""Estimates with intervals: bootstrap clustered by template, exact binomial for rates, p-values, FDR."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.measurement import Measurement

# Below this many templates resampling them says little, and a t interval over the templates is used instead.
MIN_CLUSTERS = 8


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float
    high: float
    level: float
    """Two-sided; each side alone has confidence (1 + level) / 2."""
    n: int
    """Prompts."""
    clusters: int
    """Templates that the interval resamples; the number of prompts where there is one template only."""
    method: str
    valid: bool = True
    """Whether the interval keeps its promise on such data; where it does not, nothing is decided on it."""
    caveat: str | None = None
    """Why it is not valid, or what else a reader should know."""


@dataclass(frozen=True)
class Sampling:
    """How an interval is computed; the seed makes it the same in every run."""

    confidence: float = 0.975
    """One-sided; the interval's level is 2 * confidence - 1."""
    resamples: int = 2000
    """Of the bootstrap; 0 takes a t interval over the templates however many there are."""
    seed: int = 0

    @property
    def level(self) -> float:
        """Two-sided level of the interval."""
        return 2 * self.confidence - 1


@dataclass(frozen=True)
class Interval:
    """An estimate, and the chance of being wrong about each side."""

    estimate: Estimate
    p_above: float | None
    """One-sided p-value against "the true value is at or below the threshold"."""
    p_below: float | None
    """One-sided p-value against "the true value is at or above the threshold"."""


def estimate_mean(measured: Measurement, sampling: Sampling, threshold: float | None = None) -> Interval:
    """The mean over prompts (or ratio of means), with an interval that resamples whole templates.

    BCa bootstrap over templates (Efron 1987, scipy.stats.bootstrap), its levels expanded for the number of templates
    (Hesterberg 2015, 10.1080/00031305.2015.1089789), without which it is too narrow; with fewer than 8 templates, or no resamples, a t
    interval over the templates' linearised sums; with a single template the prompts are the units.

    Raises:
        NonFiniteError: the measurement holds NaN or infinity, or a ratio's denominator sums to zero.
    """
    below = np.ones(len(measured)) if measured.denominator is None else measured.denominator
    name = measured.name or "the measurement"
    bad = [i for i, a, b in zip(measured.ids, measured.values, below, strict=True) if not (np.isfinite(a) and np.isfinite(b))]
    if bad:
        raise NonFiniteError(f"{name} is not finite on {len(bad)} of {len(measured)} prompts ({', '.join(bad[:3])})")
    if abs(below.sum()) <= 1e-12 * abs(below).sum():
        raise NonFiniteError(f"{name}: the denominator sums to zero")
    units, noun = _units(measured)
    tops, bottoms = np.bincount(units, measured.values), np.bincount(units, below)
    value, k = float(tops.sum() / bottoms.sum()), len(tops)
    if np.allclose(tops, value * bottoms, rtol=1e-12, atol=1e-12):
        low, high, method, p_above, p_below = value, value, f"every {noun} gives the same value", None, None
    elif k < MIN_CLUSTERS or not sampling.resamples:
        low, high, p_above, p_below = _t_interval(tops, bottoms, value, sampling.level, threshold)
        method = f"t interval over {k} {noun}s"
    else:
        low, high, p_above, p_below, how = _bootstrap(tops, bottoms, sampling, threshold)
        method = f"{how} bootstrap over {k} {noun}s, {sampling.resamples} resamples"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise NonFiniteError(f"{name} has no finite interval: its denominator is zero on too many {noun}s")
    return Interval(Estimate(value, low, high, sampling.level, len(measured), k, method), p_above, p_below)


def estimate_rate(measured: Measurement, sampling: Sampling, threshold: float | None = None) -> Interval:
    """The share of prompts with value 1, with the exact (Clopper-Pearson) binomial interval.

    Where prompts of a template agree more than chance, the number of prompts is first reduced to the effective one
    (Korn and Graubard 1998), so that clustering widens the interval.

    Raises:
        NonFiniteError, ValueError: values other than 0 and 1.
    """
    values = measured.values
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{measured.name or 'the measurement'} holds NaN: a prompt could not be decided")
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("a rate needs one yes (1) or no (0) per prompt, for example run(...) > 0")
    units, noun = _units(measured)
    n, rate = len(values), float(values.mean())
    effective = min(_effective_n(values, units, sampling.level), len(set(measured.ids)))
    hits = rate * effective
    tail = (1 - sampling.level) / 2
    low = float(stats.beta.ppf(tail, hits, effective - hits + 1)) if rate > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, effective - hits)) if rate < 1 else 1.0
    method = "exact binomial (Clopper-Pearson)"
    if effective < n:
        method += f", {effective:.0f} effective prompts in {int(units.max()) + 1} {noun}s"
    p_above = p_below = None
    if threshold is not None and 0 < threshold < 1:
        p_above = float(stats.beta.cdf(threshold, hits, effective - hits + 1)) if rate > 0 else 1.0
        p_below = float(stats.beta.sf(threshold, hits + 1, effective - hits)) if rate < 1 else 1.0
    return Interval(Estimate(rate, low, high, sampling.level, n, int(units.max()) + 1, method), p_above, p_below)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values."""
    return [float(p) for p in stats.false_discovery_control(list(p_values))] if p_values else []


def _units(measured: Measurement) -> tuple[np.ndarray, str]:
    """Cluster number of each prompt, and what a cluster is: a template, or a prompt where there is one template only.

    A prompt that was given several times counts as one.
    """
    templates = len(set(measured.templates)) > 1
    units = np.unique(measured.templates if templates else measured.ids, return_inverse=True)[1]
    if units.max() < 1:
        raise MechcheckError("an interval needs at least 2 different prompts; one prompt shows nothing about others")
    return units, "template" if templates else "prompt"


def _bootstrap(
    tops: np.ndarray, bottoms: np.ndarray, sampling: Sampling, threshold: float | None
) -> tuple[float, float, float | None, float | None, str]:
    def ratio(top: np.ndarray, bottom: np.ndarray, axis: int) -> np.ndarray:
        return top.sum(axis) / bottom.sum(axis)

    few = math.sqrt(len(tops) / (len(tops) - 1))
    level = 1 - 2 * float(stats.norm.sf(few * stats.t.ppf((1 + sampling.level) / 2, len(tops) - 1)))

    def draw(method: Literal["BCa", "percentile"]) -> Any:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            return stats.bootstrap(
                (tops, bottoms),
                ratio,
                paired=True,
                vectorized=True,
                n_resamples=sampling.resamples,
                confidence_level=level,
                method=method,
                rng=np.random.default_rng(sampling.seed),
            )

    found, how = draw("BCa"), "BCa"
    if not np.isfinite([found.confidence_interval.low, found.confidence_interval.high]).all():
        found, how = draw("percentile"), "percentile"  # BCa has no answer where nearly all resamples agree
    draws = found.bootstrap_distribution

    def p_value(contrary: np.ndarray) -> float:
        share = (1 + contrary.sum()) / (len(draws) + 1)
        return float(stats.t.sf(stats.norm.isf(share) / few, len(tops) - 1))  # the same expansion as the interval's

    p_above = p_below = None
    if threshold is not None:
        p_above, p_below = p_value(draws <= threshold), p_value(draws >= threshold)
    return float(found.confidence_interval.low), float(found.confidence_interval.high), p_above, p_below, how


def _t_interval(
    tops: np.ndarray, bottoms: np.ndarray, value: float, level: float, threshold: float | None
) -> tuple[float, float, float | None, float | None]:
    k = len(tops)
    residuals = tops - value * bottoms
    error = math.sqrt(k / (k - 1) * float((residuals**2).sum())) / abs(float(bottoms.sum()))
    reach = error * float(stats.t.ppf((1 + level) / 2, k - 1))
    p_above = p_below = None
    if threshold is not None:
        p_above = float(stats.t.sf((value - threshold) / error, k - 1))
        p_below = 1 - p_above
    return value - reach, value + reach, p_above, p_below


def _effective_n(values: Float[np.ndarray, " prompt"], units: np.ndarray, level: float) -> float:
    """Prompts divided by the design effect of the clusters, and fewer still where it was estimated from few clusters."""
    n, k, rate = len(values), int(units.max()) + 1, float(values.mean())
    spread = rate * (1 - rate)
    if k == n or k < 2 or spread == 0:
        return float(n)
    residuals = np.bincount(units, values - rate)
    variance = k / (k - 1) * float((residuals**2).sum()) / n**2
    few = stats.t.ppf((1 + level) / 2, n - 1) / stats.t.ppf((1 + level) / 2, k - 1)
    return float(n * few**2 / max(1.0, variance / (spread / (n - 1))))
