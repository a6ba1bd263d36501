"""Choosing heads by stated criteria."""

import math

import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.roles import Role, choose_heads
from mechcheck.notation.sites import heads

SCORES = {"direct": np.array([[0.1, 0.9], [0.5, 0.7]]), "attention": np.array([[0.2, 0.1], [0.8, 0.6]])}


def choose(meets, **options) -> Role:
    return choose_heads(SCORES, np.array(meets), criterion="strong", by="direct", **{"candidates": 2, **options})


def test_heads_that_meet_the_criterion():
    role = choose(SCORES["attention"] > 0.5, at="END", candidates=1)
    assert (role.sites, role.met, role.criterion) == (heads("1.0@END 1.1@END"), True, "strong")
    assert role.measured == "1.0: direct 0.500, attention 0.800; 1.1: direct 0.700, attention 0.600"


def test_the_nearest_candidates_where_none_does():
    role = choose(SCORES["attention"] > 2)
    assert (role.sites, role.met) == (heads("0.1 1.1"), False)
    assert role.measured.startswith("0.1: direct 0.900")


def test_candidates_are_among_the_allowed():
    last = np.array([[False, False], [True, True]])
    assert choose(np.zeros((2, 2), bool), among=last, candidates=1).sites == heads("1.1")
    assert choose(np.zeros((2, 2), bool), among=last, candidates=3).sites == heads("1.0-1")
    with pytest.raises(MechcheckError, match=r"no head is left to choose from by 'direct' \(strong\)"):
        choose(np.zeros((2, 2), bool), among=np.zeros((2, 2), bool))


def test_a_score_that_is_nan_is_no_candidate():
    scores = {"direct": np.array([[0.1, math.nan]])}
    assert choose_heads(scores, np.zeros((1, 2), bool), criterion="", by="direct", candidates=1).sites == heads("0.0")
