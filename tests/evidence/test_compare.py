"""Two runs compared claim by claim: statuses, reasons, p-values adjusted over claims."""

import numpy as np
import pytest
from runs import MOVED, NOISY, OLD, claim, measurement, values, write_run
from scipy import stats

from mechcheck.evidence.compare import compare
from mechcheck.evidence.runs import read_baseline, read_run


def test_the_numbers_of_a_drift(drift):
    found = drift([claim("a", OLD)], [claim("a", MOVED)]).drift["a"]
    (e,) = found["expectations"]
    change = (MOVED.values - OLD.values).reshape(-1, 12).mean(0)  # by template: prompts are dealt to them in turn
    oracle = stats.ttest_1samp(change, 0)
    assert (found["status"], found["verdict_before"], found["accepted"]) == ("drifted", "supported", None)
    assert found["reason"] == "beyond the margin: effect 0 > 0"
    assert (e["label"], e["before"], e["after"]) == ("effect 0 > 0", pytest.approx(OLD.mean), pytest.approx(MOVED.mean))
    assert (e["difference"]["value"], e["difference"]["clusters"]) == (pytest.approx(change.mean()), 12)
    assert (e["difference"]["low"], e["difference"]["high"]) == pytest.approx(oracle.confidence_interval(0.95))
    assert e["p"] == e["p_adjusted"] == found["p_adjusted"] == pytest.approx(oracle.pvalue)
    assert e["margin"] == pytest.approx(0.05 * OLD.mean)


def test_same_and_unsure(drift):
    loud = measurement(values(2.0, noise=0.6))
    found = drift(
        [claim(name, OLD) for name in "abc"],
        [claim("a", OLD), claim("b", NOISY), claim("c", loud)],
    )
    assert {name: d["status"] for name, d in found.drift.items()} == {"a": "same", "b": "same", "c": "unsure"}
    assert found.drift["a"]["reason"] == "every prompt has the same value"
    assert found.drift["b"]["reason"] == "the differences lie within their margins"
    assert found.drift["c"]["reason"].startswith("neither shown within the margin nor shown to have changed")
    assert found.baseline["counts"] == {"same": 2, "unsure": 1}


def test_the_margin_is_the_users(drift):
    assert drift([claim("a", OLD)], [claim("a", MOVED)], fraction=0.3).drift["a"]["status"] == "same"
    assert drift([claim("a", OLD)], [claim("a", NOISY)], fraction=0.001).drift["a"]["status"] == "unsure"


def test_p_values_are_adjusted_over_claims(drift):
    """Forty claims with nothing but noise, each tested: the one that moved least significantly is not enough by itself."""
    rng = np.random.default_rng(0)
    slight = measurement(OLD.values + np.tile(rng.normal(0.12, 0.15, 12), 4))
    alone = drift([claim("a", OLD)], [claim("a", slight)]).drift["a"]
    assert alone["status"] == "drifted"
    others = [f"x{i}" for i in range(40)]
    many = drift(
        [claim(name, OLD) for name in ("a", *others)],
        [claim("a", slight), *(claim(name, measurement(values(noise=0.05, seed=i))) for i, name in enumerate(others))],
    ).drift["a"]
    assert many["expectations"][0]["p"] == alone["expectations"][0]["p"]
    assert (many["status"], many["p_adjusted"] > 0.05) == ("unsure", True)
    # Claims in which nothing changed at all were not tested, and do not count.
    still = drift([claim(name, OLD) for name in ("a", *others)], [claim("a", slight), *(claim(name, OLD) for name in others)]).drift["a"]
    assert still["p_adjusted"] == alone["p_adjusted"]


def test_one_of_several_checks_has_drifted(drift):
    found = drift([claim("a", OLD, OLD)], [claim("a", OLD, MOVED)]).drift["a"]
    assert (found["status"], [e["status"] for e in found["expectations"]]) == ("drifted", ["same", "drifted"])
    assert found["reason"] == "beyond the margin: effect 1 > 0"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (claim("a", OLD), claim("a", measurement(values(-2.0))), "supported -> refuted; beyond the margin: effect 0 > 0"),
        (claim("a", OLD), claim("a", NOISY, verdict="vacuous"), "supported -> vacuous; the differences lie within their margins"),
        (claim("a", OLD), claim("a"), "supported -> errored"),
        (claim("a"), claim("a", OLD), "errored -> supported"),
    ],
)
def test_flipped(drift, before, after, reason):
    found = drift([before], [after]).drift["a"]
    assert (found["status"], found["reason"], found["verdict_before"]) == ("flipped", reason, before["verdict"])


