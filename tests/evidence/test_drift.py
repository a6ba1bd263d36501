"""Drift against scipy's paired tests, formulas by hand, and simulations of what it sees and how often it is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.evidence.drift import adjust_by_claim, combine_changes, difference, judge, margin_of
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

RUNS = 400


def measured(values, templates=None, ids=None, denominator=None) -> Measurement:
    n = len(values)
    return Measurement(
        np.asarray(values, float), tuple(ids or map(str, range(n))), tuple(map(str, ["all"] * n if templates is None else templates)),
        denominator=None if denominator is None else np.asarray(denominator, float),
    )  # fmt: skip


def two_runs(rng, n, shift, correlation, mean=1.0):
    """Two runs of the same prompts with standard deviation 1: what a prompt has in common, and what each run adds."""
    common = rng.normal(size=n) * math.sqrt(correlation)
    noise = math.sqrt(1 - correlation)
    return tuple(mean + s + common + noise * rng.normal(size=n) for s in (0.0, shift))


def test_against_a_paired_t_test():
    before, after = two_runs(np.random.default_rng(0), 40, 0.3, 0.9)
    found = difference(measured(before), measured(after))
    oracle = stats.ttest_rel(after, before)
    interval = oracle.confidence_interval(0.95)
    e = found.estimate
    assert (found.before, found.after) == pytest.approx((before.mean(), after.mean()))
    assert (e.value, e.low, e.high) == pytest.approx((after.mean() - before.mean(), interval.low, interval.high))
    assert found.p == pytest.approx(oracle.pvalue)
    assert (e.n, e.clusters, e.level, found.identical) == (40, 40, 0.95, False)
    assert e.method == "paired by prompt, t interval over 40 prompts"


def test_templates_are_the_units():
    before, after = np.zeros(12), np.array([1.0, 1, 1, 3, 3, 3, 2, 2, 2, 6, 6, 6])
    found = difference(measured(before, np.repeat(range(4), 3)), measured(after, np.repeat(range(4), 3)))
    oracle = stats.ttest_1samp([1.0, 3, 2, 6], 0)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(oracle.confidence_interval(0.95))
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.estimate.n, found.estimate.clusters) == (12, 4)


def test_pairs_are_found_by_prompt_and_not_by_place():
    ids = ["a", "b", "c", "d", "e"]
    before = measured([1.0, 2, 3, 4, 5], ids=ids)
    after = measured([4.5, 1.0, 9.0, 3.0], ids=["d", "a", "new", "c"])
    found = difference(before, after)
    assert (found.before, found.after, found.estimate.n) == (pytest.approx(8 / 3), pytest.approx(8.5 / 3), 3)
    assert found.estimate.high == pytest.approx(stats.ttest_1samp([0.5, 0, 0], 0).confidence_interval(0.95).high)
    shuffled = measured([5.0, 4, 3, 2, 1], ids=ids[::-1])
    assert difference(before, shuffled).identical


def test_a_repeated_prompt_is_paired_with_its_own_repetition():
    before, after = measured([1.0, 5.0, 2.0], ids=["a", "a", "b"]), measured([2.5, 1.5, 5.0], ids=["b", "a", "a"])
    found = difference(before, after)
    assert found.estimate.value == pytest.approx(1 / 3)
    assert found.estimate.clusters == 2


@pytest.mark.parametrize(("shared", "enough"), [(0, False), (1, False), (4, False), (5, True), (10, True)])
def test_too_few_prompts_in_common(shared, enough):
    before = measured(np.arange(20.0), ids=[f"p{i}" for i in range(20)])
    after = measured(np.arange(10.0) * 1.1, ids=[f"p{i + 10 - shared}" for i in range(10)][:shared] + [f"q{i}" for i in range(10 - shared)])
    if enough:
        assert difference(before, after).estimate.n == shared
    else:
        with pytest.raises(MechcheckError, match=f"{shared} of 10 prompts in common: too few to be paired"):
            difference(before, after)


def test_a_ratio_is_the_difference_of_the_ratios():
    rng = np.random.default_rng(1)
    tops, bottoms = rng.normal(3, 1, (2, 30)), rng.normal(4, 0.5, (2, 30))
    found = difference(measured(tops[0], denominator=bottoms[0]), measured(tops[1], denominator=bottoms[1]))
    ratios = tops.sum(1) / bottoms.sum(1)
    # The jackknife: leave each prompt out of both runs, an account of the error that uses no derivative.
    left = (tops.sum(1, keepdims=True) - tops) / (bottoms.sum(1, keepdims=True) - bottoms)
    changes = left[1] - left[0]
    error = math.sqrt(29 / 30 * ((changes - changes.mean()) ** 2).sum())
    assert found.estimate.value == pytest.approx(ratios[1] - ratios[0])
    assert found.estimate.high - found.estimate.value == pytest.approx(error * stats.t.ppf(0.975, 29), rel=0.05)
    assert (found.before, found.after) == pytest.approx(tuple(ratios))


def test_a_mean_and_a_ratio_are_not_compared():
    with pytest.raises(MechcheckError, match="one run measured a mean and the other a ratio of means"):
        difference(measured([1.0, 2, 3]), measured([1.0, 2, 3], denominator=[1.0, 1, 1]))
    nothing = measured([1.0, 2, 3], denominator=[0.0, 0, 5], ids=["a", "b", "c"])
    with pytest.raises(NonFiniteError, match="the denominator sums to zero over the prompts in common"):
        difference(nothing, measured([1.0, 2], denominator=[0.0, 0.0], ids=["a", "b"]))


def test_a_rate_is_adjusted_as_published():
    """Bonett and Price 2012: one changed pair added each way; their interval up to t in place of z and n - 1 in place of n."""
    before, after = np.array([1.0] * 30 + [0.0] * 30), np.array([1.0] * 27 + [0.0] * 3 + [1.0] * 9 + [0.0] * 21)
    found = difference(measured(before), measured(after), rate=True).estimate
    up, down, n = (9 + 1) / 62, (3 + 1) / 62, 62
    error = math.sqrt((up + down - (up - down) ** 2) / (n - 1))
    assert found.value == pytest.approx(6 / 60)
    assert (found.low, found.high) == pytest.approx(
        (up - down - error * stats.t.ppf(0.975, 61), up - down + error * stats.t.ppf(0.975, 61))
    )
    assert (found.n, found.clusters) == (60, 60)
    clustered = difference(measured(before, np.arange(60) % 12), measured(after, np.arange(60) % 12), rate=True).estimate
    assert (clustered.n, clustered.clusters) == (60, 12)


def test_a_rate_of_prompts_given_three_times_is_no_surer():
    before, after, ids = np.array([1.0] * 8 + [0.0] * 4), np.array([1.0] * 5 + [0.0] * 7), [f"p{i}" for i in range(12)]
    once = difference(measured(before, ids=ids), measured(after, ids=ids), rate=True).estimate
    again = difference(measured(np.tile(before, 3), ids=ids * 3), measured(np.tile(after, 3), ids=ids * 3), rate=True).estimate
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))


def test_the_same_change_everywhere_is_no_chance():
    found = difference(measured([1.0, 2.0, 4.0]), measured([1.5, 2.5, 4.5]))
    assert (found.estimate.low, found.estimate.high) == (0.5, 0.5)
    assert 0 < found.p < 1e-12
    assert judge(found, 0.4, None) == "drifted"
    assert judge(found, 0.6, None) == "same"


def test_identical_runs_are_the_same_whatever_the_margin():
    values = np.random.default_rng(0).normal(size=30)
    found = difference(measured(values), measured(values.copy()))
    assert found.identical
    assert (found.p, found.estimate.low, found.estimate.high) == (None, 0.0, 0.0)
    assert judge(found, 0.0, None) == "same"
    by_a_bit = np.where(np.arange(30) == 3, np.nextafter(values, 9), values)
    assert not difference(measured(values), measured(by_a_bit)).identical


@pytest.mark.parametrize(
    ("low", "value", "high", "p", "status"),
    [
        (-0.9, 0.0, 0.9, 0.9, "same"),
        (0.1, 0.5, 0.9, 0.001, "same"),  # changed, and negligibly
        (-1.1, 0.0, 1.1, 0.9, "unsure"),
        (0.1, 0.6, 1.1, 0.001, "unsure"),  # changed; whether negligibly is open
        (0.5, 1.5, 2.5, 0.01, "drifted"),
        (-2.5, -1.5, -0.5, 0.01, "drifted"),
        (0.5, 1.5, 2.5, 0.051, "unsure"),  # not significant after adjustment
        (-1.0, 0.0, 0.5, 0.9, "unsure"),  # on the margin is not within it
    ],
)
def test_judging_at_margin_1(low, value, high, p, status):
    from mechcheck.evidence.drift import Difference
    from mechcheck.stats.estimates import Estimate

    assert judge(Difference(0.0, value, Estimate(value, low, high, 0.95, 9, 9, ""), p, False), 1.0, p) == status


def test_a_claim_is_judged_by_its_gravest_expectation():
    assert combine_changes(["same", "drifted", "unsure"]) == "drifted"
    assert combine_changes(["same", "unsure"]) == "unsure"
    assert combine_changes(["same", "same"]) == "same"


@pytest.mark.parametrize(
    ("effect", "threshold", "margin"),
    [
        (8.0, 0.0, 0.4),
        (8.0, 7.9, 0.4),
        (-8.0, 0.0, 0.4),
        (0.0, 1.0, 0.05),
        (0.02, [-0.5, 0.5], 0.024),
        (0.99, 0.75, 0.0495),
        (0.0, 0.0, 0.0),
    ],
)
def test_margins(effect, threshold, margin):
    assert margin_of(effect, threshold) == pytest.approx(margin)
    assert margin_of(effect, threshold, 0.1) == pytest.approx(2 * margin)


def test_p_values_are_adjusted_over_claims():
    # Claim p-values by hand: 2 * 0.004 = 0.008, 0.03, 0.5; Benjamini-Hochberg: 0.024, 0.045, 0.5.
    found = adjust_by_claim([[0.004, 0.1], [None], [0.03], [], [0.5, None]])
    assert found[0][0] == pytest.approx(0.024)
    assert found[0][1] == pytest.approx(2 * 0.1 * 3)  # raised as the claim's smallest was
    assert found[1:] == [[None], [pytest.approx(0.045)], [], [pytest.approx(0.5), None]]
    assert adjust_by_claim([]) == []


def test_power_and_false_alarms_of_the_paired_test():
    """n=200, a shift of 0.1 standard deviations, correlation 0.9: theory says 0.885 at 5% (z = 0.1 / sqrt(0.2 / 200) = 3.16)."""
    rng, seen, unpaired, overlap = np.random.default_rng(0), {0.0: [], 0.1: []}, 0, 0
    for shift, found in seen.items():
        for _ in range(RUNS):
            before, after = two_runs(rng, 200, shift, 0.9)
            d = difference(measured(before), measured(after))
            found.append((d.p <= 0.05, judge(d, margin_of(d.before, 0.0), d.p)))
            a, b = (estimate_mean(measured(x), Confidence()).estimate for x in (before, after))
            unpaired += stats.ttest_ind(before, after).pvalue <= 0.05
            overlap += a.high < b.low or b.high < a.low
    alarms, power = (np.mean([p for p, _ in found]) for found in seen.values())
    assert 0.84 <= power <= 0.93
    assert 0.02 <= alarms <= 0.08
    assert np.mean([status == "drifted" for _, status in seen[0.1]]) == power  # with an effect of 1 the margin is 0.05, and p decides
    assert not any(status == "same" for _, status in seen[0.1])
    assert unpaired / RUNS < 0.01
    assert overlap == 0


def test_power_to_call_the_same_the_same():
    """An effect of 3 standard deviations has a margin of 0.15: the interval's reach is 0.062, so 99% by theory."""
    rng, same = np.random.default_rng(5), 0
    for _ in range(RUNS):
        d = difference(*map(measured, two_runs(rng, 200, 0.0, 0.9, mean=3.0)))
        same += judge(d, margin_of(d.before, 0.0), 1.0) == "same"
    assert same / RUNS >= 0.97


