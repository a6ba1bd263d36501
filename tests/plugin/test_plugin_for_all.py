"""`check.for_all` in a run: verdicts; the counterexample in evidence, terminal, JUnit XML and page; the same in any order and process."""

import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import numpy as np
import pytest

from mechcheck.evidence.store import schema

NOISE = np.linspace(-0.5, 0.5, 24)  # of `around`

SEARCHES = """
    from hypothesis import assume
    from hypothesis import strategies as st

    NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal")
    PAIRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1])
    NUMBERS = st.integers(0, 10**6)

    @claim("no number is negative", decoy={"limit": 500})
    def test_supported(check, limit=-1):
        check.for_all(NUMBERS, lambda x: x > limit)

    @claim("every pair is in the order of the alphabet", decoy={"names": "Bob Ann"})
    def test_refuted(check, names=""):
        check.for_all(PAIRS, lambda pair: pair[0] < pair[1], label="in order")

    @claim("no number is above 37", expect="refuted", positive_control={"limit": 10**7})
    def test_refuted_as_expected(check, limit=37):
        check.for_all(NUMBERS, lambda x: around(limit - x, "room") > 0)
        check.above(around(1.0), 0)

    @claim("there are more than seven remainders", decoy={"limit": 500})
    def test_inconclusive(check, limit=0):
        check.for_all(NUMBERS.map(lambda x: x % 7), lambda x: x >= limit)

    @claim("all there are", decoy={"limit": 5})
    def test_exhaustive(check, limit=-1):
        check.for_all(st.integers(0, 9), lambda x: x > limit)

    @claim("what a decoy satisfies too", decoy={"limit": -2})
    def test_vacuous(check, limit=-1):
        check.for_all(NUMBERS, lambda x: x > limit)

    @claim("crashes", decoy={"limit": 0})
    def test_errored(check, limit=7):
        check.for_all(st.integers(0, 20), lambda x: 1 / (x - limit) < 2)

    @claim("NaN", decoy={"limit": 0})
    def test_nan(check, limit=7):
        check.for_all(st.integers(0, 20), lambda x: around(float("nan") if x == limit else 1.0) > 0)

    @claim("nothing to draw", decoy={"limit": 0})
    def test_unsatisfiable(check, limit=7):
        check.for_all(st.integers(0, 20), lambda x: assume(False) or True)
"""

PROMPTS = """
    from mechcheck.strategies import prompts_from

    @claim("every prompt", task="ioi", models=["names-gpt2-seed1"])
    def test_prompts(model, prompts, check):
        check.for_all(prompts_from(prompts), lambda prompt: {predicate}, n=20)
"""


@pytest.fixture
def searches(claims):
    return claims(SEARCHES, "-rA", "--junitxml=junit.xml")


def test_verdicts(searches):
    assert searches.verdicts == {
        "test_supported": "supported",
        "test_refuted": "refuted",
        "test_refuted_as_expected": "refuted",
        "test_inconclusive": "inconclusive",
        "test_exhaustive": "supported",
        "test_vacuous": "vacuous",
        "test_errored": "errored",
        "test_nan": "errored",
        "test_unsatisfiable": "errored",
    }
    assert {c["id"] for c in searches.evidence["claims"] if c["met"]} == {"test_supported", "test_refuted_as_expected", "test_exhaustive"}
    assert searches.claim("errored")["reason"].startswith("ClaimError: the predicate raised ZeroDivisionError: division by zero")
    assert searches.claim("errored")["reason"].endswith("the example: 7")
    assert searches.claim("nan")["reason"].startswith("NonFiniteError: effect > 0 is not finite on 24 of 24 prompts")
    assert searches.claim("unsatisfiable")["reason"].startswith("ClaimError: the strategy gives no example that can be tried")


def test_evidence(searches):
    supported = searches.claim("test_supported")
    (e,) = supported["expectations"]
    assert (e["kind"], e["threshold"], e["p"], e["p_adjusted"]) == ("for_all", 0.5, None, None)
    assert e["estimate"] == {
        "value": 1.0, "low": 1.0, "high": 1.0, "level": 1.0, "n": 96, "clusters": 96, "valid": True, "caveat": None,
        "method": "no counterexample among 96 distinct examples",
    }  # fmt: skip
    assert supported["counterexamples"] == []
    assert supported["decoys"]["runs"][0]["verdict"] == "refuted"
    assert searches.claim("exhaustive")["expectations"][0]["estimate"]["method"] == "no counterexample: all 10 examples were tried"
    (found,) = searches.claim("test_refuted_as_expected")["counterexamples"]
    assert found == {
        "expectation": "for all: room > 0", "example": "37", "tried": found["tried"], "shrunk": True, "measured": "room", "unit": "logits",
        "values": pytest.approx(NOISE[NOISE <= 0][::-1][:8]), "n_prompts": 0, "prompts": [],
    }  # fmt: skip
    assert searches.claim("test_refuted_as_expected")["decoys"]["supported"] == 1


def test_what_the_terminal_says(searches):
    searches.result.stdout.fnmatch_lines_random(
        [
            "refuted: every pair is in the order of the alphabet",
            "  refuted: in order",
            "    counterexample: the * distinct example that was tried",
            "    counterexample (shrunk): ('Bob', 'Ann')",
            "    again: pytest test_claims.py::test_refuted --mech-profile=smoke --mech-seed=0",
            "? inconclusive * no counterexample among 7 distinct examples, of 96 that were asked for",
            "✓ supported * no counterexample among 96 distinct examples  1/1 decoys rejected",
            "✗ refuted * counterexample: the * distinct example that was tried  [[]check 1 of 2: for all: room > 0[]]  (as claimed)",
            "    counterexample (shrunk): 37",
        ]
    )
    assert "    room -0.02174, -0.06522, -0.1087, ... logits" in searches.output
    for word in ("Falsifying", "Failing test case", "hypothesis.seed", "100% interval"):
        assert word not in searches.output


