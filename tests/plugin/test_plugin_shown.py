"""What is shown is what was decided: the deciding check and the claimed side, in the terminal, JUnit XML, pytest-html and on the page."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

BELOW = """
    @claim("Few of them are", decoy={"n": 20})
    def test_few(check, n=1):
        holds = Measurement(np.arange(96) < n, tuple(f"p{i}" for i in range(96)), tuple(f"t{i % 24}" for i in range(96)), "a < b", "share")
        check.rate(holds, below=0.2)
"""

SEVERAL = """
    @claim("One of three is refuted", decoy={"mean": -1.0})
    def test_three(check, mean=1.0):
        check.above(around(mean), 0.0)
        check.below(around(mean, "other"), 0.25)
        check.above(around(mean), 0.5)
"""


def properties(junit: Path) -> dict[str, dict[str, str]]:
    """Test -> its properties."""
    cases = ElementTree.parse(junit).iter("testcase")
    return {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}


def test_a_rate_below_is_worded_and_drawn_as_it_was_decided(claims, pytester):
    run = claims(BELOW, "--junitxml=junit.xml")
    claim = run.claim()
    assert (claim["verdict"], claim["expectations"][0]["region"]) == ("supported", [None, 0.2])
    assert claim["expectations"][0]["label"] == "share with (a < b) < 0.2"
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert "claimed: &lt; 0.2 share (rate)" in page
    assert "&gt; 0.2" not in page
    (glyph,) = re.findall(r'<svg class="glyph v-supported".*?</svg>', page)
    assert 'aria-label="claimed &lt; 0.2 share"' in glyph
    # The threshold stands in the middle of 128 pixels; the tint reaches from the left edge to it, and the interval lies within it.
    assert re.search(r'<rect class="side" x="4(\.0)?" y="0" width="60"', glyph)
    assert re.search(r'class="thr" d="M64(\.0)? 0', glyph)
    low, high = re.search(r'class="ci" d="M([\d.]+) 10H([\d.]+)"', glyph).groups()
    assert 4 <= float(low) < float(high) < 64
    assert properties(pytester.path / "junit.xml")["test_few"]["mechcheck.claimed"] == "< 0.2"


@pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "two processes"])
def test_the_deciding_one_of_several_checks(claims, pytester, processes):
    run = claims(SEVERAL, "--junitxml=junit.xml", "--html=report.html", "--self-contained-html", *processes)
    assert (run.claim()["verdict"], run.claim()["deciding"]) == ("refuted", 1)
    run.result.stdout.fnmatch_lines(["✗ refuted *+1.000 [[]*[]] n=24  [[]check 2 of 3: other < 0.25[]]"])
    assert "(+2 more)" not in run.output
    # where CI is set, pytest repeats each failure in full in its short summary
    shown = run.output.split("short test summary info")[0]
    said = shown[shown.index("refuted: One of three is refuted") :].splitlines()
    assert said[1] == "  refuted: check 2 of 3: other < 0.25"
    assert [line for line in said if re.match(r"  \w+: check", line)] == [
        "  refuted: check 2 of 3: other < 0.25",
        "  supported: check 1 of 3: effect > 0",
        "  supported: check 3 of 3: effect > 0.5",
    ]
    found = properties(pytester.path / "junit.xml")["test_three"]
    assert (found["mechcheck.check"], found["mechcheck.claimed"], found["mechcheck.effect"]) == (
        "check 2 of 3: other < 0.25",
        "< 0.25",
        "1",
    )
    (cell,) = re.findall(r"class=.{1,2}col-effect.{1,2}>(.*?)(?:</td>|\\u003c/td)", html_of(pytester.path / "report.html"))
    assert cell.endswith(">1.000 logits (check 2 of 3: other < 0.25)")
    assert "decided by check 2 of 3: <bdi>other &lt; 0.25</bdi>" in (run.report / "index.html").read_text(encoding="utf-8")


def html_of(path: Path) -> str:
    """The rows of a pytest-html report, which it keeps as JSON in an attribute."""
    from html import unescape

    return unescape(unescape(path.read_text(encoding="utf-8")))


def test_a_circuit_whose_criteria_were_not_met(claims):
    run = claims(
        """
        @claim("S-inhibition heads attend to S2", task="ioi", kind="structure", expect={"names-gpt2-seed0": "refuted"})
        def test_it(model, prompts, circuit, check):
            check.above(attention_score(model, prompts, circuit["s_inhibition"], to="S2"), 0.3)
        """,
        "--mech-model=names-gpt2-seed0",
        "--mech-model=names-gpt2-seed4",
    )
    found, unmet = (run.claim(name)["circuit"]["criteria"] for name in ("seed4", "seed0"))
    assert found == {"met": True, "unmet": {}}
    assert unmet["met"] is False
    assert sorted(unmet["unmet"]) == ["name_mover", "s_inhibition"]
    assert unmet["unmet"]["s_inhibition"].startswith("in a layer below the name movers, attention END->S2 above 0.3")
    assert unmet["unmet"]["s_inhibition"].endswith("(0.3: END->S2 0.076, moves attention by -0.000)")
    run.result.stdout.fnmatch_lines(
        [
            "criteria not met  names-gpt2-seed0, claims/ioi/discover.py: the nearest candidates stand for "
            "name_mover, s_inhibition, in 1 claim"
        ]
    )
    assert "criteria not met  names-gpt2-seed4" not in run.output
    page = (run.report / "index.html").read_text(encoding="utf-8")
    cards = {re.search(r"<bdi>(names-[^<]*)", card)[1]: card for card in page.split('<article class="card">')[1:]}
    assert "Criteria not met: nothing satisfies what was asked of <bdi>name_mover, s_inhibition</bdi>" in cards["names-gpt2-seed0"]
    assert "Criteria not met" not in cards["names-gpt2-seed4"].split("</article>")[0]


APPLIES = """
    @claim("It loses half", decoy={"mean": -1.0})
    def test_half(check, mean=1.0, clean=-2.0):
        check.requires(around(clean, "clean"), above=0.0)
        check.above(around(mean), 0.5)
