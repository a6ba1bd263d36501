"""--mech-baseline, --mech-margin and --mech-fail-on: what a run says of an earlier one, with one process and with two."""

import json
import shutil
import xml.etree.ElementTree as ElementTree

import pytest
from synthetic import HEADER  # noqa: F401  (read by the fixture `claims`)

from mechcheck import cli

SOURCE = """
    @claim("first", decoy={"mean": -1.0})
    def test_a(check, mean=A):
        check.above(around(mean, RUN), 0)

    @claim("second", decoy={"mean": -1.0})
    def test_b(check, mean=B):
        check.above(around(mean, RUN), 0)
        check.rate(around(mean, RUN) > 0, above=0.5)

    @claim("third", decoy={"mean": -1.0})
    def test_c(check, mean=C):
        check.above(around(mean, RUN), 0)
"""
PROCESSES = pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["one", "two"])


def source(run=0, a=1.0, b=1.0, c=1.0) -> str:
    """Three claims with these means; a run other than 0 measures with noise of its own."""
    return SOURCE.replace("RUN", str(run)).replace("=A)", f"={a})").replace("=B)", f"={b})").replace("=C)", f"={c})")


@pytest.fixture
def baseline(claims, pytester):
    """The report folder of a run of the three claims, moved to base/."""
    run = claims(source())
    assert run.evidence["run"]["complete"] is True
    shutil.move(run.report, pytester.path / "base")
    return pytester.path / "base"


def statuses(run) -> dict[str, str | None]:
    return {c["id"]: c["drift"] and c["drift"]["status"] for c in run.evidence["claims"]}


def properties(path, claim) -> dict[str, str]:
    """The JUnit properties of a claim's test case."""
    (case,) = [case for case in ElementTree.parse(path).iter("testcase") if case.attrib["name"] == claim]
    return {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}


@PROCESSES
def test_drift_is_told(claims, baseline, pytester, processes):
    options = (*processes, "--mech-baseline=base/evidence.json", "--junitxml=junit.xml")
    run = claims(source(run=1, b=0.7, c=-1.0), *options)
    assert statuses(run) == {"test_a": "same", "test_b": "drifted", "test_c": "flipped"}
    drift = run.claim("test_b")["drift"]
    assert [e["status"] for e in drift["expectations"]] == ["drifted", "same"]
    assert drift["expectations"][0]["difference"]["value"] == pytest.approx(-0.3, abs=0.02)
    assert drift["expectations"][0]["difference"]["clusters"] == 8
    about = run.evidence["run"]["baseline"]
    assert (about["file"], about["n"], about["margin"]) == ("base/evidence.json", 3, 0.05)
    assert about["counts"] == {"same": 1, "drifted": 1, "flipped": 1}
    assert (about["missing"], about["not_judged"]) == ([], None)
    run.result.stdout.fnmatch_lines([
        "*- since the baseline -*",
        "↕ flipped *test_c (supported -> refuted; *",
        "≠ drifted *test_b  effect > 0: +1 -> +0.7*: -0.* [[]-0.3*, -0.2*[]], margin 0.05, p *",
        "against base/evidence.json of *: 1 same, 1 drifted, 1 flipped",
    ])  # fmt: skip
    assert run.result.ret == 1  # test_c is refuted, and that alone is what fails by default
    assert "failed by" not in run.output
    found = properties(pytester.path / "junit.xml", "test_b")
    assert found["mechcheck.drift"] == "drifted"
    d = drift["expectations"][0]["difference"]
    assert found["mechcheck.difference.check"] == drift["expectations"][0]["label"]
    assert found["mechcheck.difference"] == f"{d['value']:.6g} [{d['low']:.6g}, {d['high']:.6g}], margin 0.05"
    assert json.loads(found["mechcheck"])["drift"] == drift
    assert properties(pytester.path / "junit.xml", "test_a")["mechcheck.drift"] == "same"
    assert "test_b" in (run.report / "index.html").read_text(encoding="utf-8")


def test_an_identical_run_is_the_same(claims, baseline):
    run = claims.again("--mech-baseline=base", "--mech-fail-on=drifted,unsure,missing,new")
    assert set(statuses(run).values()) == {"same"}
    assert {c["drift"]["reason"] for c in run.evidence["claims"]} == {"every prompt has the same value"}
    assert run.result.ret == 0


