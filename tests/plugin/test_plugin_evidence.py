"""What a run leaves: evidence, samples, JUnit XML, pytest-html, the terminal's summary; also when it is cut short."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from mechcheck.evidence.store import slug, texts_file

MODEL = "names-gpt2-seed1"
THREE = """
    @claim("first", decoy={"mean": -1.0}, source="a paper", kind="necessity")
    def test_a(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("second", decoy={"mean": -1.0})
    def test_b(check, mean=1.0):
        BODY

    @claim("third", decoy={"mean": -1.0})
    def test_c(check, mean=1.0):
        check.above(around(mean), 0)
"""


def three(body: str = "check.above(around(mean), 0)") -> str:
    """Three claims, of which the second does this."""
    return THREE.replace("BODY", body)


def test_samples_are_what_was_estimated(claims):
    run = claims(
        """
        @claim("The preference is composed", task="ioi", decoy="reinitialised")
        def test_it(model, prompts, check):
            clean, broken = run(model, prompts), run(model, prompts, Ablate(heads("0.0-3@END"), "zero"))
            check.above(clean, 1.0)
            check.above((clean - broken) / clean, 0.75)
            check.rate(clean > 0, above=0.8)
        """,
        "--mech-model",
        MODEL,
    )
    claim = run.claim()
    assert {p.name for p in run.samples.iterdir()} == {f"{slug(claim['id'])}.npz", texts_file(claim["texts"][0])}
    samples = np.load(run.samples / f"{slug(claim['id'])}.npz", allow_pickle=False)
    assert len(claim["expectations"]) == 3
    for i, expectation in enumerate(claim["expectations"]):
        below = samples[f"denominator_{i}"].sum() if i == 1 else len(samples[f"values_{i}"])
        assert samples[f"values_{i}"].sum() / below == pytest.approx(expectation["estimate"]["value"])
        assert len(set(samples[f"ids_{i}"])) == expectation["estimate"]["n"] == 96
        assert len(set(samples[f"templates_{i}"])) == claim["prompts"]["templates"] == expectation["estimate"]["clusters"]
        assert set(expectation["by_template"]) == set(samples[f"templates_{i}"])
    assert "denominator_0" not in samples


def test_p_values_are_adjusted_over_the_claims_of_the_run(claims):
    """Three claims: two of one p-value, each the smaller of two sides, and one of two checks, of which the larger counts."""
    run = claims(three("check.above(around(0.06), 0); check.between(around(0), -1, 1)"))
    found = run.evidence["claims"]
    two_sided = [min(1.0, 2 * min(max(e["p"] for e in c["expectations"]), *(e["p_refuted"] for e in c["expectations"]))) for c in found]
    by_rank = sorted(two_sided)
    for claim, p in zip(found, two_sided, strict=True):
        expected = min(q * 3 / (i + 1) for i, q in enumerate(by_rank) if q >= p)
        assert claim["p_adjusted"] == pytest.approx(min(1.0, expected))
        for e in claim["expectations"]:
            assert e["p_adjusted"] == pytest.approx(min(1.0, e["p"] * claim["p_adjusted"] / p))
    about = run.evidence["run"]["multiplicity"]
    assert (about["tested"], about["fdr"], about["undone"]) == (3, None, 0)


CHANCE = """
    @pytest.mark.parametrize("i", range(12))
    @claim("there is something", decoy={"mean": -9.0})
    def test_it(check, i, mean=0.3):
        check.above(around(mean), 0.0)

    @pytest.mark.parametrize("i", range(12))
    @claim("there is nothing", decoy={"mean": -9.0})
    def test_no(check, i, mean=0.0):
        check.above(around(mean), 0.0)

    @claim("barely", decoy={"mean": -9.0})
    def test_barely(check, mean=0.128):
        check.above(around(mean), 0.0)
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_a_false_discovery_rate_over_the_run(claims, workers, pytester):
    """What is decided alone and not among so many becomes inconclusive, and says so; the rest stays as it was."""
    alone, bounded = (claims(CHANCE, *options, *workers) for options in ((), ("--mech-fdr=0.02", "--junitxml=junit.xml")))
    assert alone.verdicts["test_barely"] == "supported"
    assert alone.claim("test_barely")["p_adjusted"] > 0.02
    about = bounded.evidence["run"]["multiplicity"]
    assert about["fdr"] == 0.02
    barely = bounded.claim("test_barely")
    assert (barely["verdict"], barely["met"], about["undone"]) == ("inconclusive", False, 1)
    assert barely["reason"].startswith("supported alone, and not at a false discovery rate of 0.02 over this run (p = 0.0")
    assert {n: v for n, v in bounded.verdicts.items() if "barely" not in n} == {
        n: v for n, v in alone.verdicts.items() if "barely" not in n
    }
    assert "1 more were decided alone, and not at the false discovery rate of 0.02 that was asked for" in bounded.output
    assert f"\n    {barely['reason'].partition('; ')[0]}\n" in bounded.output
    noted = ElementTree.parse(pytester.path / "junit.xml").iterfind(".//property[@name='mechcheck.verdict']")
    assert sorted(one.get("value") for one in noted) == sorted(bounded.verdicts.values())
    assert bounded.evidence["run"]["multiplicity"]["false_share"] <= 0.02
    assert 0 < alone.evidence["run"]["multiplicity"]["false_share"] < 0.2


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "5"])
def test_a_rate_that_is_none(claims, rate):
    run = claims(three(), f"--mech-fdr={rate}")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "a false discovery rate lies between 0 and 1, for example 0.05" in run.result.stderr.str()


