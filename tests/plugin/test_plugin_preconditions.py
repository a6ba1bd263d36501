"""`check.requires` in a run of pytest: verdict, outcome, record, contrasts, and comparisons with a baseline."""

import shutil

import numpy as np
import pytest
from synthetic import HEADER  # noqa: F401  (read by the fixture `claims`)

SOURCE = """
    CONTRAST = {"decoy": {"mean": -1.0}}

    def body(check, needed, mean):
        check.requires(around(needed), above=0.0, label="there is something to lose")
        check.above(around(mean), 0.0, "it is lost")

    @claim("it is lost", **CONTRAST)
    def test_applies(check, mean=1.0):
        body(check, 1.0, mean)

    @claim("it cannot be lost", **CONTRAST)
    def test_nothing_to_lose(check, mean=-1.0):
        body(check, -1.0, mean)

    @claim("who knows", **CONTRAST)
    def test_who_knows(check, mean=-1.0):
        body(check, 0.0, mean)

    @claim("refuted, where there was nothing to lose", expect="refuted", positive_control={"mean": 1.0})
    def test_not_refuted(check, mean=-1.0):
        body(check, -1.0, mean)

    @claim("not applicable, as was said", expect="not_applicable")
    def test_as_said(check, mean=-1.0):
        body(check, -1.0, mean)

    @claim("applicable, against what was said", expect="not_applicable")
    def test_applies_after_all(check, mean=1.0):
        body(check, 1.0, mean)
"""
PROCESSES = pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["one", "two"])


@PROCESSES
def test_verdicts_and_outcomes(claims, processes):
    run = claims(SOURCE, "-rA", *processes)
    assert run.verdicts == {
        "test_applies": "supported",
        "test_nothing_to_lose": "not_applicable",
        "test_who_knows": "inconclusive",
        "test_not_refuted": "not_applicable",
        "test_as_said": "not_applicable",
        "test_applies_after_all": "supported",
    }
    assert {c["id"] for c in run.evidence["claims"] if c["met"]} == {"test_applies", "test_as_said"}
    assert {c["id"] for c in run.evidence["claims"] if c["decoys"]} == {"test_applies"}
    failed = [line for line in run.output.splitlines() if line.startswith("FAILED")]
    assert [line.partition("::")[2].partition(" ")[0] for line in failed] == ["test_applies_after_all"]
    assert {c["deciding"] for c in run.evidence["claims"] if c["verdict"] != "supported"} == {0}
    assert [e["role"] for e in run.claim("test_not_refuted")["expectations"]] == ["precondition", "claim"]
    assert run.claim("test_not_refuted")["reason"] == "there is something to lose: refuted; it is lost: refuted"
    assert "6 claims: 2 supported, 1 inconclusive, 3 not_applicable; 2 as claimed" in run.output.replace("not applicable", "not_applicable")


def test_the_page_is_drawn(claims):
    page = (claims(SOURCE).report / "index.html").read_text(encoding="utf-8")
    assert page.count("there is something to lose") >= 6


TWICE = """
    @claim("first", decoy={"mean": -1.0})
    def test_a(check, mean=1.0):
        check.ROLE
        check.above(around(mean, RUN), 0, "claimed")
"""
NEEDED = 'requires(around(HAS, RUN), above=0.0, label="needed")'


def twice(run=0, has=1.0, role=NEEDED) -> str:
    return TWICE.replace("ROLE", role).replace("RUN", str(run)).replace("HAS", str(has))


@pytest.mark.parametrize(
    ("has", "status", "each"),
    [(1.0, "same", ["same", "same"]), (0.7, "drifted", ["drifted", "same"]), (-1.0, "flipped", ["drifted", "same"])],
)
def test_what_it_measured_is_compared_with_a_baseline_too(claims, pytester, has, status, each):
    shutil.move(claims(twice()).report, pytester.path / "base")
    found = claims(twice(run=1, has=has), "--mech-baseline=base").claim("test_a")
    assert found["drift"]["status"] == status
    assert [(e["label"], e["status"]) for e in found["drift"]["expectations"]] == list(zip(["needed", "claimed"], each, strict=True))
    with np.load(next((pytester.path / "base" / "samples").glob("*/*.npz"))) as samples:
        assert samples["values_0"].mean() == pytest.approx(1.0, abs=1e-6)


def test_a_check_that_became_a_precondition_is_another_claim(claims, pytester):
    shutil.move(claims(twice(role='above(around(HAS, RUN), 0.0, "needed")')).report, pytester.path / "base")
    drift = claims(twice(), "--mech-baseline=base").claim("test_a")["drift"]
    assert (drift["status"], drift["reason"]) == ("incomparable", "it is another claim now: role claim -> precondition")