@pytest.mark.parametrize(
    ("fail_on", "fails"),
    [("drifted", "test_b (drifted)"), ("missing,drifted,unsure", "test_b (drifted)"), ("flipped,missing", ""), (None, "")],
)
def test_changes_that_fail_the_run(claims, baseline, fail_on, fails):
    run = claims(source(run=1, b=0.7), "--mech-baseline=base/evidence.json", *([f"--mech-fail-on={fail_on}"] if fail_on else []))
    assert set(run.verdicts.values()) == {"supported"}
    assert run.result.ret == (1 if fails else 0)
    assert (f"failed by --mech-fail-on: {fails}" in run.output) is bool(fails)


@PROCESSES
def test_a_claim_that_is_gone_is_missing(claims, baseline, pytester, processes):
    options = (*processes, "--mech-baseline=base/evidence.json", "--mech-fail-on=missing", "--junitxml=junit.xml")
    run = claims(source().replace("test_c", "test_d"), *options)
    assert statuses(run) == {"test_a": "same", "test_b": "same", "test_d": "new"}
    assert run.evidence["run"]["baseline"]["missing"] == [
        {"id": "test_c", "statement": "third", "model": None, "verdict": "supported", "accepted": None}
    ]
    assert run.result.ret == 1
    run.result.stdout.fnmatch_lines(["− missing *test_c: supported in the baseline", "failed by --mech-fail-on: test_c (missing)"])
    suite = next(ElementTree.parse(pytester.path / "junit.xml").iter("testsuite"))
    assert [p.attrib for p in suite.find("properties")] == [{"name": "mechcheck.drift.missing", "value": "test_c"}]


@PROCESSES
def test_the_baselines_claims_alone(claims, baseline, processes):
    """One that it does not have is left out, and one that is gone is missing all the same."""
    run = claims(source().replace("test_c", "test_d"), *processes, "--mech-baseline=base", "--mech-baseline-only")
    assert statuses(run) == {"test_a": "same", "test_b": "same"}
    assert [gone["id"] for gone in run.evidence["run"]["baseline"]["missing"]] == ["test_c"]
    assert run.evidence["run"]["complete"] is True


def test_the_claims_of_no_baseline(claims):
    run = claims(source(), "--mech-baseline-only")
    assert run.result.ret == 4
    run.result.stderr.fnmatch_lines(["*--mech-baseline-only needs the run whose claims are meant: --mech-baseline FILE"])


@pytest.mark.parametrize(
    ("options", "left", "why"),
    [
        (("-k", "test_a"), 2, "only a part of the claims was run (2 claims were deselected)"),
        (("-k", "test_a", "-n2"), 2, "only a part of the claims was run (2 claims were deselected)"),
        (("--deselect", "test_claims.py::test_b"), 1, "only a part of the claims was run (1 claims were deselected)"),
        (("test_claims.py::test_a",), 2, "they lie outside of the paths and models of this run"),
    ],
)
def test_what_was_not_asked_for_is_not_missing(claims, baseline, options, left, why):
    run = claims.again(*options, "--mech-baseline=base", "--mech-fail-on=missing")
    about = run.evidence["run"]["baseline"]
    assert (about["missing"], about["not_judged"]) == ([], {"n": left, "why": why})
    assert f"{left} claims of the baseline are not here and not called missing: {why}" in run.output
    assert (run.result.ret, run.claim("test_a")["drift"]["status"]) == (0, "same")


def test_last_failed_is_a_part(claims, baseline):
    claims(source(b=-1.0))
    run = claims(source(), "--lf", "--mech-baseline=base", "--mech-fail-on=missing")
    assert statuses(run) == {"test_b": "same"}
    assert run.evidence["run"]["selection"]["narrowed"] == "--lf"
    assert (run.evidence["run"]["baseline"]["missing"], run.result.ret) == ([], 0)


def test_a_file_that_was_not_run_is_not_missing_and_one_that_was_removed_is(claims, baseline, pytester):
    """Also where no claim is left at all."""
    (pytester.path / "test_claims.py").unlink()
    (pytester.path / "sub").mkdir()
    (pytester.path / "sub" / "test_other.py").write_text("def test_plain(): ...", encoding="utf-8")
    run = claims.again("sub", "--mech-baseline=base", "--mech-fail-on=missing")
    assert (run.evidence, run.result.ret) == (None, 0)
    run = claims.again("--mech-baseline=base", "--mech-fail-on=missing")
    assert [gone["id"] for gone in run.evidence["run"]["baseline"]["missing"]] == ["test_a", "test_b", "test_c"]
    assert (run.evidence["claims"], run.result.ret) == ([], 1)
    run = claims.again("--mech-baseline=base", "--mech-fail-on=missing", "--collect-only")
    assert (run.evidence, run.result.ret) == (None, 0)