"""


def test_not_applicable_is_an_xfail_with_a_word_of_its_own(claims, pytester):
    run = claims(APPLIES, "-v", "--junitxml=junit.xml")
    claim = run.claim()
    assert (claim["verdict"], claim["met"], claim["deciding"], claim["decoys"]) == ("not_applicable", False, 0, None)
    assert run.result.ret == 0
    assert run.result.parseoutcomes() == {"not_applicable": 1}
    run.result.stdout.fnmatch_lines(
        [
            "test_claims.py::test_half NOT APPLICABLE *",
            "∘ not applicable *-2.000 [[]*[]] n=24  [[]check 1 of 2, a precondition: clean > 0[]]",
            "1 claim: 1 not applicable; 0 as claimed",
        ]
    )
    assert properties(pytester.path / "junit.xml")["test_half"]["mechcheck.verdict"] == "not_applicable"
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert '<option value="not_applicable">not applicable</option>' in page
    assert "required: &gt; 0 logits" in page


@pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "two processes"])
def test_not_applicable_fails_where_it_is_listed(claims, processes):
    run = claims(APPLIES, "--mech-fail-on=refuted,not_applicable", *processes)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert run.result.parseoutcomes() == {"failed": 1}
    run.result.stdout.fnmatch_lines(["not applicable: It loses half", "  refuted: check 1 of 2, a precondition: clean > 0"])


def test_not_applicable_as_claimed_needs_no_contrast(claims):
    run = claims(APPLIES.replace('decoy={"mean": -1.0}', 'expect="not_applicable", decoy={"mean": -1.0}'), "-v")
    claim = run.claim()
    assert (claim["verdict"], claim["met"], claim["decoys"]) == ("not_applicable", True, None)
    assert run.result.parseoutcomes() == {"passed": 1}
    run.result.stdout.fnmatch_lines(["test_claims.py::test_half NOT APPLICABLE AS CLAIMED *", "∘ not applicable *  (as claimed)"])


def test_expected_not_applicable_and_decided_is_a_failure(claims):
    run = claims(APPLIES.replace('decoy={"mean": -1.0}', 'expect="not_applicable"').replace("clean=-2.0", "clean=2.0"))
    assert (run.claim()["verdict"], run.claim()["met"], run.claim()["decoys"]) == ("supported", False, None)
    assert run.result.parseoutcomes() == {"failed": 1}
    run.result.stdout.fnmatch_lines(["  expected: not applicable"])
    assert "expected not applicable" in (run.report / "index.html").read_text(encoding="utf-8")


def test_evidence_of_schema_1_as_a_baseline(claims, pytester):
    """The claims of tests/evidence/schema1, today, against what was written of them then."""
    kept = Path(__file__).parents[1] / "evidence" / "schema1"
    source = (kept / "kept.py").read_text(encoding="utf-8")
    options = (f"--mech-baseline={kept}", "--mech-fail-on=drifted,flipped,missing,incomparable,unsure", "-k", "not on_a_model")
    run = claims(source, *options)
    drift = {claim["id"]: claim["drift"] and (claim["drift"]["status"], claim["drift"]["reason"]) for claim in run.evidence["claims"]}
    assert {name: found and found[0] for name, found in drift.items()} == {
        "test_means": "same", "test_rates[4]": "same", "test_open": "same", "test_second": "same", "test_search": "same",
        "test_skipped": None,
    }, drift  # fmt: skip
    # Brackets in labels, which schema 1 left out, are no change; another direction is one.
    assert json.loads((kept / "evidence.json").read_text())["claims"][1]["id"] == "test_means"
    labels = [e["label"] for e in run.claim("test_means")["expectations"]]
    assert labels[-1] == "effect > 2 * (effect - effect) + 0.25"
    run = claims(source.replace('below=0.5, label="few of them"', 'above=0.01, label="few of them"'), *options)
    assert run.claim("test_rates")["drift"]["status"] == "incomparable"
    assert "test_rates[4] (incomparable)" in run.output
