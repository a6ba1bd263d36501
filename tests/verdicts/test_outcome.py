"""How a claim ends, decided on its check alone."""

import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.measures.figures.charts import Bars
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.contrast import Contrast
from mechcheck.verdicts.outcome import Outcome, decide_claim, skipped


@pytest.mark.parametrize(
    ("means", "verdict"), [((1, 2), "supported"), ((1, -1), "refuted"), ((1, 0), "inconclusive"), ((0, -1), "refuted")], ids=str
)
def test_the_expectations_decide_together(around, means, verdict):
    check = Check()
    for mean in means:
        check.above(around(mean), 0.0)
    found = decide_claim(check, "refuted")
    assert (found.verdict, found.met) == (verdict, verdict == "refuted")
    assert found.reason == "; ".join(f"{e.label}: {e.verdict}" for e in check.expectations)
    assert [m.mean for m in found.samples] == pytest.approx(list(map(float, means)))


def test_a_claim_that_checked_nothing_is_no_claim():
    for check in (None, Check()):
        with pytest.raises(ClaimError, match="this claim checked nothing: use the `check` fixture"):
            decide_claim(check, "supported")


def test_a_vacuous_claim_is_not_met(around):
    check = Check()
    check.above(around(1), 0.0)
    check.figure(Bars("t", ["a"], [1.0]))
    found = decide_claim(check, "supported")
    kept = found.against(Contrast("random", (), None))
    assert (kept.verdict, kept.met, kept.contrast.kind) == ("supported", True, "random")
    empty = found.against(Contrast("random", (), "all decoys satisfy it"))
    assert (empty.verdict, empty.met, empty.reason) == ("vacuous", False, "all decoys satisfy it")
    assert empty.expectations == found.expectations
    assert [figure["kind"] for figure in empty.figures] == ["bars"]


def test_an_error_keeps_what_was_measured_until_then(around):
    check = Check()
    check.above(around(1), 0.0)
    found = decide_claim(check, "supported").errored(KeyError("crash"))
    assert (found.verdict, found.met, found.reason) == ("errored", False, "KeyError: 'crash'")
    assert len(found.expectations) == len(found.samples) == 1


def test_what_remains_of_a_process_that_died_and_of_a_claim_that_was_skipped():
    assert (Outcome().verdict, Outcome().met) == ("errored", False)
    assert Outcome().reason == "the process ended before this claim was decided"
    assert (skipped("no model").verdict, skipped("no model").met, skipped("no model").reason) == ("skipped", None, "no model")
