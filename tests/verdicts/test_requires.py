"""`check.requires`: what must hold for a claim to mean anything, and what becomes of the claim where it does not."""

import math

import pytest

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.outcome import decide_claim


@pytest.fixture
def check() -> Check:
    return Check()


@pytest.mark.parametrize(
    ("comparison", "value", "met", "region", "label"),
    [
        ("above", 1.0, (2.0, 0.0, 1.0), (1.0, math.inf), "effect > 1"),
        ("below", 1.0, (0.0, 2.0, 1.0), (-math.inf, 1.0), "effect < 1"),
        ("between", (1.0, 3.0), (2.0, 4.0, 3.0), (1.0, 3.0), "1 < effect < 3"),
        ("equivalent", 1.0, (0.0, -2.0, 1.0), (-1.0, 1.0), "|effect - 0| < 1"),
    ],
)
def test_each_comparison_in_each_direction(check, around, comparison, value, met, region, label):
    for mean in met:
        estimate = check.requires(around(mean), **{comparison: value})
        assert (estimate, estimate.value) == (check.expectations[-1].estimate, pytest.approx(mean))
    assert [e.verdict for e in check.expectations] == ["supported", "refuted", "inconclusive"]
    assert {(e.role, e.kind, e.region) for e in check.expectations} == {("precondition", comparison, region)}
    assert check.expectations[0].label == label


def test_a_threshold_of_zero_and_another_measurement(check, around):
    """Zero is a threshold, and not the lack of one."""
    check.requires(around(1), above=0.0, label="something")
    check.requires(around(1), greater=around(0.5).named("the other"))
    assert [(e.label, e.region, e.estimate.value, e.verdict) for e in check.expectations] == [
        ("something", (0.0, math.inf), pytest.approx(1.0), "supported"),
        ("effect > the other", (0.0, math.inf), pytest.approx(0.5), "supported"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"requires takes one comparison \(above=, below=, between=, equivalent=, greater=\), got none"),
        ({"label": "named"}, "got none"),
        ({"above": 0.0, "below": 1.0}, "got above=, below="),
        ({"between": (1.0, 2.0, 3.0)}, r"requires\(between=...\) takes the lower and the upper bound, .* got \(1.0, 2.0, 3.0\)"),
        ({"between": 2.0}, "got 2.0"),
        ({"between": (2.0, 1.0)}, "the first must be the smaller"),
        ({"equivalent": 0.0}, "the margin must be positive"),
        ({"above": math.nan}, "needs finite thresholds, got nan"),
        ({"greater": 0.5}, r"needs a Measurement \(one value per prompt\), got float"),
    ],
    ids=str,
)
def test_refusals_leave_nothing_behind(check, around, given, message):
    """What is checked after an error that the body caught is part of the claim, and not of its preconditions."""
    with pytest.raises(ClaimError, match=message):
        check.requires(around(1), **given)
    assert check.expectations == check.samples == []
    check.above(around(1), 0.0)
    assert [e.role for e in check.expectations] == ["claim"]


def test_what_is_not_finite_is_no_unmet_precondition(check, around):
    with pytest.raises(NonFiniteError):
        check.requires(around(math.nan), above=0.0)
    check.below(around(1), 0.0)
    assert [(e.role, e.verdict) for e in check.expectations] == [("claim", "refuted")]


def test_samples_stay_in_line_with_expectations(check, around):
    check.above(around(1), 0.0)
    check.requires(around(2), above=0.0)
    check.above(around(3), 0.0)
    assert [e.role for e in check.expectations] == ["claim", "precondition", "claim"]
    assert [m.mean for m in check.samples] == pytest.approx([1, 2, 3])
    assert [e.estimate.value for e in check.expectations] == pytest.approx([1, 2, 3])
    assert [e.label for e in check.expectations] == ["effect > 0", "effect > 0 (2)", "effect > 0 (3)"]


CASES = pytest.mark.parametrize(
    ("needed", "claimed", "verdict", "decided_by"),
    [
        (1, 1, "supported", 1),
        (1, -1, "refuted", 1),
        (1, 0, "inconclusive", 1),
        (0, 1, "inconclusive", 0),
        (0, -1, "inconclusive", 0),
        (-1, 1, "not_applicable", 0),
        (-1, -1, "not_applicable", 0),
        (-1, 0, "not_applicable", 0),
    ],
)


@CASES
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_what_becomes_of_the_claim(check, around, needed, claimed, verdict, decided_by, first):
    """Wherever in the body the precondition stands, nothing is refuted where it is not met or cannot be told."""
    calls = [lambda: check.requires(around(needed), above=0.0, label="needed"), lambda: check.above(around(claimed), 0.0, "claimed")]
    for call in calls if first else reversed(calls):
        call()
    found = decide_claim(check, "refuted")
    assert (found.verdict, found.met) == (verdict, verdict == "refuted")
    assert check.expectations[found.deciding].label == ("needed", "claimed")[decided_by]
    assert decide_claim(check, "not_applicable").met is (verdict == "not_applicable")


def test_preconditions_alone_claim_nothing(check, around):
    check.requires(around(1), above=0.0)
    with pytest.raises(ClaimError, match="this claim checked nothing"):
        decide_claim(check, "supported")


@CASES
def test_a_decoy_that_does_not_meet_it_decides_nothing(trial, around, needed, claimed, verdict, decided_by):
    """Neither satisfied nor refused: its run has the verdict that the claim itself would have."""

    def body(check, needed, claimed):
        check.requires(around(needed), above=0.0, label="needed")
        check.above(around(claimed), 0.0, "claimed")

    run = trial(body, {"needed": 1.0, "claimed": 1.0}).rerun({"needed": needed, "claimed": claimed}, "decoy")
    assert run.verdict == verdict
    outcome = {1: "supported", 0: "inconclusive", -1: "refuted"}
    each = ["undefined", "undefined"] if needed < 0 else [outcome[needed], outcome[claimed]]
    assert [run.result(("needed", "claimed"), place).verdict for place in (0, 1)] == each
    assert (run.note == "nothing to measure: needed") is (needed < 0)
    assert run.values == {"needed": pytest.approx(float(needed)), "claimed": pytest.approx(float(claimed))}
