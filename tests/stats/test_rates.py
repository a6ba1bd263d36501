"""Rates: scipy's exact binomial test, design effects written out, and simulated coverage."""

import numpy as np
import pytest
from samples import measured
from scipy import stats

from mechcheck.stats.estimates import Confidence, estimate_rate

SURE = Confidence()


@pytest.mark.parametrize(("k", "n"), [(0, 12), (1, 12), (7, 12), (12, 12), (38, 40)])
def test_rate_is_exact(k, n):
    found = estimate_rate(measured([1.0] * k + [0.0] * (n - k)), SURE)
    exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (found.estimate.low, found.estimate.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.p_above(0.6) == pytest.approx(stats.binomtest(k, n, 0.6, "greater").pvalue)
    assert found.p_below(0.6) == pytest.approx(stats.binomtest(k, n, 0.6, "less").pvalue)
    assert found.estimate.method == "exact binomial (Clopper-Pearson)"


def test_a_rate_widens_when_templates_agree():
    """Templates that are unanimous, half of them each way, count for no less than a prompt each, and for no more."""
    agreeing = [1.0] * 50 + [0.0] * 50
    templates = list(np.repeat(np.arange(20), 5))
    plain = estimate_rate(measured(agreeing), SURE).estimate
    found = estimate_rate(measured(agreeing, templates), SURE).estimate
    assert (found.low, found.high) == pytest.approx((stats.beta.ppf(0.025, 10, 11), stats.beta.ppf(0.975, 11, 10)))
    assert found.high - found.low > 2 * (plain.high - plain.low)
    assert found.method.endswith("20 effective prompts in 20 templates")


def test_the_agreement_within_templates_is_judged_with_some_added():
    values = np.r_[np.ones(50), np.tile([1.0, 0.0, 1.0, 1.0, 0.0], 10)]
    found = estimate_rate(measured(values, list(np.repeat(np.arange(20), 5))), SURE).estimate
    # Written out: 0.7 of a template's prompts are added as yes, and as many as no.
    sizes, yes = np.r_[np.full(20, 5.0), 3.5, 3.5], np.r_[np.full(10, 5.0), np.full(10, 3.0), 3.5, 0.0]
    rate = yes.sum() / 107
    variance = ((yes - rate * sizes) ** 2 / (1 - sizes / 107)).sum() / 107**2
    effective = 100 * rate * (1 - rate) / 106 / variance * (stats.t.ppf(0.975, 99) / stats.t.ppf(0.975, 21)) ** 2
    assert 20 < effective < 100
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 0.8 * effective, 0.2 * effective + 1))


def test_unanimous_templates_count_once_each():
    """120 of 120 in 4 templates is 4 of 4; and one no among them tells no more."""
    templates = list(np.repeat(np.arange(4), 30))
    all_yes = estimate_rate(measured([1.0] * 120, templates), SURE)
    assert (all_yes.estimate.low, all_yes.estimate.high) == (pytest.approx(0.025**0.25), 1.0)
    assert all_yes.p_above(0.3) == pytest.approx(0.3**4)
    one_no = estimate_rate(measured([0.0] + [1.0] * 119, templates), SURE).estimate
    assert 0.3 < one_no.low < all_yes.estimate.low
    none = estimate_rate(measured([0.0] * 120, templates), SURE).estimate
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025**0.25))
    uneven = estimate_rate(measured([1.0] * 120, list(np.repeat(range(4), [90, 10, 10, 10]))), SURE).estimate
    assert uneven.low == pytest.approx(0.025 ** (8400 / 14400))  # Kish: 120^2 / (90^2 + 3 * 10^2)


def test_templates_that_disagree_evenly_do_not_narrow_a_rate():
    balanced, templates = [1.0, 0.0] * 20, list(np.repeat(np.arange(20), 2))
    plain, found = (estimate_rate(m, SURE).estimate for m in (measured(balanced), measured(balanced, templates)))
    assert 1 <= (found.high - found.low) / (plain.high - plain.low) < 1.1


def test_coverage_of_a_clustered_rate():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        chance = rng.beta(3, 1, size=16)
        hits = (rng.random((16, 8)) < chance[:, None]).astype(float).ravel()
        e = estimate_rate(measured(hits, list(np.repeat(np.arange(16), 8))), SURE).estimate
        covered += e.low < 0.75 < e.high
    assert covered / 400 >= 0.93


def test_a_rate_is_of_yes_and_no():
    with pytest.raises(ValueError, match=r"needs one yes \(1\) or no \(0\) per prompt"):
        estimate_rate(measured([0.0, 0.5, 1.0]), SURE)