def test_false_alarms_where_runs_differ_by_template():
    """Nothing changed on average, but each template moved: an analysis of prompts cries drift, one of templates does not."""
    rng, ours, naive = np.random.default_rng(1), 0, 0
    templates = np.repeat(np.arange(16), 10)
    for _ in range(RUNS):
        before = rng.normal(3, 1, 160)
        after = before + np.repeat(rng.normal(0, 0.3, 16), 10) + rng.normal(0, 0.3, 160)
        ours += difference(measured(before, templates), measured(after, templates)).p <= 0.05
        naive += stats.ttest_rel(after, before).pvalue <= 0.05
    assert 0.02 <= ours / RUNS <= 0.08
    assert naive / RUNS > 0.35


@pytest.mark.parametrize("changing", [0.02, 0.2])
def test_false_alarms_of_a_rate(changing):
    """Prompts change sides at random, equally often each way."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(RUNS):
        before = (rng.random(120) < 0.5).astype(float)
        after = np.where(rng.random(120) < changing, 1 - before, before)
        found = difference(measured(before, np.arange(120) % 24), measured(after, np.arange(120) % 24), rate=True)
        alarms += found.p is not None and found.p <= 0.05
    assert alarms / RUNS <= 0.065


def test_a_change_of_the_margin_is_seldom_called_the_same():
    """Two one-sided tests at 2.5%: a true change of exactly the margin passes as often as that."""
    rng, same = np.random.default_rng(3), 0
    for _ in range(RUNS):
        before, after = two_runs(rng, 200, 0.2, 0.9)
        same += judge(difference(measured(before), measured(after)), 0.2, 1.0) == "same"
    assert same / RUNS <= 0.05


def test_false_discoveries_among_many_claims():
    """40 claims of which 8 drifted: of those called drifted about 5% at most did not, and nearly all 8 are found."""
    rng, wrong, found = np.random.default_rng(4), [], []
    for _ in range(40):
        differences = [difference(*map(measured, two_runs(rng, 100, 0.25 if i < 8 else 0.0, 0.9))) for i in range(40)]
        adjusted = adjust_by_claim([[d.p] for d in differences])
        statuses = [judge(d, margin_of(d.before, 0), p) for d, (p,) in zip(differences, adjusted, strict=True)]
        called = [i for i, status in enumerate(statuses) if status == "drifted"]
        wrong.append(sum(i >= 8 for i in called) / max(1, len(called)))
        found.append(sum(i < 8 for i in called) / 8)
    assert np.mean(wrong) <= 0.06
    assert np.mean(found) >= 0.9