def test_the_run_describes_itself(claims):
    run = claims(three(), "--mech-seed=3")
    about = run.evidence["run"]
    assert (about["complete"], about["seed"], about["profile"], about["confidence"], about["device"]) == (True, 3, "smoke", 0.975, "cpu")
    assert about["argv"][0] == "pytest"
    assert "--mech-seed=3" in about["argv"]
    assert {"python", "torch", "transformer-lens", "mechcheck"} <= set(about["versions"])
    assert (about["commit"], about["dirty"]) == (None, None)
    claim = run.claim("test_a")
    assert (claim["statement"], claim["source"], claim["kind"]) == ("first", "a paper", "necessity")
    assert claim["command"] == "pytest test_claims.py::test_a --mech-profile=smoke --mech-seed=3"
    assert claim["duration_s"] > 0


def test_the_commit_is_recorded(claims, pytester):
    pytester.run("git", "init", "-q")
    pytester.run("git", "-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x")
    about = claims(three()).evidence["run"]
    assert re.fullmatch("[0-9a-f]{40}", about["commit"])
    assert about["dirty"] is True


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        ("assert False", ("-x",), "AssertionError: assert False"),
        ("raise KeyboardInterrupt", (), "KeyboardInterrupt: "),
        ("pytest.exit('enough')", (), "Exit: enough"),
        ("check.above(around(mean), 0)\n        if mean < 0: raise KeyboardInterrupt", (), "KeyboardInterrupt: "),
    ],
)
def test_a_run_that_is_cut_short(claims, body, options, reason):
    run = claims(three(body), *options)
    assert run.evidence["run"]["complete"] is False
    assert run.verdicts == {"test_a": "supported", "test_b": "errored"}
    assert run.claim("test_b")["met"] is False
    assert run.claim("test_b")["reason"].startswith(reason)
    assert "this run was interrupted: its evidence is incomplete" in run.output
    assert run.claim("test_a")["expectations"][0]["p_adjusted"] is not None


def test_a_killed_process_leaves_an_errored_claim(claims):
    run = claims(three("os.kill(os.getpid(), signal.SIGKILL)"), "-n2")
    assert run.verdicts == {"test_a": "supported", "test_b": "errored", "test_c": "supported"}
    assert run.claim("test_b")["reason"] == "the process ended before this claim was decided"
    assert run.claim("test_b")["met"] is False
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_subset_leaves_the_rest_out(claims):
    run = claims(three("assert False"), "-k", "not test_b")
    assert set(run.verdicts) == {"test_a", "test_c"}
    assert run.evidence["run"]["complete"] is True


