"""One expectation has three outcomes; a claim is as good as its worst."""

import itertools

import pytest

from mechcheck.stats.estimates import Estimate
from mechcheck.verdicts.verdict import combine, decide


def interval(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.95, 10, 10, "by hand")


@pytest.mark.parametrize(
    ("low", "high", "above_0", "below_0", "within_1"),
    [
        (0.1, 0.5, "supported", "refuted", "supported"),
        (-0.5, -0.1, "refuted", "supported", "supported"),
        (-0.5, 0.5, "inconclusive", "inconclusive", "supported"),
        (0.0, 0.5, "inconclusive", "inconclusive", "supported"),
        (-0.5, 0.0, "inconclusive", "inconclusive", "supported"),
        (0.5, 1.0, "supported", "refuted", "inconclusive"),
        (-1.0, 0.5, "inconclusive", "inconclusive", "inconclusive"),
        (-3.0, 3.0, "inconclusive", "inconclusive", "inconclusive"),
        (1.0, 2.0, "supported", "refuted", "inconclusive"),
        (1.1, 2.0, "supported", "refuted", "refuted"),
        (-2.0, -1.1, "refuted", "supported", "refuted"),
    ],
)
def test_three_outcomes(low, high, above_0, below_0, within_1):
    """An interval that touches a threshold decides nothing."""
    estimate = interval(low, high)
    assert decide(estimate, low=0) == above_0
    assert decide(estimate, high=0) == below_0
    assert decide(estimate, -1, 1) == within_1


def test_no_width_on_the_threshold_is_inconclusive():
    assert decide(interval(0.0, 0.0), low=0) == "inconclusive"


def test_combine():
    outcomes = ("supported", "inconclusive", "refuted")
    for pair in itertools.product(outcomes, repeat=2):
        assert combine(pair) == max(pair, key=outcomes.index)
    assert combine(["supported"] * 3) == "supported"
    assert combine([]) == "inconclusive"