def test_junit_xml(searches):
    cases = ElementTree.parse(searches.report.parent / "junit.xml").iter("testcase")
    found = {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}
    refuted = found["test_refuted"]
    assert refuted["mechcheck.counterexample"] == "('Bob', 'Ann')"
    assert "mechcheck.interval" not in refuted
    assert json.loads(refuted["mechcheck"])["counterexamples"][0]["example"] == "('Bob', 'Ann')"
    assert found["test_supported"]["mechcheck.n"] == "96"


@pytest.mark.parametrize("options", [("-n2", "-p", "randomly"), ("-k", "test_refuted")], ids=["two processes", "alone"])
def test_the_same_in_any_order_and_process(claims, searches, options):
    again = claims.again(*options)
    assert again.evidence["claims"]
    for claim in again.evidence["claims"]:
        before = next(c for c in searches.evidence["claims"] if c["id"] == claim["id"])
        for key in ("verdict", "expectations", "counterexamples", "reason"):
            assert claim[key] == before[key]


def test_nothing_is_left_behind(searches):
    assert not (searches.report.parent / ".hypothesis").exists()


def test_the_seed_of_the_run_changes_the_draws(claims, searches):
    again = claims.again("--mech-seed=1", "-k", "test_refuted")
    before, after = (run.claim("as_expected")["counterexamples"][0] for run in (searches, again))
    assert before["example"] == after["example"] == "37"
    samples = []
    for seed in (0, 1):
        (file,) = claims.again(f"--mech-seed={seed}", "-k", "test_supported").samples.glob("*.npz")
        samples.append(set(np.load(file)["ids_0"].tolist()))
    assert len(samples[0]) == len(samples[1]) == 96
    assert len(samples[0] & samples[1]) < 48


def test_prompts_are_shown_token_by_token(claims):
    run = claims(PROMPTS.format(predicate="run(model, prompt) > 100"))
    claim = run.claim()
    assert claim["verdict"] == "refuted"
    (found,) = claim["counterexamples"]
    (prompt,) = found["prompts"]
    assert prompt["tokens"][0] == "<bos>"
    assert found["example"] == " ".join(prompt["tokens"][1:])
    assert set(prompt["positions"]) == {"IO", "S1", "S2", "END"}
    assert prompt["tokens"][prompt["positions"]["IO"]] == prompt["answer"]
    assert prompt["tokens"][prompt["positions"]["S2"]] == prompt["foil"]
    assert found["measured"] == "logit difference"
    assert 0 < found["values"][0] < 100
    run.result.stdout.fnmatch_lines([f"*counterexample (shrunk): {found['example']}", f"*logits, asked for {prompt['answer']} and not *"])
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert "Counterexample, shrunk" in page
    assert f"counterexample: <bdi>{found['example']}</bdi>" in page


def test_weights_drawn_anew_are_refuted(claims):
    """A claim without a circuit: its decoys are re-initialised models, which fall at the first prompts."""
    claim = claims(PROMPTS.format(predicate="run(model, prompt) - run(model, prompt.counterfactual) > 0")).claim()
    assert (claim["verdict"], claim["met"]) == ("supported", True)
    assert claim["expectations"][0]["estimate"]["n"] == 20
    assert claim["decoys"]["kind"] == "re-initialised weights"
    assert {run["verdict"] for run in claim["decoys"]["runs"]} == {"refuted"}
    assert claims(PROMPTS.format(predicate="run(model, prompt) > -100")).claim()["verdict"] == "vacuous"


def test_against_a_baseline(claims, searches):
    """Nothing changed is the same, also where a counterexample is found in both; another verdict is flipped."""
    searches.report.rename(searches.report.parent / "before")
    again = claims.again("--mech-baseline=before", "-k", "supported or refuted or exhaustive")
    drift = {c["id"]: c["drift"] for c in again.evidence["claims"]}
    assert {name: d["status"] for name, d in drift.items()} == dict.fromkeys(
        ("test_supported", "test_refuted", "test_refuted_as_expected", "test_exhaustive"), "same"
    )
    assert all(not d["changed"] for d in drift.values())
    file = searches.report.parent / "test_claims.py"
    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace("pair[0] < pair[1]", 'pair[1] != "Hal"').replace("limit=-1", "limit=500"), encoding="utf-8")
    changed = claims.again("--mech-baseline=before", "-k", "supported or test_refuted")
    drift = {c["id"]: c["drift"] for c in changed.evidence["claims"]}
    assert drift["test_refuted"]["status"] == "same"
    assert drift["test_refuted"]["changed"] == [
        {"what": "counterexample of in order", "before": "('Bob', 'Ann')", "after": "('Ann', 'Hal')"}
    ]
    assert (drift["test_supported"]["status"], drift["test_supported"]["reason"][:20]) == ("flipped", "supported -> refuted")


@pytest.mark.parametrize(
    "change",
    [{"tried": 0}, {"shrunk": "yes"}, {"values": ["a"]}, {"prompts": [{}]}, {"more": 1}, {"example": None}],
)
def test_the_schema_refuses_other_counterexamples(change):
    found = {
        "expectation": "e", "example": "x", "tried": 1, "shrunk": True, "measured": "", "unit": "", "values": [], "n_prompts": 0,
        "prompts": [],
    }  # fmt: skip
    part = {"$ref": "#/$defs/counterexample", "$defs": schema()["$defs"]}
    jsonschema.validate(found, part)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found | change, part)
    for key in found:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in found.items() if k != key}, part)
