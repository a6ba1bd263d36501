"""Measurements: arithmetic keeps the prompts, ratios are ratios of means, NaN stays NaN."""

import math

import numpy as np
import pytest
from samples import measured

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.confounds import explained_by
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.onset import onset
from mechcheck.stats.replication import replication

IDS, TEMPLATES = ("p", "q", "r"), ("t", "t", "u")
A = Measurement(np.array([1.0, 2.0, 6.0]), IDS, TEMPLATES, "a", "logits")
B = Measurement(np.array([2.0, 2.0, 2.0]), IDS, TEMPLATES, "b", "logits")


def test_arithmetic():
    np.testing.assert_array_equal((A - B).values, [-1, 0, 4])
    np.testing.assert_array_equal((A + 1).values, [2, 3, 7])
    np.testing.assert_array_equal((2 * A).values, [2, 4, 12])
    np.testing.assert_array_equal((-A).values, [-1, -2, -6])
    assert (A - B).name == "a - b"
    assert ((A - B).ids, (A - B).templates) == (IDS, TEMPLATES)
    assert A.mean == 3


def test_comparison_is_a_share_of_prompts():
    assert (A > 1.5).mean == pytest.approx(2 / 3)
    assert (A < 1.5).values.tolist() == [1, 0, 0]
    assert (A > 1.5).unit == "share of prompts"


def test_two_measurements_are_compared_prompt_by_prompt():
    for found, values, name in ((A > B, [0, 0, 1], "a > b"), (A < B, [1, 0, 0], "a < b")):
        assert found.values.tolist() == values
        assert (found.name, found.unit, found.is_yes_no) == (name, "share of prompts", True)
    assert np.isnan((Measurement(np.array([0.0, np.nan, 0.0]), IDS, TEMPLATES) < A).values[1])


def test_a_number_can_stand_first():
    assert (1 - A).values.tolist() == [0, -1, -5]
    assert (1 - A).name == "1 - a"
    assert (sum([A, B]).values.tolist(), sum([A, B]).name) == ([3, 4, 8], "a + b")


@pytest.mark.parametrize("judge", [bool, lambda m: 0 < m < 3, lambda m: not m > 0], ids=["bool", "chain", "not"])
def test_a_value_for_each_prompt_is_neither_true_nor_false(judge):
    with pytest.raises(MechcheckError, match="neither true nor false"):
        judge(A)


def test_a_ratio_is_one_of_means():
    ratio = A / B
    assert ratio.mean == pytest.approx(9 / 6)
    assert (ratio.name, ratio.unit) == ("a / b", "share")
    assert (A / 2).mean == 1.5
    for wrong in (lambda: ratio > 1, lambda: ratio + A, lambda: ratio - 1, lambda: ratio / B, lambda: A / ratio):
        with pytest.raises(MechcheckError, match="a ratio of means has no value for a single prompt"):
            wrong()
    assert np.isnan((A / (B - 2)).mean)
    assert (A / Measurement(np.array([-1.0, 2.0, 2.0]), IDS, TEMPLATES)).mean == 3.0  # parts below zero take away from the whole


def test_nan_is_not_swallowed():
    broken = Measurement(np.array([1.0, np.nan, np.inf]), IDS, TEMPLATES)
    for result in (broken, broken + A, broken > 0, broken < 0, broken / A, A / broken, -broken):
        assert not np.isfinite(result.mean)


def test_other_prompts_are_refused():
    other = Measurement(np.zeros(3), ("p", "q", "x"), TEMPLATES)
    for mixed in (lambda: A - other, lambda: A / other, lambda: other < A, lambda: other > A):
        with pytest.raises(MechcheckError, match="of different prompts, so they cannot be paired"):
            mixed()
    with pytest.raises(MechcheckError, match=r"\(2,\) values for 3 prompts and 3 template ids"):
        Measurement(np.zeros(2), IDS, TEMPLATES)


def test_to_numpy_it_is_its_values():
    np.testing.assert_array_equal(np.asarray(A), [1, 2, 6])
    assert np.asarray(A, dtype=np.float32).dtype == np.float32
    assert (A[2], A[-1], list(A)) == (6, 6, [1, 2, 6])
    np.testing.assert_array_equal(np.abs(-A), [1, 2, 6])
    np.testing.assert_array_equal(np.maximum(A, B), [2, 2, 6])
    assert (np.add.reduce(A), np.mean(A), np.concatenate([A, B]).tolist()) == (9, 3, [1, 2, 6, 2, 2, 2])
    assert np.median(A) == 2
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(A)[0] = 5
    np.array(A)[0] = 5  # a copy is the reader's own
    assert A[0] == 1
    with pytest.raises(MechcheckError, match="a ratio of means has no value for a single prompt"):
        np.asarray(A / B)
    with pytest.raises(MechcheckError, match="read only"):
        np.add(np.ones(3), 1, out=A)


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0)], ids=lambda n: type(n).__name__)
def test_numbers_on_the_left(number):
    for found, right, name in (
        (number + A, [3, 4, 8], "a + 2.0"),
        (number - A, [1, 0, -4], "2.0 - a"),
        (number * A, [2, 4, 12], "2.0 * a"),
        (number > A, [1, 0, 0], "a < 2.0"),
        (number < A, [0, 0, 1], "a > 2.0"),
    ):
        assert isinstance(found, Measurement)
        np.testing.assert_array_equal(found.values, right)
        assert found.ids == IDS
        assert found.name.replace("2.0", "2") == name.replace("2.0", "2"), name
    assert (sum([A, B]).name, sum([A, B]).mean) == ("a + b", A.mean + B.mean)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e101, -1e300])
def test_what_cannot_be_calculated_with_is_refused_with_words(bad):
    """In the values, and in what they are a share of: as one measurement, over seeds, and beside a property."""
    fine, broken = measured([1.0, 2.0, 4.0, 3.0]), measured([1.0, bad, 4.0, 3.0])
    for one in (broken, broken / fine, fine / broken):
        for use in (
            lambda m: estimate_mean(m, Confidence()),
            lambda m: replication({"a": m, "b": m}),
            lambda m: explained_by(m, {"x": [1, 2, 3, 5]}),
            lambda m: onset({0: m, 1: m}, above=0.0),
        ):
            with pytest.raises(NonFiniteError, match=r"finite|beyond 1e\+100"):
                use(one)
