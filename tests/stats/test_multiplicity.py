"""Adjusted p-values by hand, and the share of nulls of p-values whose share is known."""

import numpy as np
import pytest
import scipy

from mechcheck.stats.multiplicity import adjust, holm, share_of_nulls


def test_benjamini_hochberg():
    # By hand: p * m / rank, then the running minimum from the largest.
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjust([0.2]) == [0.2]
    assert adjust([]) == []


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_benjamini_hochberg_as_scipy_computes_it(n):
    rng = np.random.default_rng(n)
    for p_values in (rng.random(n), rng.beta(0.1, 5, n), rng.integers(0, 3, n) / 2):
        assert adjust(list(p_values)) == pytest.approx(scipy.stats.false_discovery_control(p_values), rel=1e-15, abs=0)


def test_holm():
    # By hand: p * (m, m - 1, ...) from the smallest on, then the running maximum.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize("nulls", [0.0, 0.3, 0.9, 1.0])
def test_share_of_nulls(nulls):
    rng = np.random.default_rng(0)
    found = [share_of_nulls([*rng.random(round(400 * nulls)), *rng.beta(0.1, 20, size=round(400 * (1 - nulls)))]) for _ in range(20)]
    assert np.mean(found) == pytest.approx(nulls, abs=0.04)
    assert max(found) <= 1.0
