"""A case says what will be measured, and gives each run of the body the same check."""

from dataclasses import replace
from hashlib import sha256


def test_the_seed_comes_from_the_claim_and_the_runs_seed(case):
    one = case()
    assert one.seed == int(sha256(b"it|0").hexdigest()[:8], 16)
    assert replace(one, id="it[m]").seed != one.seed != replace(one, conditions=replace(one.conditions, seed=1)).seed


def test_what_is_expected_depends_on_model_and_parameters(case):
    one = case(expect={"m": "refuted", ("m", "3"): "supported"}, params={"k": 2})
    assert one.expect == "supported"
    assert replace(one, model="m").expect == "refuted"
    assert replace(one, model="m", params={"k": 3}).expect == "supported"


def test_every_check_is_fresh_and_alike(case, around):
    one = case()
    first, second = one.check(), one.check(draws=False)
    assert first.above(around(1.0), 0.0) == second.above(around(1.0), 0.0)
    assert (len(first.expectations), first.draws, second.draws) == (1, True, False)
    assert (first.seed, first.confidence.side, first.examples) == (one.seed, 0.975, 96)
