"""Intervals and p-values against formulas written out by hand, scipy's exact tests, and simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.estimates import Sampling, adjust, estimate_mean, estimate_rate
from mechcheck.stats.measurement import Measurement


def measured(values, templates=None, ids=None, denominator=None, name="m") -> Measurement:
    """Values of different prompts, each its own unit unless templates are given."""
    n = len(values)
    return Measurement(
        np.asarray(values, float), tuple(ids or map(str, range(n))), tuple(map(str, templates or ["all"] * n)), name,
        denominator=None if denominator is None else np.asarray(denominator, float),
    )  # fmt: skip


def clustered(rng: np.random.Generator, k: int, size: int, between: float) -> tuple[np.ndarray, list[int]]:
    """k templates of `size` prompts with mean 0: a skewed template effect, and noise of standard deviation 1."""
    effects = between * (rng.exponential(size=k) - 1)
    return np.repeat(effects, size) + rng.normal(size=k * size), list(np.repeat(np.arange(k), size))


def test_t_interval_over_few_templates():
    values, templates = [1.0, 3.0, 2.0, 6.0, 5.0, 7.0], [0, 0, 1, 1, 2, 2]  # template means 2, 4, 6
    found = estimate_mean(measured(values, templates), Sampling(0.975), threshold=1.0)
    error = 2 / math.sqrt(3)
    reach = 4.302652729911275 * error  # t quantile at 0.975 with 2 degrees of freedom, from a table
    e = found.estimate
    assert (e.value, e.n, e.clusters, e.level) == (4.0, 6, 3, 0.95)
    assert (e.low, e.high) == pytest.approx((4 - reach, 4 + reach))
    assert e.method == "t interval over 3 templates"
    expected = stats.ttest_1samp([2.0, 4.0, 6.0], 1.0, alternative="greater").pvalue
    assert (found.p_above, found.p_below) == pytest.approx((expected, 1 - expected))


def test_one_template_makes_the_prompts_units():
    found = estimate_mean(measured([1.0, 2.0, 4.0, 9.0]), Sampling(0.95)).estimate
    assert (found.low, found.high) == pytest.approx(stats.ttest_1samp([1.0, 2.0, 4.0, 9.0], 0).confidence_interval(0.9))
    assert found.method == "t interval over 4 prompts"


def test_ratio_is_linearised():
    top, bottom = np.array([1.0, 2.0, 5.0, 3.0]), np.array([2.0, 3.0, 4.0, 6.0])
    e = estimate_mean(measured(top, denominator=bottom), Sampling()).estimate
    ratio = 11 / 15
    error = np.std(top - ratio * bottom, ddof=1) / math.sqrt(4) / bottom.mean()
    assert e.value == pytest.approx(ratio)
    assert e.high - e.value == pytest.approx(error * stats.t.ppf(0.975, 3))


def test_templates_of_unequal_size_weigh_by_their_prompts():
    e = estimate_mean(measured([0.0, 0.0, 0.0, 1.0], [0, 0, 0, 1]), Sampling()).estimate
    assert (e.value, e.clusters) == (0.25, 2)


def test_many_templates_are_bootstrapped():
    values, templates = clustered(np.random.default_rng(0), 12, 5, 1.0)
    found = estimate_mean(measured(values, templates), Sampling(resamples=4000, seed=3), threshold=-0.1)
    means = values.reshape(12, 5).mean(1)
    # 2.2010 is the t quantile at 0.975 with 11 degrees of freedom; it takes the place of the normal's 1.96.
    level = 1 - 2 * stats.norm.sf(2.2010 * math.sqrt(12 / 11))
    oracle = stats.bootstrap((means,), np.mean, n_resamples=20000, confidence_level=level, rng=np.random.default_rng(9)).confidence_interval
    e = found.estimate
    assert (e.low, e.high) == pytest.approx((oracle.low, oracle.high), abs=0.1)
    assert e.method == "BCa bootstrap over 12 templates, 4000 resamples"
    z = stats.norm.isf((np.random.default_rng(1).choice(means, (20000, 12)).mean(1) <= -0.1).mean())
    assert found.p_above == pytest.approx(stats.t.sf(z * math.sqrt(11 / 12), 11), abs=0.01)
    assert found.p_above + found.p_below == pytest.approx(1, abs=0.001)


def test_a_p_value_is_never_zero():
    found = estimate_mean(measured(np.arange(10.0)), Sampling(resamples=999), threshold=-5)
    assert found.p_above > 1 / 1000
    assert found.p_below > 0.99


def test_a_resample_on_the_threshold_counts_against_both_sides():
    found = estimate_mean(measured([0.0, 1.0] * 5), Sampling(), threshold=0.5)
    assert found.p_above > 0.55
    assert found.p_below > 0.55


def test_coverage_of_the_clustered_interval():
    rng, sampling, covered, naive = np.random.default_rng(1), Sampling(resamples=500), 0, 0
    for _ in range(400):
        values, templates = clustered(rng, 16, 6, 0.7)
        e = estimate_mean(measured(values, templates), sampling).estimate
        covered += e.low < 0 < e.high
        reach = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
        naive += abs(values.mean()) < reach
    assert 0.915 <= covered / 400 <= 0.985
    assert naive / 400 < 0.85


def test_the_seed_decides_the_interval():
    m = measured(*clustered(np.random.default_rng(0), 10, 3, 1.0))
    first, again, other = (estimate_mean(m, Sampling(seed=seed)).estimate for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.value == other.value


def test_equal_values_have_no_width():
    found = estimate_mean(measured([0.5] * 9), Sampling(), threshold=0.0)
    assert (found.estimate.low, found.estimate.high, found.p_above) == (0.5, 0.5, None)
    assert found.estimate.method == "every prompt gives the same value"


def test_a_repeated_prompt_counts_once():
    values, ids = [1.0, 2.0, 6.0], ["a", "b", "c"]
    once = estimate_mean(measured(values, ids=ids), Sampling()).estimate
    thrice = estimate_mean(measured(values * 3, ids=ids * 3), Sampling()).estimate
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.clusters == 3
    single = estimate_rate(measured([1, 1, 1], ids=ids), Sampling()).estimate
    many = estimate_rate(measured([1, 1, 1] * 5, ids=ids * 5), Sampling()).estimate
    assert many.low == pytest.approx(single.low)


@pytest.mark.parametrize("estimate", [estimate_mean, estimate_rate])
def test_one_prompt_has_no_interval(estimate):
    for ids in (["a"], ["a", "a", "a"]):
        with pytest.raises(MechcheckError, match="an interval needs at least 2 different prompts"):
            estimate(measured([1.0] * len(ids), ids=ids), Sampling())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values(bad):
    with pytest.raises(NonFiniteError, match=r"drop is not finite on 1 of 3 prompts \(1\)"):
        estimate_mean(measured([1.0, bad, 2.0], name="drop"), Sampling())
    with pytest.raises(NonFiniteError):
        estimate_mean(measured([1.0, 2.0, 3.0], denominator=[1.0, bad, 1.0]), Sampling())
    with pytest.raises(NonFiniteError):
        estimate_rate(measured([1.0, bad, 0.0]), Sampling())


def test_a_denominator_that_vanishes():
    with pytest.raises(NonFiniteError, match="share: the denominator sums to zero"):
        estimate_mean(measured([1.0, 2.0], denominator=[1.0, -1.0], name="share"), Sampling())
    with pytest.raises(NonFiniteError, match="no finite interval"):
        estimate_mean(measured(np.arange(10.0), denominator=[1.0] + [0.0] * 9, name="share"), Sampling())


@pytest.mark.parametrize(("k", "n"), [(0, 12), (1, 12), (7, 12), (12, 12), (38, 40)])
def test_rate_is_exact(k, n):
    found = estimate_rate(measured([1.0] * k + [0.0] * (n - k)), Sampling(0.975), threshold=0.6)
    exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (found.estimate.low, found.estimate.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.p_above == pytest.approx(stats.binomtest(k, n, 0.6, "greater").pvalue)
    assert found.p_below == pytest.approx(stats.binomtest(k, n, 0.6, "less").pvalue)
    assert found.estimate.method == "exact binomial (Clopper-Pearson)"


def test_a_rate_widens_when_templates_agree():
    agreeing = [1.0] * 50 + [0.0] * 50
    templates = list(np.repeat(np.arange(20), 5))
    plain = estimate_rate(measured(agreeing), Sampling()).estimate
    found = estimate_rate(measured(agreeing, templates), Sampling()).estimate
    # By hand: the design effect is 99 / 19, and 19 degrees of freedom in place of 99 cost (1.9842 / 2.0930)^2.
    effective = 100 * 19 / 99 * (1.9842 / 2.0930) ** 2
    low = stats.beta.ppf(0.025, effective / 2, effective / 2 + 1)
    assert (found.low, found.high) == pytest.approx((low, 1 - low), abs=1e-4)
    assert found.high - found.low > 2 * (plain.high - plain.low)
    assert found.method.endswith(f"{effective:.0f} effective prompts in 20 templates")


def test_templates_that_disagree_evenly_do_not_narrow_a_rate():
    balanced, templates = [1.0, 0.0] * 20, list(np.repeat(np.arange(20), 2))
    plain, found = (estimate_rate(m, Sampling()).estimate for m in (measured(balanced), measured(balanced, templates)))
    assert 1 <= (found.high - found.low) / (plain.high - plain.low) < 1.1


def test_coverage_of_a_clustered_rate():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        chance = rng.beta(3, 1, size=16)
        hits = (rng.random((16, 8)) < chance[:, None]).astype(float).ravel()
        e = estimate_rate(measured(hits, list(np.repeat(np.arange(16), 8))), Sampling()).estimate
        covered += e.low < 0.75 < e.high
    assert covered / 400 >= 0.93


def test_a_rate_is_of_yes_and_no():
    with pytest.raises(ValueError, match=r"needs one yes \(1\) or no \(0\) per prompt"):
        estimate_rate(measured([0.0, 0.5, 1.0]), Sampling())


def test_benjamini_hochberg():
    # By hand: p * m / rank, then the running minimum from the largest.
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjust([0.2]) == [0.2]
    assert adjust([]) == []