def test_each_run_replaces_the_last(claims):
    claims(three())
    run = claims.again("test_claims.py::test_a")
    assert set(run.verdicts) == {"test_a"}
    assert len(list(run.samples.iterdir())) == 1
    assert sorted(p.name for p in run.report.iterdir()) == ["evidence.json", "index.html", "ledger.jsonl", "samples"]


def test_nothing_is_written_without_claims(claims):
    assert claims("def test_plain(): ...").evidence is None
    run = claims(three("..."), "--collect-only")
    assert run.evidence is None
    assert not run.report.exists()


def test_junit_xml(claims, pytester):
    claims(three("check.above(around(-1), 0)"), "--junitxml=junit.xml")
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    }
    assert properties["test_a"]["mechcheck.verdict"] == "supported"
    assert properties["test_b"]["mechcheck.verdict"] == "refuted"
    assert properties["test_b"]["mechcheck.n"] == "24"
    assert float(properties["test_b"]["mechcheck.effect"]) == pytest.approx(-1)
    assert re.fullmatch(r"\[-1\.\d+, -0\.\d+\]", properties["test_b"]["mechcheck.interval"])


def test_pytest_html(claims, pytester):
    claims(three("check.above(around(-1), 0)"), "--html=x.html", "--self-contained-html")
    page = (pytester.path / "x.html").read_text(encoding="utf-8").replace("&#34;", '"').replace("&quot;", '"')
    for column in ("Verdict", "Effect", "95% CI", "n"):
        assert re.search(rf"<th[^>]*>{re.escape(column)}</th>", page.replace('\\"', '"')), column
    assert "reports/index.html#" in page
    assert "refuted" in page


def test_the_summary(claims):
    run = claims(
        three("check.above(around(-1), 0)") + '\n    @pytest.mark.skip(reason="later")\n    @claim("z")\n    def test_z(check): ...'
    )
    run.result.stdout.fnmatch_lines([
        "*= claims =*",
        "*refuted *second *-1.000 [[]-1.*, -0.*[]] n=24",
        "*supported *first *+1.000 [[]+0.*, +1.*[]] n=24  1/1 decoys rejected",
        "*- 1 skipped: later*",
        "4 claims: 2 supported, 1 refuted, 1 skipped; 2 as claimed",
        "evidence: reports/evidence.json   report: reports/index.html",
    ])  # fmt: skip
    assert "interrupted" not in run.output


def test_figures_reach_the_report(claims):
    run = claims("""
        @claim("drawn", decoy={"mean": -1.0})
        def test_it(check, mean=1.0):
            check.above(around(mean), 0)
            check.figure(head_heatmap("a heatmap", np.array([[1.0, np.nan]]), "logits"))
            check.figure(lambda: Lines("curves", [0, 1], {"y": [0.5, np.inf]}, "x", "y"))
    """)
    assert [f["title"] for f in run.claim()["figures"]] == ["a heatmap", "curves"]
    assert run.claim()["figures"][0]["data"]["values"] == [[1.0, None]]
    assert "a heatmap" in (run.report / "index.html").read_text(encoding="utf-8")


def test_hostile_text_does_no_harm(claims):
    """Statements are the user's: whatever is in them, the run ends with evidence and a page."""
    run = claims("""
        @claim("<script>alert(1)</script> \\u202e \\U0001f600 {{ 7 * 7 }}", id="odd/\\u00e9[<b>]", decoy={"mean": -1.0})
        def test_it(check, mean=1.0):
            check.above(around(mean, "a|b"), 0)
    """)
    assert run.claim()["verdict"] == "supported"
    assert "<script>alert(1)" not in (run.report / "index.html").read_text(encoding="utf-8")
