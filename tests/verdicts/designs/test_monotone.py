"""`check.monotone`: every step and the whole way, in both directions, and what is refused."""

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.measures.stream.curves import SteeringCurve
from mechcheck.stats.estimates import Confidence
from mechcheck.verdicts.check import Check

NOISE = np.random.default_rng(0).normal(0, 1, 24)
IDS, TEMPLATES = tuple(f"p{i}" for i in range(24)), tuple(f"t{i % 8}" for i in range(24))


def curve(*means: float, scales: tuple[float, ...] | None = None) -> SteeringCurve:
    """Of these means at doses 0, 1, ...; what prompts differ by is the same at each, but for a little."""
    little = np.random.default_rng(1).normal(0, 0.1, (len(means), 24))
    values = np.array(means)[:, None] + NOISE + little - little.mean(-1, keepdims=True)
    return SteeringCurve(tuple(map(float, range(len(means)))) if scales is None else scales, values, IDS, TEMPLATES, "effect", "logits")


def decided(*means: float, **told) -> Check:
    check = Check(Confidence())
    check.monotone(curve(*means), **told)
    return check


@pytest.mark.parametrize(
    ("means", "told", "verdict"),
    [
        ((0, 1, 2, 3), {"rises": 2}, "supported"),
        ((3, 2, 1, 0), {"falls": 2}, "supported"),
        ((0, 1, 2, 3), {"falls": 0}, "refuted"),
        ((0, 2, 1, 3), {"rises": 2}, "refuted"),  # it turns back, though it rises in all
        ((0, 1, 2, 3), {"rises": 4}, "refuted"),
        ((0, 1, 1, 2), {"rises": 1}, "inconclusive"),  # flat for a while
        ((0, 1, 1, 2), {"rises": 1, "tolerance": 0.2}, "supported"),
        ((0, 1, 0.5, 2), {"rises": 1, "tolerance": 0.2}, "refuted"),
    ],
)
def test_directions(means, told, verdict):
    assert decided(*means, **told).verdict == verdict


def test_a_trend_is_not_enough():
    """Its slope is far from none, and yet it turns back."""
    check, turning = Check(Confidence()), curve(0, 3, 2, 6)
    assert check.above(turning.slope, 1.0).low > 1
    check.monotone(turning, rises=1.0)
    assert [e.verdict for e in check.expectations] == ["supported", "supported", "refuted", "supported", "supported"]


def test_each_step_is_an_expectation():
    check = decided(0, 1, 2, rises=1.5)
    assert [e.label for e in check.expectations] == [
        "effect rises from dose 0 to 1", "effect rises from dose 1 to 2", "effect rises by more than 1.5 from dose 0 to 2",
    ]  # fmt: skip
    assert [e.estimate.value for e in check.expectations] == pytest.approx([1, 1, 2])
    labels = [e.label for e in decided(2, 1, 0, falls=0, tolerance=0.1).expectations]
    assert labels[0] == "effect rises by no more than 0.1 from dose 0 to 1"
    assert labels[-1] == "effect falls by more than 0 from dose 0 to 2"
    assert [str(e.threshold) for e in check.expectations] == ["0.0", "0.0", "1.5"]  # and no -0.0


def test_doses_are_taken_in_their_order():
    check = Check(Confidence())
    check.monotone(curve(2, 0, 1, scales=(0.5, -1.0, 0.0)), rises=1.0)
    assert check.verdict == "supported"
    assert check.expectations[0].label == "effect rises from dose -1 to 0"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "needs one direction"),
        ({"rises": 1, "falls": 1}, "needs one direction"),
        ({"rises": -1}, r"rises=-1.0\): 0 or more"),
        ({"falls": float("inf")}, r"falls=inf\): 0 or more"),
        ({"rises": "1"}, r"monotone\(rises=\.\.\.\): a number is expected"),
        ({"rises": 1, "tolerance": None}, r"monotone\(tolerance=\.\.\.\): a number is expected"),
        ({"rises": 1, "tolerance": -0.1}, r"tolerance=-0.1\): 0 or more"),
    ],
)
def test_what_is_refused(told, words):
    with pytest.raises(ClaimError, match=words):
        decided(0, 1, 2, **told)


def test_curves_that_are_none():
    check = Check(Confidence())
    with pytest.raises(ClaimError, match="takes a curve"):
        check.monotone([0, 1, 2], rises=1)
    with pytest.raises(ClaimError, match="two are a comparison"):
        check.monotone(curve(0, 1), rises=0)
    with pytest.raises(ClaimError, match="all different"):
        check.monotone(curve(0, 1, 2, scales=(0.0, 1.0, 1.0)), rises=0)
    with pytest.raises(NonFiniteError, match="effect is not finite"):
        check.monotone(curve(0, 1, float("nan")), rises=0)