def test_a_flip_is_told_without_samples_too(drift, tmp_path):
    write_run(tmp_path / "elsewhere", claim("a", OLD))
    (tmp_path / "old" / "samples").mkdir(parents=True)
    after = claim("a", OLD) | {"verdict": "refuted"}
    drift([claim("a", OLD)], [after])
    for npz in (tmp_path / "old" / "samples").iterdir():
        npz.unlink()
    found = compare(read_baseline(tmp_path / "old"), read_run(tmp_path / "new")).drift["a"]
    assert found["status"] == "flipped"
    assert found["reason"].startswith("supported -> refuted; its samples are not beside the evidence (no ")


def test_new_and_skipped(drift):
    skipped = {"verdict": "skipped", "met": None, "reason": "no GPU"}
    found = drift(
        [claim("a", OLD), claim("b") | skipped, claim("d") | skipped, claim("gone") | skipped],
        [claim("a") | skipped, claim("b", OLD), claim("c", OLD), claim("d") | skipped, claim("e") | skipped],
    )
    assert {name: d["status"] for name, d in found.drift.items()} == {"a": "missing", "b": "new", "c": "new"}
    assert found.drift["a"]["reason"] == "skipped in this run: no GPU"
    assert (found.baseline["missing"], found.baseline["not_judged"]) == ([], None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statement": "a is otherwise"}, "it is another claim now: it said 'a is so'"),
        ({"verdict": "refuted", "statement": "x"}, "it is another claim now: it said 'a is so' (supported -> refuted)"),
    ],
)
def test_another_claim_is_not_compared(drift, changes, reason):
    found = drift([claim("a", OLD)], [claim("a", MOVED, **changes)]).drift["a"]
    assert (found["status"], found["reason"], found["expectations"]) == ("incomparable", reason, [])


def test_another_threshold_is_another_claim(drift):
    found = drift([claim("a", OLD)], [claim("a", OLD, threshold=0.5)]).drift["a"]
    assert (found["status"], found["reason"]) == ("incomparable", "it is another claim now: label effect 0 > 0 -> effect 0 > 0.5")
    same_label = claim("a", OLD, threshold=0.5)
    same_label["expectations"][0]["label"] = "effect 0 > 0"
    assert drift([claim("a", OLD)], [same_label]).drift["a"]["reason"] == "it is another claim now: threshold 0.0 -> 0.5"
    assert drift([claim("a", OLD)], [claim("a", OLD, OLD)]).drift["a"]["reason"] == "it is another claim now: 1 checks -> 2"


def test_other_prompts_are_not_compared(drift):
    found = drift([claim("a", OLD)], [claim("a", measurement(values(-2.0), first=100))]).drift["a"]
    assert (found["status"], found["reason"]) == (
        "incomparable",
        "0 of 48 prompts in common: too few to be paired (supported -> refuted)",
    )


def test_a_part_of_the_prompts_is_compared_and_said(drift):
    fewer = measurement(values()[:20])
    found = drift([claim("a", OLD)], [claim("a", fewer)]).drift["a"]
    assert (found["status"], found["expectations"][0]["difference"]["n"]) == ("same", 20)
    assert [c["what"] for c in found["changed"]] == ["prompts"]


def test_errored_twice_says_nothing(drift):
    found = drift([claim("a")], [claim("a")]).drift["a"]
    assert (found["status"], found["reason"]) == ("incomparable", "errored in both runs: nothing was measured")


def test_a_claim_is_known_by_its_id_wherever_its_file_is(drift):
    found = drift([claim("a", OLD)], [claim("a", OLD, nodeid="elsewhere/test_new.py::test_other")])
    assert (found.drift["a"]["status"], found.baseline["missing"]) == ("same", [])


def undefined(found):
    """The same claim, whose first estimate is not defined."""
    found["expectations"][0] |= {"verdict": "undefined"}
    found["expectations"][0]["estimate"] |= {"value": None, "low": None, "high": None}
    return found | {"verdict": "not_applicable", "met": False}


def test_what_is_not_defined_has_no_differences_unless_nothing_changed(drift):
    after = [undefined(claim("a", NOISY)), undefined(claim("b", OLD)), undefined(claim("c", NOISY))]
    found = drift([undefined(claim("a", OLD)), undefined(claim("b", OLD)), claim("c", OLD)], after).drift
    assert (found["a"]["status"], found["a"]["reason"]) == ("incomparable", "effect 0 > 0 is undefined")
    assert found["b"]["status"] == "same"
    assert (found["c"]["status"], found["c"]["reason"]) == ("flipped", "supported -> not applicable; effect 0 > 0 is undefined")
