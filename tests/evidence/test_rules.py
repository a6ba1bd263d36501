"""The rules of a comparison one by one, and which comes first where several apply."""

import pytest
from runs import MOVED, OLD, claim, measurement

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.evidence.drift import difference
from mechcheck.evidence.rules import RULES, Pair, Ruling, ruling

SKIPPED = {"verdict": "skipped", "met": None, "reason": "no GPU"}
REFUTED = {"verdict": "refuted", "met": False}
OTHER_PROMPTS = measurement(OLD.values, first=100)
MOVE = [difference(OLD, MOVED)]


def not_reached():
    raise AssertionError("the rules before have decided")


def measured():
    return MOVE


def lost():
    raise MechcheckError("no samples")


def pair(earlier, now, measure=not_reached):
    return Pair(earlier, now, measure)


def cells(*verdicts):
    """The grid of a claim under as many methods."""
    return {"grid": {"cells": [{"text": f"method={name}", "verdict": verdict} for name, verdict in zip("abc", verdicts, strict=False)]}}


CASES = {
    "measured_in_neither": (pair({}, claim("a") | SKIPPED), Ruling("unmentioned")),
    "skipped_now": (pair(claim("a", OLD), claim("a") | SKIPPED), Ruling("missing", "skipped in this run: no GPU")),
    "not_in_the_baseline": (pair({}, claim("a", OLD)), Ruling("new", "the baseline has no such measurement")),
    "another_version": (
        pair(claim("a", OLD), claim("a", version=2)),
        Ruling("incomparable", "version 1 of the claim -> version 2 (supported -> errored)"),
    ),
    "errored_in_both": (pair(claim("a"), claim("a")), Ruling("incomparable", "errored in both runs: nothing was measured")),
    "errored_in_one": (pair(claim("a"), claim("a", OLD)), Ruling("flipped", "errored -> supported")),
    "another_claim": (
        pair(claim("a", OLD), claim("a", OLD, statement="other")),
        Ruling("incomparable", "it is another claim now: it said 'a is so'"),
    ),
    "turned_but_not_paired": (
        pair(claim("a", OLD), claim("a", OLD) | REFUTED, lost),
        Ruling("flipped", "supported -> refuted; no samples"),
    ),
    "not_paired": (pair(claim("a", OLD), claim("a", OLD), lost), Ruling("incomparable", "no samples")),
    "turned": (pair(claim("a", OLD), claim("a", MOVED) | REFUTED, measured), Ruling("flipped", "supported -> refuted", MOVE)),
    "turned_in_a_cell": (
        pair(claim("a", OLD) | cells("supported", "refuted"), claim("a", MOVED) | cells("supported", "inconclusive"), measured),
        Ruling("flipped", "[method=b]: refuted -> inconclusive", MOVE),
    ),
    "same_verdict": (pair(claim("a", OLD), claim("a", MOVED), measured), Ruling("by differences", "", MOVE)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_rule_decides_its_case(name):
    """No rule before it applies, none measures before it must, and it decides as it says."""
    asked, decided = CASES[name]
    assert next(rule.__name__ for rule in RULES if rule(asked) is not None) == name
    assert ruling(asked) == decided


def test_every_rule_has_a_case_and_says_when_it_applies():
    assert [rule.__name__ for rule in RULES] == list(CASES)
    assert all(rule.__doc__ for rule in RULES)


@pytest.mark.parametrize(
    ("asked", "decided"),
    [
        # An error tells of the code that runs the claim, which is looked at first, however the claim was rewritten.
        (pair(claim("a", OLD), claim("a", statement="other")), Ruling("flipped", "supported -> errored")),
        (pair(claim("a"), claim("a", statement="other")), Ruling("incomparable", "errored in both runs: nothing was measured")),
        # Another claim, or the same on other prompts, may well have another verdict.
        (
            pair(claim("a", OLD), claim("a", OLD, statement="other") | REFUTED),
            Ruling("incomparable", "it is another claim now: it said 'a is so' (supported -> refuted)"),
        ),
        (
            pair(claim("a", OLD), claim("a", OTHER_PROMPTS) | REFUTED, lost),
            Ruling("incomparable", "no samples (supported -> refuted)"),
        ),
        # Nobody can say that claims without prompts were about the same ones.
        (
            pair(claim("a", OLD) | {"prompts": None}, claim("a", OLD) | {"prompts": None} | REFUTED, lost),
            Ruling("incomparable", "no samples (supported -> refuted)"),
        ),
        (pair(claim("a") | SKIPPED, claim("a") | SKIPPED), Ruling("missing", "skipped in this run: no GPU")),
    ],
)
def test_what_comes_first(asked, decided):
    assert ruling(asked) == decided


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"label": "x"}, "label effect 0 > 0 -> x"),
        ({"kind": "below"}, "kind above -> below"),
        ({"threshold": 0.5}, "threshold 0.0 -> 0.5"),
        ({"margin": 0.1}, "margin None -> 0.1"),
        ({"role": "precondition"}, "role claim -> precondition"),
        ({"region": [None, 0.0]}, "region [0.0, None] -> [None, 0.0]"),
    ],
)
def test_what_makes_it_another_claim(changes, other):
    now = claim("a", OLD)
    now["expectations"][0] |= changes
    assert ruling(pair(claim("a", OLD), now)).reason == f"it is another claim now: {other}"
    assert ruling(pair(claim("a", OLD), claim("a", OLD, OLD))).reason == "it is another claim now: 1 checks -> 2"


