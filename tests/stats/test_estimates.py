"""Intervals and p-values against formulas written out by hand, scipy's exact tests, each other, and simulated coverage."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import measured
from scipy import stats

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.estimates import Confidence, estimate_mean, estimate_rate
from mechcheck.stats.measurement import Measurement


def clustered(rng: np.random.Generator, k: int, size: int, between: float) -> tuple[np.ndarray, list[int]]:
    """k templates of `size` prompts with mean 0: a skewed template effect, and noise of standard deviation 1."""
    effects = between * (rng.exponential(size=k) - 1)
    return np.repeat(effects, size) + rng.normal(size=k * size), list(np.repeat(np.arange(k), size))


SURE = Confidence()


def test_t_interval_over_few_templates():
    values, templates = [1.0, 3.0, 2.0, 6.0, 5.0, 7.0], [0, 0, 1, 1, 2, 2]  # template means 2, 4, 6
    found = estimate_mean(measured(values, templates), SURE)
    error = 2 / math.sqrt(3)
    reach = 4.302652729911275 * error  # t quantile at 0.975 with 2 degrees of freedom, from a table
    e = found.estimate
    assert (e.value, e.n, e.clusters, e.level) == (4.0, 6, 3, 0.95)
    assert (e.low, e.high) == pytest.approx((4 - reach, 4 + reach))
    assert (e.method, e.valid, e.caveat) == ("t interval over 3 templates", True, None)
    expected = stats.ttest_1samp([2.0, 4.0, 6.0], 1.0, alternative="greater").pvalue
    assert (found.p_above(1.0), found.p_below(1.0)) == pytest.approx((expected, 1 - expected))


def test_one_template_makes_the_prompts_units():
    values = [1.0, 2.0, 4.0, 5.0]
    found = estimate_mean(measured(values), Confidence(0.95)).estimate
    assert (found.low, found.high) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.9))
    assert found.method == "t interval over 4 prompts"


def test_the_degrees_of_freedom_follow_the_sizes():
    """One template with half of the prompts leaves little to tell the error from: Kish's number is 1 / 0.3."""
    sizes = [10, 2, 2, 2, 2, 2]
    values = np.repeat([1.0, -1.0, 0.5, -0.5, 2.0, -2.0], sizes) + np.tile([0.5, -0.5], 10)
    found = estimate_mean(measured(values, list(np.repeat(range(6), sizes))), SURE, symmetric=True).estimate
    share = np.array(sizes) / 20
    kish = 1 / 0.3
    df = kish - 1 - 0.5 * (1 - kish / 6)
    sums = share * (np.array([1.0, -1.0, 0.5, -0.5, 2.0, -2.0]) - values.mean())
    error = math.sqrt((sums**2 / (1 - share)).sum())
    assert found.high - found.value == pytest.approx(error * stats.t.ppf(0.975, df))
    assert found.high - found.low > 1.5 * 2 * error * stats.t.ppf(0.975, 5) * 0.8


def skewed(seed: int, k: int, size: int) -> Measurement:
    values, templates = clustered(np.random.default_rng(seed), k, size, 3.0)
    return measured(values, templates)


