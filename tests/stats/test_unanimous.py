"""Differences and quotients of rates in which every prompt gives the same: the chance of that, written out and simulated."""

import math

import numpy as np
import pytest
from samples import measured

from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.power import settles

SURE, ALPHA = Confidence(), 0.025
TEMPLATES = list(np.repeat(range(4), 30))


def all_say(value: float):
    return measured([value] * 120, TEMPLATES)


YES, NO = all_say(1.0), all_say(0.0)
C = ALPHA**0.25  # four templates, each of which says so with this chance
CASES = {
    "no change": (YES - YES, 0.0, C - 1, 1 - C), "all up": (YES - NO, 1.0, 2 * C - 1, 1.0), "all down": (NO - YES, -1.0, -1.0, 1 - 2 * C),
    "same share": (YES / YES, 1.0, C, 1 / C), "no share": (NO / YES, 0.0, 0.0, 1 / C - 1),
    "percent": (100 * (YES - YES), 0.0, 100 * (C - 1), 100 * (1 - C)),
    "of errors": ((1 - YES) - (1 - NO), -1.0, -1.0, 1 - 2 * C), "percent of": (100 * (YES / YES), 100.0, 100 * C, 100 / C),
}  # fmt: skip


@pytest.mark.parametrize(("one", "value", "low", "high"), CASES.values(), ids=CASES)
def test_each_template_counts_once(one, value, low, high):
    found = estimate_mean(one, SURE)
    e = found.estimate
    assert (e.value, e.low, e.high) == pytest.approx((value, low, high))
    assert (e.n, e.clusters, e.valid) == (120, 4, True)
    assert e.method == "exact, every prompt gives the same: 4 of them count, in 4 templates"
    assert (found.p_above(value), found.p_below(value)) == (1.0, 1.0)
    for end, p in ((low, found.p_above), (high, found.p_below)):
        if not math.isclose(end, value):
            assert p(end) == pytest.approx(ALPHA)
    assert 0 < found.p_above(low - 0.1) < 0.026
    assert 0 < found.p_below(high + 0.1) < 0.026


def test_prompts_of_one_template_and_unequal_ones():
    alone = measured([1.0] * 8)
    assert estimate_mean(alone - alone, SURE).estimate.high == pytest.approx(1 - ALPHA ** (1 / 8))
    uneven = measured([1.0] * 120, list(np.repeat(range(4), [90, 10, 10, 10])))
    assert estimate_mean(uneven - uneven, SURE).estimate.high == pytest.approx(1 - ALPHA ** (8400 / 14400))
    thrice = measured([1.0] * 12, list(np.repeat(range(6), 2)), ids=list("abcabcabcabc"))
    assert estimate_mean(thrice - thrice, SURE).estimate.high == pytest.approx(1 - ALPHA ** (1 / 3))


@pytest.mark.parametrize("compare", [lambda a, b: b - a, lambda a, b: b / a], ids=["difference", "quotient"])
def test_templates_that_agree_are_not_taken_for_no_change(compare):
    """Of eight templates each is lost entirely with chance 0.1: in 43 of 100 samples none is, and nothing is shown by that."""
    rng, wrong = np.random.default_rng(0), 0
    templates = list(np.repeat(range(8), 12))
    for _ in range(200):
        kept = np.repeat(rng.random(8) >= 0.1, 12).astype(float)
        found = estimate_mean(compare(measured([1.0] * 96, templates), measured(kept, templates)), SURE).estimate
        truth = compare(1.0, 0.9)
        wrong += found.valid and not found.low <= truth <= found.high
    assert wrong / 200 <= 0.04


def test_what_would_settle_it():
    said = settles(estimate_mean(YES - YES, SURE), (-0.05, math.inf), ALPHA)
    assert 300 < said.templates < 1500  # to exclude 0.05 by templates that all agree takes 72; by ones that differ now and then more
    assert "would not do" in said.text