def test_another_direction_is_another_claim_whatever_its_verdict():
    """The same rate below a threshold instead of above it: its verdict turns, and that is no flip."""
    now = claim("a", OLD) | REFUTED
    now["expectations"][0] |= {"region": [None, 0.0], "verdict": "refuted"}
    reason = "it is another claim now: region [0.0, None] -> [None, 0.0] (supported -> refuted)"
    assert ruling(pair(claim("a", OLD), now)) == Ruling("incomparable", reason)


@pytest.mark.parametrize("unknown", ["before", "now"])
def test_a_direction_that_nobody_recorded_is_no_other(unknown):
    before, now = claim("a", OLD), claim("a", MOVED)
    (before if unknown == "before" else now)["expectations"][0]["region"] = [None, None]
    assert ruling(pair(before, now, measured)) == Ruling("by differences", "", MOVE)


def test_verdicts_are_told_in_words():
    assert (
        ruling(pair(claim("a", OLD), claim("a", MOVED) | {"verdict": "not_applicable"}, measured)).reason == "supported -> not applicable"
    )


def test_the_differences_are_worked_out_once():
    calls = []
    asked = pair(claim("a", OLD), claim("a", OLD), lambda: calls.append(1) or MOVE)
    assert ruling(asked).differences is MOVE
    assert (asked.measured.differences, calls) == (MOVE, [1])


def test_which_errors_mean_that_runs_cannot_be_paired():
    def not_finite():
        raise NonFiniteError("the denominator sums to zero")

    def defect():
        raise KeyError("values_0")

    assert ruling(pair(claim("a", OLD), claim("a", OLD), not_finite)) == Ruling("incomparable", "the denominator sums to zero")
    with pytest.raises(KeyError):
        ruling(pair(claim("a", OLD), claim("a", OLD), defect))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, None),
        ({"task_version": 1}, {"task_version": 1}, None),
        ({}, {"version": 1, "task_version": 1}, None),  # evidence from before there were versions is of the first
        ({"task_version": None}, {"task_version": 2}, None),  # not measured then
        ({"version": 3}, {"version": 2}, "version 3 of the claim -> version 2"),
        ({}, {"task": "ioi", "task_version": 2}, "version 1 of task ioi -> version 2"),
    ],
)
def test_versions(old, new, said):
    found = RULES[3](pair(claim("a", OLD, **old), claim("a", OLD, **new)))
    assert (found and found.reason) == said