def test_a_long_tail_widens_the_side_that_it_is_on():
    found = estimate_mean(skewed(0, 20, 5), SURE)
    plain = estimate_mean(skewed(0, 20, 5), SURE, symmetric=True).estimate
    e = found.estimate
    assert e.method == "t interval over 20 templates, corrected for skewness"
    assert e.high - e.value > 1.2 * (e.value - e.low)
    assert plain.high - plain.value == pytest.approx(plain.value - plain.low)
    mirrored = estimate_mean(-skewed(0, 20, 5), SURE).estimate
    assert (mirrored.low, mirrored.high) == pytest.approx((-e.high, -e.low))


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["normal", "skewed", "yes/no", "spike", "ratio", "equal"]),
    st.integers(2, 20),
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.sampled_from([0.9, 0.95, 0.975, 0.99]),
)
def test_a_threshold_is_outside_exactly_where_a_p_value_is_small(kind, k, size, seed, side):
    """One construction: whatever the data and the sizes of templates, the interval holds what neither test excludes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, size + 1, size=k)
    n, templates = int(sizes.sum()), list(np.repeat(np.arange(k), sizes))
    values = {
        "normal": lambda: rng.normal(size=n), "skewed": lambda: np.exp(1.5 * rng.normal(size=n)), "equal": lambda: np.full(n, 0.3),
        "yes/no": lambda: (rng.random(n) < 0.8).astype(float), "spike": lambda: np.where(rng.random(n) < 0.8, 0.0, rng.normal(size=n)),
        "ratio": lambda: rng.normal(size=n),
    }[kind]()  # fmt: skip
    below = np.exp(0.2 * rng.normal(size=n)) if kind == "ratio" else None
    confidence = Confidence(side)
    found = estimate_mean(measured(values, templates, denominator=below), confidence)
    e = found.estimate
    if not e.valid:  # nothing is decided on it
        return
    for threshold in (*np.linspace(-1.5, 1.5, 13), e.low - 1e-3, e.low + 1e-3, e.high - 1e-3, e.high + 1e-3):
        above, under = found.p_above(threshold), found.p_below(threshold)
        assert 0 < above <= 1
        assert 0 < under <= 1
        if min(abs(threshold - e.low), abs(threshold - e.high)) > 1e-6:
            assert (threshold < e.low) == (above <= confidence.alpha)
            assert (threshold > e.high) == (under <= confidence.alpha)


@pytest.mark.parametrize("n", [3, 10, 1000, 100_000])
def test_a_tie_is_no_difference_at_any_number_of_prompts(n):
    found = estimate_mean(measured([0.1] * n), SURE)
    assert found.p_above(0.1) == pytest.approx(0.5, abs=1e-3)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.1, 0.1))
    assert found.estimate.method == "every prompt gives the same value"
    assert 0 < found.p_above(0.09) < 1e-8


def test_rounding_is_no_effect():
    for values in ([1e-14] * 8, list(1e-14 * np.random.default_rng(0).random(8))):
        assert estimate_mean(measured(values), SURE).p_above(0.0) > 0.4
    # What was computed from large values is rounded as they are, however small the difference itself.
    large = measured(np.linspace(1e4, 2e4, 8))
    assert estimate_mean((large + 1e-7) - large, SURE).p_above(0.0) > 0.3
    assert estimate_mean((large + 1e-2) - large, SURE).p_above(0.0) < 1e-6


def test_small_values_are_judged_by_their_own_scale():
    values = np.random.default_rng(0).normal(1.0, 0.5, size=12)
    plain, small = (estimate_mean(measured(values * scale), SURE) for scale in (1.0, 1e-8))
    assert small.p_above(0.0) == pytest.approx(plain.p_above(0.0))


def test_templates_that_agree_by_design_do_not_make_the_interval_vanish():
    """Every template has the same two values: their means agree exactly, the prompts do not."""
    found = estimate_mean(measured([0.2, 0.7] * 8, list(np.repeat(range(8), 2))), SURE).estimate
    independent = np.std([0.2, 0.7] * 8, ddof=1) / 4
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 7) * independent / 2)


class TestRatio:
    """A ratio exceeds t where the mean of a - t b is above zero (Fieller)."""

    top = np.array([1.0, 2.0, 4.5, 3.0, 3.5, 2.0, 2.5, 2.0])
    bottom = np.array([2.0, 3.0, 6.0, 5.0, 6.0, 4.0, 3.0, 4.5])

    def test_its_tests_are_those_of_a_mean(self):
        found = estimate_mean(measured(self.top, denominator=self.bottom), SURE)
        assert found.estimate.value == pytest.approx(20.5 / 33.5)
        for t in (0.58, 20.5 / 33.5, 0.64):  # near the share, where their skewness is much the same
            of_mean = estimate_mean(measured(self.top - t * self.bottom), SURE)
            assert found.p_above(t) == pytest.approx(of_mean.p_above(0.0), abs=0.01)
            assert found.p_below(t) == pytest.approx(of_mean.p_below(0.0), abs=0.01)

    def test_the_interval_is_fiellers(self):
        """Written out: the t with (mean(a) - t mean(b))^2 = q^2 var(a - t b) / n, for values without skewness."""
        half = np.random.default_rng(3).normal(size=(2, 20))
        a, b = 1 + 0.2 * np.c_[half, -half][0], 2 + 0.2 * np.c_[half, -half][1]  # symmetric: there is no skewness to correct
        e = estimate_mean(measured(a, denominator=b), SURE).estimate
        q2 = stats.t.ppf(0.975, 39) ** 2 / 40
        c = np.cov(a, b)
        quadratic = [b.mean() ** 2 - q2 * c[1, 1], -2 * (a.mean() * b.mean() - q2 * c[0, 1]), a.mean() ** 2 - q2 * c[0, 0]]
        assert (e.low, e.high) == pytest.approx(sorted(np.roots(quadratic)))

    def test_a_negative_denominator_turns_nothing_round(self):
        plain, turned = (estimate_mean(measured(s * self.top, denominator=s * self.bottom), SURE) for s in (1, -1))
        assert (turned.estimate.low, turned.estimate.high) == pytest.approx((plain.estimate.low, plain.estimate.high))
        assert turned.p_above(0.5) == pytest.approx(plain.p_above(0.5))

    @pytest.mark.parametrize("bottom", [[1.0, -1.0, 0.5, -0.4, 0.2, 0.1, 0.3, -0.2], [1.0, -1.0] * 4, [0.0] * 8])
    def test_of_nothing_it_is_undefined(self, bottom):
        found = estimate_mean(measured(self.top, denominator=bottom), SURE)
        e = found.estimate
        assert (e.low, e.high, e.valid) == (-math.inf, math.inf, False)
        assert e.caveat.startswith("the share is of something that is not told from zero")
        assert (found.p_above(0.0), found.p_below(0.0)) == (1.0, 1.0)

    def test_the_same_share_everywhere_has_no_width(self):
        found = estimate_mean(measured(0.25 * self.bottom, denominator=self.bottom), SURE)
        assert (found.estimate.low, found.estimate.high) == pytest.approx((0.25, 0.25))
        assert found.p_above(0.25) > 0.4
        assert found.p_above(0.24) < 0.001


class TestCaveats:
    """Where an interval keeps its level only if it is widened, or by no means known, it says so."""

    def test_few_that_differ(self):
        values = [0.0] * 30 + [1.7, 2.1]
        e = estimate_mean(measured(values), SURE).estimate
        assert e.valid
        assert e.caveat == "30 of 32 prompts have one value, and the mean rests on the others: the interval is 3.0 times as wide"
        plain = estimate_mean(measured(values), SURE, symmetric=True).estimate
        assert e.high - e.low > 3 * (plain.high - plain.low)

    def test_skewed_and_few(self):
        e = estimate_mean(measured([0.1, 0.2, 0.1, 0.3, 0.2, 9.0]), SURE).estimate
        assert not e.valid
        assert e.caveat == "skewed values, and only 6 independent prompts' worth of them: no interval is known to hold"

    def test_skewed_and_not_so_few(self):
        e = estimate_mean(measured([*np.linspace(0.1, 1.0, 13), 9.0]), SURE).estimate
        assert e.valid
        assert e.caveat == "skewed values, and only 14 independent prompts' worth of them: the interval is twice as wide"

    def test_plenty_need_none(self):
        assert estimate_mean(measured(np.exp(np.random.default_rng(0).normal(size=200))), SURE).estimate.caveat is None


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: clustered(rng, 16, 6, 0.7), 0.0),
        (lambda rng: (np.exp(rng.normal(size=80)), list(np.repeat(range(16), 5))), math.exp(0.5)),
        (lambda rng: (np.where(rng.random(160) < 0.1, rng.exponential(size=160), 0.0), list(np.repeat(range(16), 10))), 0.1),
        (lambda rng: (rng.normal(size=30), list(np.repeat(range(5), [15, 6, 4, 3, 2]))), 0.0),
    ],
    ids=["skewed templates", "lognormal", "mostly zero", "unequal"],
)
def test_coverage(draw, truth):
    """`python benchmarks/coverage.py` has the whole grid."""
    rng, missed = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        e = estimate_mean(measured(*draw(rng)), SURE).estimate
        missed += [truth < e.low, e.high < truth]
    assert missed.max() / 400 <= 0.06
    assert missed.sum() / 400 <= 0.08


def test_a_repeated_prompt_counts_once():
    values, ids = [1.0, 2.0, 6.0], ["a", "b", "c"]
    once = estimate_mean(measured(values, ids=ids), SURE).estimate
    thrice = estimate_mean(measured(values * 3, ids=ids * 3), SURE).estimate
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.clusters == 3
    single = estimate_rate(measured([1, 1, 1], ids=ids), SURE).estimate
    many = estimate_rate(measured([1, 1, 1] * 5, ids=ids * 5), SURE).estimate
    assert many.low == pytest.approx(single.low)


@pytest.mark.parametrize("estimate", [estimate_mean, estimate_rate])
def test_one_prompt_has_no_interval(estimate):
    for ids in (["a"], ["a", "a", "a"]):
        with pytest.raises(MechcheckError, match="an interval needs at least 2 different prompts"):
            estimate(measured([1.0] * len(ids), ids=ids), SURE)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values(bad):
    with pytest.raises(NonFiniteError, match=r"drop is not finite on 1 of 3 prompts \(1\)"):
        estimate_mean(measured([1.0, bad, 2.0], name="drop"), SURE)
    with pytest.raises(NonFiniteError):
        estimate_mean(measured([1.0, 2.0, 3.0], denominator=[1.0, bad, 1.0]), SURE)
    with pytest.raises(NonFiniteError):
        estimate_rate(measured([1.0, bad, 0.0]), SURE)


ALMOST = st.lists(st.tuples(st.integers(0, 40), st.floats(-40, 40)), min_size=2, max_size=60)


@given(ALMOST, st.sampled_from([2.0, -25.0]), st.sampled_from([1e-9, 1e-10, 1e-12]), st.sampled_from([0.0, 1.0, 30.0]))
def test_values_that_differ_by_about_rounding(drawn, base, step, size):
    """Each is the same as its neighbour, and the first is not the same as the last: nothing is divided by the number of the others."""
    values = base + step * np.array([jitter for _, jitter in drawn])
    found = estimate_mean(replace(measured(values, [unit for unit, _ in drawn]), size=size), SURE).estimate
    assert found.low <= found.value <= found.high
    assert found.high - found.low <= 1e4 * (max(1e-9 * max(size, abs(base)), 1e-12) + step)


def test_a_chain_of_neighbours_is_not_one_value():
    """Half a tolerance apart: at most three of sixty are the same, and the mean rests on all of them."""
    found = estimate_mean(measured(1 + 0.5e-9 * np.arange(60)), SURE).estimate
    assert found.caveat is None
    assert found.high - found.low > 2e-9
    spiked = estimate_mean(measured([1.0] * 55 + [1 + 1e-3 * i for i in range(1, 6)]), SURE).estimate
    assert spiked.caveat.startswith("55 of 60 prompts have one value")


def test_prompts_given_twice_whose_values_cancel():
    """Merged, each prompt says the same; apart, none does."""
    found = estimate_mean(measured([1.0, 3.0, 3.0, 1.0], ids=list("abab")), SURE).estimate
    assert (found.value, found.valid) == (2.0, False)
    assert "cancel" in found.caveat
    assert found.low < 1.5
    assert found.high > 2.5
