"""One expectation has three outcomes; a claim is as good as its worst."""

import itertools
import math
from dataclasses import replace

import pytest

from mechcheck.stats.estimates import Estimate
from mechcheck.verdicts.verdict import Expectation, combine, decide, deciding


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
    assert decide(estimate, (0, math.inf)) == above_0
    assert decide(estimate, (-math.inf, 0)) == below_0
    assert decide(estimate, (-1, 1)) == within_1


def test_no_width_on_the_threshold_is_inconclusive():
    assert decide(interval(0.0, 0.0), (0, math.inf)) == "inconclusive"


def test_an_estimate_that_is_not_valid_decides_nothing():
    assert decide(replace(interval(1.0, 2.0), valid=False), (0, math.inf)) == "inconclusive"
    assert decide(replace(interval(-2.0, -1.0), valid=False), (0, math.inf)) == "inconclusive"


def test_without_a_finite_interval_nothing_is_defined():
    assert decide(interval(-math.inf, math.inf), (0, math.inf)) == "undefined"


def said(*outcomes: str, needs: tuple[str, ...] = ()) -> list[Expectation]:
    """Preconditions, then what is claimed, with these outcomes."""
    roles = [*(("precondition", outcome) for outcome in needs), *(("claim", outcome) for outcome in outcomes)]
    return [
        Expectation(f"{role} {i}", "above", 0.0, (0.0, math.inf), None, "", interval(0, 1), None, None, outcome, role)
        for i, (role, outcome) in enumerate(roles)
    ]


def test_combine():
    outcomes = ("supported", "inconclusive", "refuted")
    for pair in itertools.product(outcomes, repeat=2):
        assert combine(said(*pair)) == max(pair, key=outcomes.index)
    assert combine(said(*["supported"] * 3)) == "supported"
    assert combine([]) == "inconclusive"


@pytest.mark.parametrize(
    ("needs", "outcomes", "verdict", "decided_by"),
    [
        (("supported",), ("supported", "refuted"), "refuted", 2),
        (("supported",), ("supported", "supported"), "supported", 1),
        (("supported",), ("supported", "inconclusive"), "inconclusive", 2),
        (("refuted",), ("refuted",), "not_applicable", 0),
        (("supported", "refuted"), ("supported",), "not_applicable", 1),
        (("undefined",), ("supported",), "not_applicable", 0),
        (("supported",), ("refuted", "undefined"), "not_applicable", 2),
        (("refuted",), ("undefined",), "not_applicable", 0),
        (("inconclusive",), ("refuted",), "inconclusive", 0),
        (("inconclusive",), ("supported",), "inconclusive", 0),
        (("inconclusive", "refuted"), ("supported",), "not_applicable", 1),
    ],
)
def test_preconditions_come_first(needs, outcomes, verdict, decided_by):
    """Where they are not met nothing is refuted, and where they cannot be told nothing is decided."""
    expectations = said(*outcomes, needs=needs)
    assert combine(expectations) == verdict
    assert deciding(expectations) == decided_by