def test_the_selection_is_recorded(claims, pytester):
    (pytester.path / "sub").mkdir()
    run = claims(source(), "sub", "test_claims.py::test_a", "--mech-model=names-gpt2-seed1")
    assert run.evidence["run"]["selection"] == {
        "paths": ["sub", "test_claims.py::test_a"],
        "models": ["names-gpt2-seed1"],
        "narrowed": None,
    }
    assert claims.again().evidence["run"]["selection"] == {"paths": ["."], "models": [], "narrowed": None}


def test_an_interrupted_run(claims, baseline, pytester):
    """It is told what it measured and misses nothing; and it is refused as a baseline itself."""
    cut = source().replace("def test_c(check, mean=1.0):", "def test_c(check, mean=1.0):\n        raise KeyboardInterrupt")
    run = claims(cut.replace("test_a", "test_new"), "--mech-baseline=base", "--mech-fail-on=missing")
    assert run.evidence["run"]["complete"] is False
    assert run.evidence["run"]["baseline"]["not_judged"] == {"n": 1, "why": "the run was interrupted"}
    assert statuses(run) == {"test_new": "new", "test_b": "same", "test_c": "flipped"}
    shutil.move(run.report, pytester.path / "cut")
    refused = claims.again("--mech-baseline=cut")
    assert (refused.result.ret, refused.evidence) == (pytest.ExitCode.USAGE_ERROR, None)
    assert "--mech-baseline: " in refused.result.stderr.str()
    assert (
        "of a run that was interrupted, so claims are absent from it that were never run: it is no baseline" in refused.result.stderr.str()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mech-baseline=nowhere.json",), "--mech-baseline: no evidence at "),
        (("--mech-baseline=test_claims.py",), "is not an evidence file of mechcheck"),
        (("--mech-fail-on=drifted",), "--mech-fail-on: nothing can be drifted without --mech-baseline FILE to compare with"),
        (
            ("--mech-fail-on=drifting",),
            "--mech-fail-on: unknown 'drifting'; choose among refuted, vacuous, errored, method_dependent, inconclusive,",
        ),
        (("--mech-margin=0",), "--mech-margin is a fraction of the effect, between 0 and 1, not 0"),
        (("--mech-margin=x",), "invalid float value: 'x'"),
    ],
)
def test_options_that_are_refused(claims, options, message):
    run = claims(source(), *options)
    assert (run.result.ret, run.evidence) == (pytest.ExitCode.USAGE_ERROR, None)
    assert message in run.result.stderr.str()


def test_the_baseline_may_be_what_the_run_overwrites(claims):
    claims(source())
    # The fixture removes the last evidence; its samples are what the run replaces.
    shutil.copy("reports/evidence.json", "reports/last.json")
    run = claims(source(run=1, b=0.7), "--mech-baseline=reports/last.json")
    assert statuses(run) == {"test_a": "same", "test_b": "drifted", "test_c": "same"}


def test_the_margin_is_the_users(claims, baseline):
    run = claims(source(run=1, b=0.7), "--mech-baseline=base", "--mech-margin=0.5")
    assert (statuses(run)["test_b"], run.evidence["run"]["baseline"]["margin"]) == ("same", 0.5)


def test_an_accepted_change_does_not_fail(claims, baseline, capsys):
    options = ("--mech-baseline=base", "--mech-fail-on=drifted,missing", "--junitxml=junit.xml")
    changed = source(run=1, b=0.7).replace("test_c", "test_d")
    run = claims(changed, *options)
    assert run.result.ret == 1
    capsys.readouterr()
    for name in ("test_b", "test_c"):
        assert cli.main(["accept", name, "--why", f"{name} was retrained"]) == 0
    assert "test_b (drifted) is accepted in base/accepted.json" in capsys.readouterr().out
    run = claims.again(*options)
    assert run.result.ret == 0
    assert run.claim("test_b")["drift"]["status"] == "drifted"
    assert run.claim("test_b")["drift"]["accepted"]["why"] == "test_b was retrained"
    assert run.evidence["run"]["baseline"]["missing"][0]["accepted"]["why"] == "test_c was retrained"
    run.result.stdout.fnmatch_lines(["≠ drifted *test_b *[[]accepted *: test_b was retrained[]]", "*; 2 accepted"])
    assert properties("junit.xml", "test_b")["mechcheck.drift.accepted"] == "test_b was retrained"
    further = claims(source(run=1, b=0.4).replace("test_c", "test_d"), *options)
    assert (further.claim("test_b")["drift"]["accepted"], further.result.ret) == (None, 1)
