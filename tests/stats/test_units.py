"""What prompts that are given several times count for: once, in a mean, in a rate, and in a comparison of two rates."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import measured

from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.units import units_of, with_a_pair

SURE = Confidence()


def given_again(once: Measurement, times: int) -> Measurement:
    """The same, every prompt given so many times."""
    below = None if once.denominator is None else np.tile(once.denominator, times)
    values, ids, templates = np.tile(once.values, times), once.ids * times, once.templates * times
    return replace(once, values=values, ids=ids, templates=templates, denominator=below, operands=())


@given(
    st.sampled_from(["mean", "rate", "difference", "quotient"]),
    st.integers(3, 30),
    st.integers(1, 8),
    st.integers(0, 10**6),
    st.integers(2, 4),
)
def test_prompts_given_again_make_nobody_surer(kind, n, k, seed, times):
    rng = np.random.default_rng(seed)
    templates = [str(t) for t in rng.integers(0, k, n)]
    yes, also = (replace(measured(rng.random(n) < 0.6, templates), scale="yes/no") for _ in range(2))
    once = {"mean": lambda: measured(rng.exponential(size=n), templates), "rate": lambda: yes, "difference": lambda: yes - also}
    found = (once[kind]() if kind in once else yes / also) if also.values.any() else yes
    told, again = (estimate_mean(one, SURE).estimate for one in (found, given_again(found, times)))
    if not told.valid:
        assert not again.valid
        return
    close = 1e-6 * (told.high - told.low)
    assert again.value == pytest.approx(told.value)
    assert not again.valid or (again.low <= told.low + close and told.high - close <= again.high)


def test_the_pair_is_given_as_often_as_the_others():
    once = measured([1.0, 0.0, 0.0], list("abc"))
    assert with_a_pair(units_of(once)).times == 1
    pair = with_a_pair(units_of(given_again(once, 3)))
    assert pair.times == 3
    assert list(np.bincount(pair.units)) == [3] * 5
    assert list(np.bincount(pair.same)) == [3] * 5


def test_values_that_cancel_do_so_however_often_they_are_given():
    """Both of a prompt's values are told from their mean, and their mean is not, whether each is given once or ten times."""
    cancelling = measured([1 + 4e-9, 1 - 3.6e-9, 1 + 4e-9, 1 - 4.4e-9], ids=list("aabb"))
    for found in (cancelling, given_again(cancelling, 10)):
        assert "cancel" in estimate_mean(found, SURE).estimate.caveat
