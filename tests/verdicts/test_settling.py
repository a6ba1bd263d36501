"""What an inconclusive expectation is told would settle it: numbers where prompts are missing, and else what is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.outcome import decide_claim
from mechcheck.verdicts.verdict import Control


def settled(check):
    return [e.settles for e in decide_claim(check, "supported").expectations]


def contested(check, around, mean, controls, effect):
    """As `beats_random` would leave it among controls with these effects."""
    check.above(around(mean), 0.0)
    control = Control("random sites", tuple(controls), tuple(map(str, range(len(controls)))), effect)
    e = check.expectations[0]
    check.expectations[0] = replace(e, kind="beats_random", control=control, verdict="inconclusive")
    return check


def test_only_what_was_not_decided_asks_for_more(around):
    check = Check()
    for mean in (1.0, -1.0, 0.05):
        check.above(around(mean), 0.0)
    supported, refuted, open_ = settled(check)
    assert (supported, refuted) == (None, None)
    assert open_.templates > 8
    assert open_.prompts == 3 * open_.templates
    assert "templates of 3 prompts" in open_.text


def test_a_refutation_has_to_stand_among_the_others(around):
    alone, among = Check(), Check()
    alone.above(around(-0.05), 0.0)
    for label in ("a", "b", "c"):
        among.above(around(-0.05), 0.0, label=label)
    assert settled(alone)[0].prompts < settled(among)[0].prompts
    assert len({s.prompts for s in settled(among)}) == 1


def test_one_template_is_asked_for_prompts(around):
    check = Check()
    check.above(replace(around(0.05), templates=("t",) * 24), 0.0)
    (said,) = settled(check)
    assert said.templates is None
    assert said.prompts > 24


def test_a_rate_is_settled_as_one(around):
    check = Check()
    check.rate(around(0.1) > 0, above=0.45)
    (said,) = settled(check)
    assert "to decide 0.133, as measured" in said.text  # 14 of 24
    assert 24 < said.prompts < 400


def test_examples_are_no_prompts():
    check = Check()
    check.for_all(st.integers(0, 10**6).map(lambda x: x % 3), lambda x: True, n=30)
    (said,) = settled(check)
    assert (said.mde, said.prompts) == (None, None)
    assert said.text.startswith("it takes a strategy that has more distinct examples")


def test_too_few_controls_stay_too_few(around):
    (said,) = settled(contested(Check(), around, 1.0, [0.0] * 5, 2.0))
    assert (said.mde, said.prompts) == (None, None)
    assert said.text == "it takes 39 other sets of sites like these, of which there are 5: no number of prompts makes more"


@pytest.mark.parametrize(("mean", "effect", "prompts"), [(0.05, 2.0, True), (0.05, 0.5, False), (1.0, 0.5, False)])
def test_a_rank_that_is_too_low_is_not_raised_by_prompts(around, mean, effect, prompts):
    check = contested(Check(), around, mean, np.linspace(0, 1, 60), effect)
    (said,) = settled(check)
    assert (said.prompts is not None) == prompts
    assert ("a higher rank among its 60 controls" in said.text) == (not prompts)


def test_an_interval_that_does_not_hold_promises_nothing():
    skewed = Measurement(np.r_[np.zeros(3), 0.1, 0.2, 9.0], tuple("abcdef"), tuple("tuvwxy"), "x", "logits")
    check = Check()
    check.above(skewed, 1.0)
    assert not check.expectations[0].estimate.valid
    (said,) = settled(check)
    assert (said.mde, said.prompts) == (None, None)
    assert "enough for an interval that holds" in said.text
