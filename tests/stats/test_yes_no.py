"""The mean of ones and zeros is a rate, also where a yes and a no count something else: its interval is a rate's."""

import math

import numpy as np
import pytest
from samples import measured

from mechcheck.stats.estimates import Confidence, estimate_mean, estimate_rate
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.power import settles

SURE = Confidence()


def test_a_mean_of_yes_and_no_is_a_rate():
    m = measured([1.0] * 16, list(np.repeat(range(8), 2)))
    assert estimate_mean(m, SURE).estimate == estimate_rate(m, SURE).estimate
    assert estimate_mean(m, SURE).estimate.low == pytest.approx(0.025 ** (1 / 8))


def test_what_has_a_unit_is_what_it_says():
    attention = Measurement(np.ones(8), tuple(map(str, range(8))), ("t",) * 8, "attention", "share of attention")
    assert (estimate_mean(attention, SURE).estimate.low, attention.is_yes_no) == (1.0, False)
    share = Measurement(np.ones(8), tuple(map(str, range(8))), ("t",) * 8, "attention", "share of prompts")
    assert estimate_mean(share, SURE).estimate.low == pytest.approx(0.025 ** (1 / 8))


@pytest.mark.parametrize(
    ("how", "no", "yes"),
    [(lambda m: 1 - m, 1, 0), (lambda m: -m, 0, -1), (lambda m: 100 * m, 0, 100), (lambda m: (m - 0.5) / 4, -0.125, 0.125),
     (lambda m: 1 - (1 - m), 0, 1), (lambda m: True * m, 0, 1)],
    ids=["errors", "negative", "percent", "from chance", "twice", "once"],
)  # fmt: skip
@pytest.mark.parametrize("yeses", [0, 9, 16])
def test_what_follows_from_a_rate_has_its_interval(how, no, yes, yeses):
    """The error rate is as sure as the accuracy, and so are percents, also where all agree."""
    holds = measured([1.0] * yeses + [0.0] * (16 - yeses), list(np.arange(16) % 8))
    rate, found = estimate_rate(holds, SURE), estimate_mean(how(holds), SURE)
    expected = [no + (yes - no) * x for x in (rate.estimate.value, *sorted((rate.estimate.low, rate.estimate.high), reverse=no > yes))]
    assert [found.estimate.value, found.estimate.low, found.estimate.high] == pytest.approx(expected)
    assert found.error == pytest.approx(abs(yes - no) * rate.error)
    threshold = 0.7
    above, below = (p(no + (yes - no) * threshold) for p in (found.p_above, found.p_below))
    assert (above, below) == pytest.approx((rate.p_above(threshold), rate.p_below(threshold))[:: 1 if yes > no else -1])


def test_a_constant_factor_of_nothing_is_no_rate():
    assert estimate_mean(0 * measured([1.0, 0.0] * 4), SURE).estimate.method == "every prompt gives the same value"


@pytest.mark.parametrize(
    ("how", "step"), [(lambda a, b: (1 - b) - (1 - a), 1), (lambda a, b: 100 * a - 100 * b, 100), (lambda a, b: (1 - b) + a, 1)],
    ids=["of errors", "in percent", "of both"],
)  # fmt: skip
def test_a_difference_in_other_words_has_the_same_interval(how, step):
    a, b = measured([1.0] * 7 + [0.0] * 5), measured([1.0] * 5 + [0.0] * 5 + [1.0, 0.0])
    plain, found = estimate_mean(a - b, SURE).estimate, estimate_mean(how(a, b), SURE).estimate
    shift = found.value - step * plain.value
    assert (found.low, found.high) == pytest.approx((step * plain.low + shift, step * plain.high + shift))
    assert found.method == plain.method
    assert estimate_mean(50 * (a - b) + 1, SURE).estimate.low == pytest.approx(50 * plain.low + 1)


def test_a_quotient_or_a_difference_is_no_rate():
    yes = measured([1.0] * 8)
    for other in (yes / yes, yes - (yes < 0)):
        with pytest.raises(ValueError, match="no quotient or difference"):
            estimate_rate(other, SURE)


@pytest.mark.parametrize(
    ("how", "shift"), [(lambda a, b: a - b, 0.0), (lambda a, b: a / b, 1.0)], ids=["difference", "quotient"]
)  # fmt: skip
def test_what_compares_two_is_widened_by_a_pair_each_way(how, shift):
    """One prompt more that answered yes and then no, and one the other way round."""
    templates = list(np.repeat(range(6), 2))
    first, second = measured([1.0] * 11 + [0.0], templates), measured([1.0] * 12, templates)
    e = estimate_mean(how(first, second), SURE).estimate
    assert e.value == pytest.approx(shift - 1 / 12)
    assert e.low < shift - 0.2
    assert e.high > shift + 0.05
    assert "a pair added each way" in e.method
    assert (e.n, e.clusters) == (12, 6)
    percent = estimate_mean(100 * how(first, second), SURE).estimate
    assert (percent.low, percent.high) == pytest.approx((100 * e.low, 100 * e.high))


def test_what_would_settle_a_rate_settles_what_follows_from_it():
    holds = measured([1.0] * 30 + [0.0] * 10, list(np.arange(40) % 20))
    rate = settles(estimate_rate(holds, SURE), (0.7, math.inf), SURE.alpha)
    errors = settles(estimate_mean(100 * (1 - holds), SURE), (-math.inf, 30.0), SURE.alpha)
    assert (errors.templates, errors.prompts) == (rate.templates, rate.prompts)
    assert errors.mde == pytest.approx(100 * rate.mde)
