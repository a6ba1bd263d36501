"""Whatever order prompts come in and whatever they are called, and however close their values: one answer, and tests that agree with it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples import measured

from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import pivot
from mechcheck.verdicts.verdict import decide, p_values

SIDES = (0.9, 0.95, 0.975, 0.9995)


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.6]))
@example(20, 1, 3, 0.0)
@example(20, 1, 4, 0.6)
def test_order_and_names_tell_nothing(n, k, seed, spike):
    """Twenty prompts are not fewer than twenty where their variance is summed the other way round."""
    rng = np.random.default_rng(seed)
    values = np.where(np.arange(n) < spike * n, 1.0, np.round(rng.exponential(size=n) ** 2, 3))
    templates = list(rng.integers(0, k, n))
    found = estimate_mean(measured(values, templates), Confidence()).estimate
    for again in range(8):
        order = rng.permutation(n)
        names = rng.permutation(1000)
        mixed = measured(values[order], [names[templates[i]] for i in order], [f"{names[i]}" for i in order])
        other = estimate_mean(mixed, Confidence()).estimate
        assert (other.caveat, other.valid) == (found.caveat, found.valid), again
        assert (other.value, other.low, other.high) == pytest.approx((found.value, found.low, found.high), rel=1e-6, abs=1e-9)


def test_twenty_prompts_are_not_fewer_than_twenty():
    """The same skewed values in any order: with one template their effective number is their number."""
    values = np.exp(np.random.default_rng(0).normal(size=20))
    for seed in range(200):
        shuffled = np.random.default_rng(seed).permutation(values)
        assert estimate_mean(measured(shuffled), Confidence()).estimate.caveat is None


@given(st.integers(2, 12), st.sampled_from([0.0, 1e-9, 1.0, -3.0]), st.sampled_from([0.0, 1.0, 30.0, 1e6]), st.sampled_from(SIDES))
def test_what_all_prompts_give_is_decided_as_far_as_rounding_lets_it(n, value, size, side):
    """A difference of 1e-9 between numbers of 30 is none: nothing is supported whose p-value does not say so."""
    confidence = Confidence(side)
    found = estimate_mean(replace(measured([value] * n), size=size), confidence)
    e = found.estimate
    assert e.low <= e.value <= e.high
    for far in (1e-10, 1e-9, 5e-9, 3e-8, 1e-7, 1e-4):
        for region in ((value - far, np.inf), (value + far, np.inf), (value - far, value + far), (-np.inf, value - far)):
            p, p_refuted = p_values(found, region, confidence)
            verdict = decide(e, region)
            assert verdict != "supported" or p <= confidence.alpha
            assert verdict != "refuted" or p_refuted <= confidence.alpha


def test_a_share_of_nearly_nothing_has_an_interval():
    """All denominators are 1e-9, so that rounding is a thousandth of them: the share is no surer than that."""
    found = estimate_mean(measured([-5e-10] * 5, denominator=[1e-9] * 5), Confidence())
    assert found.estimate.low < -0.502
    assert found.estimate.high > -0.498
    assert decide(found.estimate, (-0.501, -0.499)) == "inconclusive"


def test_no_width_where_rounding_is_a_tie():
    found = estimate_mean(measured([0.1] * 3), Confidence()).estimate
    assert found.low == found.value == found.high


def shares(seed: int) -> Measurement:
    rng = np.random.default_rng(seed)
    n, k = rng.integers(8, 61), rng.integers(1, 6)
    below = rng.exponential(size=n) ** 3 + (rng.random() < 0.5) * rng.normal(size=n)
    above = below + rng.choice([0.1, 1.0, 3.0]) + rng.choice([0.0, 0.3]) * rng.normal(size=n)
    return measured(above, list(rng.integers(0, k, n)), denominator=below)


@given(st.integers(0, 10**6), st.sampled_from(SIDES))
def test_a_share_is_decided_as_its_p_values_say_however_far_out_the_threshold_is(seed, side):
    """Where denominators are skewed, errors far from the share are not of the shape that they have at it."""
    confidence = Confidence(side)
    found = estimate_mean(shares(seed), confidence)
    e = found.estimate
    if not e.valid:  # nothing is decided on it
        return
    for out in (0.1, 1, 3, 10, 100, 1e4):
        for threshold, test in ((e.low - out * (e.high - e.low), found.p_above), (e.high + out * (e.high - e.low), found.p_below)):
            assert test(threshold) <= confidence.alpha * (1 + 1e-6)


@pytest.mark.parametrize("threshold", [1e60, 1e200, -1e300])
def test_a_threshold_that_nothing_reaches(threshold):
    """Of skewed values, whose tests take the cube of how many errors away it is."""
    found = estimate_mean(measured(np.random.default_rng(0).exponential(size=40) ** 2 * 1e-9), Confidence())
    far, near = (found.p_above, found.p_below) if threshold < 0 else (found.p_below, found.p_above)
    assert far(threshold) < 1e-100
    assert near(threshold) == 1.0


@given(st.integers(0, 10**6), st.sampled_from([0.501, 0.51, 0.6]), st.booleans())
def test_at_hardly_any_confidence_an_interval_holds_its_estimate(seed, side, share):
    sample = shares(seed)
    e = estimate_mean(sample if share else replace(sample, denominator=None, values=sample.values**3), Confidence(side)).estimate
    assert e.low <= e.value <= e.high


def test_prompts_that_are_worth_next_to_nothing():
    """Three prompts, one of them given four hundred thousand times: the others are worth less than rounding is, and are not divided by."""
    n = 400_000
    found = pivot(np.r_[np.ones(n - 1), 5.0], np.r_[np.zeros(n - 1, int), 1], same=np.r_[np.zeros(n - 2, int), 1, 2])
    assert 3 / n / found.design < 5e-10
    assert found.widened == 8.0
