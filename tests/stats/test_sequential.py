"""Several looks: boundaries against published ones and against simulated paths, and p-values that belong to them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.sequential import at_look, levels, spent

QUARTERS = (0.25, 0.5, 0.75, 1.0)


def test_one_look_is_no_other_than_before():
    assert levels(0.025, (1.0,)) == pytest.approx((0.025,), abs=1e-12)
    look = at_look(Confidence(), (1.0,), 0)
    assert (look.alpha, look.overall, look.level) == pytest.approx((0.025, 0.025, 0.95))
    assert look.over_looks(0.01) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("alpha", [0.025, 0.001])
def test_as_the_normal_distribution_of_all_looks_has_it(alpha):
    parts = np.array([0.3, 0.5, 1.0])
    alike = np.sqrt(np.minimum.outer(parts, parts) / np.maximum.outer(parts, parts))
    edges = stats.norm.isf(levels(alpha, tuple(parts)))

    def inside(upto) -> float:
        return float(stats.multivariate_normal.cdf(upto, cov=alike, abseps=1e-8, releps=1e-8, maxpts=10**7))

    assert 1 - inside(edges) == pytest.approx(alpha, rel=1e-3)
    assert 1 - inside([*edges[:2], np.inf]) == pytest.approx(alpha / 8, rel=1e-3)
    assert edges[0] == pytest.approx(stats.norm.isf(0.027 * alpha))


@pytest.mark.parametrize("parts", [QUARTERS, (0.1, 0.9, 1.0)], ids=["quarters", "uneven"])
def test_all_looks_together_cross_as_often_as_was_spent(parts):
    steps = np.diff((0.0, *parts))
    paths = (np.random.default_rng(0).normal(size=(400_000, len(parts))) * np.sqrt(steps)).cumsum(1) / np.sqrt(parts)
    crossed = np.maximum.accumulate(paths > stats.norm.isf(levels(0.025, parts)), axis=1).mean(0)
    assert crossed == pytest.approx([spent(0.025, part) for part in parts], abs=0.0008)
    assert spent(0.025, 1.0) == pytest.approx(0.025)


def test_looks_that_see_the_same_templates_are_wrong_less_often():
    """Their results are more alike than those of independent increments."""
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(200_000, 1)) * 0.5, rng.normal(size=(200_000, 4)).cumsum(1) / np.arange(1, 5)
    z = (shared + own) / np.sqrt(0.25 + 1 / np.arange(1, 5))
    assert (z > stats.norm.isf(levels(0.025, QUARTERS))).any(1).mean() < 0.0235


@given(st.integers(0, 3), st.sampled_from([0.025, 0.05, 0.005]))
def test_a_p_value_is_at_its_level_where_the_look_decides(number, alpha):
    look = at_look(Confidence(1 - alpha), QUARTERS, number)
    assert look.overall == pytest.approx(alpha)
    assert look.over_looks(look.alpha) == pytest.approx(alpha, rel=1e-9)
    assert look.over_looks(look.alpha * 0.999) < alpha < look.over_looks(look.alpha * 1.001)


@given(st.integers(0, 3), st.floats(-690, -0.01), st.floats(0.01, 5))
def test_p_values_over_looks_are_larger_and_keep_their_order(number, log_p, more):
    look = at_look(Confidence(), QUARTERS, number)
    small, large = math.exp(log_p), math.exp(min(0.0, log_p + more))
    assert small <= look.over_looks(small) <= look.over_looks(large) <= 1.0
    assert look.over_looks(small) > 0


def test_an_interval_of_a_look_is_wider_and_agrees_with_its_p_value():
    rng, ids = np.random.default_rng(3), tuple(map(str, range(60)))
    measured = Measurement(rng.normal(0.3, 1, 60), ids, tuple(f"t{i % 20}" for i in range(60)), "x", "logits")
    look = at_look(Confidence(), QUARTERS, 0)
    plain, here = estimate_mean(measured, Confidence()), estimate_mean(measured, look)
    assert here.estimate.low < plain.estimate.low < plain.estimate.high < here.estimate.high
    assert here.estimate.level == pytest.approx(1 - 2 * 0.025 / 64, abs=1e-6)
    assert look.over_looks(here.p_above(here.estimate.low)) == pytest.approx(0.025, rel=1e-4)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6, 1e-9])
def test_looks_that_lie_close_together_decide_on_no_more_than_may_be_spent(gap):
    parts = (0.07, 0.42, 0.42 + gap, 0.52, 1.0)
    for level, part in zip(levels(0.025, parts), parts, strict=True):
        assert 0 < level <= spent(0.025, part)
