"""Drawing prompts part after part: which ones, when to stop, and how often that is wrong."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from tiny import random_prompts

from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.looks import looks
from mechcheck.verdicts.sampling import Draw
from mechcheck.verdicts.verdict import Control

PROMPTS = random_prompts(0, [7] * 96, per_template=4)
ROW = {prompt: row for row, prompt in enumerate(PROMPTS.ids)}


@pytest.fixture
def run(trial):
    """run(values, expectations, draw): the looks at a claim about these values, one per prompt."""

    def all_looks(values, expects, draw=None, body=None):
        draw = draw or Draw(96, Confidence())

        def its_body(model, prompts, check):
            measured = Measurement(values[[ROW[i] for i in prompts.ids]], prompts.ids, prompts.templates, "x", "logits")
            expects(check, measured)

        arguments = {"model": None, "prompts": draw.drawn(PROMPTS)}
        one = trial(body or its_body, arguments, lambda model: draw.drawn(PROMPTS))
        one = replace(one, arguments=one.arguments | {"check": one.case.check(confidence=draw.at_look)})
        one.body(**one.arguments)
        return [outcome for _, outcome in looks(one, draw, one.body, too_few=False)]

    return all_looks


def noise(seed=0, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1, 96)


def test_the_first_two_of_each_template_come_first():
    draw, rows = Draw(96, Confidence()), []
    for number, n in enumerate((24, 48, 72, 96)):
        draw.number = number
        drawn = draw.drawn(PROMPTS)
        assert drawn is draw.drawn(PROMPTS), "what is computed on it is shared by claims"
        rows.append([ROW[i] for i in drawn.ids])
        assert (len(drawn), len(set(drawn.templates))) == (n, min(24, 12 * (number + 1)))
        assert min(drawn.templates.count(t) for t in drawn.templates) == max(2, 2 * (number == 3) * 2)
        assert len(drawn.counterfactual) == len(drawn.reference) == n
    assert rows[0] == [row for row in range(48) if row % 4 < 2]
    assert rows[1] == [row for row in range(96) if row % 4 < 2]
    assert all(set(a) < set(b) for a, b in itertools.pairwise(rows))
    assert draw.drawn(PROMPTS) is PROMPTS


@pytest.mark.parametrize(("budget", "parts"), [(2, 1), (21, 1), (22, 2), (32, 3), (64, 4), (960, 4)])
def test_a_look_at_hardly_anything_is_none(budget, parts):
    assert len(Draw(budget, Confidence()).parts) == parts


def test_it_stops_when_it_is_decided(run):
    (only,) = run(noise(mean=3), lambda check, x: check.above(x, 0.0))
    assert (only.verdict, only.sampling.stopped, len(only.sampling.looks)) == ("supported", "decided", 1)
    assert only.sampling.text == "decided after 24 of 96 prompts (look 1 of 4)"
    assert only.expectations[0].estimate.level == pytest.approx(1 - 0.05 / 64)
    (refuted,) = run(noise(mean=-3), lambda check, x: check.above(x, 0.0))
    assert (refuted.verdict, refuted.sampling.stopped) == ("refuted", "decided")


def test_it_goes_on_while_anything_is_open(run):
    def expects(check, x):
        check.above(x, 0.0)
        check.above(x, 2.99, label="close")

    found = run(noise(mean=3), expects)
    last = found[-1].sampling
    assert [o.sampling.stopped for o in found] == [None, None, None, "spent"]
    assert [(look.prompts, look.templates, look.verdict) for look in last.looks] == [
        (24, 12, "inconclusive"), (48, 24, "inconclusive"), (72, 24, "inconclusive"), (96, 24, "inconclusive"),
    ]  # fmt: skip
    assert last.looks[-1].alpha_spent == pytest.approx(0.025)
    assert last.text == "not decided after 96 of 96 prompts (look 4 of 4)"
    assert found[-1].samples[0].ids == PROMPTS.ids


def test_more_prompts_decide_what_few_left_open(run):
    found = run(noise(seed=1, mean=0.4), lambda check, x: check.above(x, 0.0))
    assert [o.verdict for o in found] == ["inconclusive", "inconclusive", "supported"]
    assert [o.expectations[0].p <= 0.025 for o in found] == [False, False, True]
    assert found[-1].sampling.text == "decided after 72 of 96 prompts (look 3 of 4)"


def test_a_precondition_decides_when_it_is_refuted_and_not_when_it_is_open(run):
    def expects(above):
        def both(check, x):
            check.requires(x, above=above)
            check.above(x, 0.0)

        return both

    (unmet,) = run(noise(mean=3), expects(9.0))
    assert (unmet.verdict, unmet.sampling.stopped) == ("not_applicable", "decided")
    assert len(run(noise(mean=3), expects(2.99))) == 4


def test_a_share_of_nothing_may_become_one_of_something(run):
    """That a denominator is not told from zero is for want of prompts."""
    found = run(noise(seed=1, mean=0.1), lambda check, x: check.above(x / replace(x, name="y"), 5.0))
    assert found[0].verdict == "not_applicable"
    assert len(found) == 4


def test_where_prompts_are_not_what_is_missing_no_more_are_drawn(run):
    def searched(check, x):
        check.above(x, 0.0)
        check.for_all(st.integers(0, 10**6).map(lambda i: i % 3), lambda _: True, n=30, label="small")

    (only,) = run(noise(mean=3), searched)
    assert (only.verdict, only.sampling.stopped) == ("inconclusive", "futile")
    assert only.sampling.text == "not decided, and more would not help, after 24 of 96 prompts (look 1 of 4)"


def ranked(check, effect):
    control = Control("random sites", tuple(np.linspace(0, 1, 60)), tuple(map(str, range(60))), effect)
    check.expectations[0] = replace(check.expectations[0], kind="beats_random", control=control)


def test_a_rank_gets_no_second_chance(run):
    """It counts as at its worst look: the more often a lucky rank is looked for, the more easily it is found."""
    effects = iter([0.5, 2.0, 2.0, 2.0])

    def expects(check, x):
        check.above(x, 0.0)
        ranked(check, next(effects))
        check.above(x, 2.99, label="close")

    found = run(noise(mean=3), expects)
    assert [o.expectations[0].verdict for o in found] == ["inconclusive"] * 4
    assert found[-1].expectations[0].p == pytest.approx(31 / 61)
    assert "at an earlier look its rank among the controls was too low (p = 0.51)" in found[-1].expectations[0].estimate.caveat


def test_a_rank_that_is_high_at_every_look_counts():
    check, draw = Check(), Draw(96, Confidence())
    check.above(Measurement(noise(mean=3), PROMPTS.ids, PROMPTS.templates, "x", "logits"), 0.0)
    ranked(check, 2.0)
    draw.hold_ranks(check)
    assert (check.expectations[0].verdict, check.expectations[0].p) == ("supported", pytest.approx(1 / 61))


def test_over_all_looks_it_is_wrong_as_often_as_promised(run):
    """With the threshold at the true value; four looks at this level, one after the other, would decide 4 in 10 of them."""
    rng, wrong, n = np.random.default_rng(5), 0, 200
    for _ in range(n):
        values = rng.normal(size=24).repeat(4) * 0.3 + rng.normal(size=96)
        last = run(values, lambda check, x: check.above(x, 0.0), Draw(96, Confidence(0.9)))[-1]
        wrong += last.verdict in ("supported", "refuted")
    assert wrong <= 0.2 * n + 3 * (0.2 * 0.8 * n) ** 0.5
    assert wrong > 0.08 * n, "nor is it so careful that it never decides"
