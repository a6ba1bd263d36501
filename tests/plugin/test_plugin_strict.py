"""--mech-strict: caveats fail the claims that have them, unless they accept them, and the evidence says so."""

import xml.etree.ElementTree as ElementTree

import pytest

from mechcheck.notation.caveats import CAVEATS

MODEL = "--mech-model=names-gpt2-seed1"
CLAIMS = """
    @claim("Noised", task="ioi", decoy={"scale": 0.0})
    def test_noised(model, prompts, check, scale=3.0):
        check.above(run(model, prompts) - run(model, prompts, Noise(embed(at="S2"), scale)), 0.1)

    @claim("Known", task="ioi", decoy={"scale": 0.0}, accepts={"gaussian_noise": "it is what the paper did"})
    def test_known(model, prompts, check, scale=3.0):
        check.above(run(model, prompts) - run(model, prompts, Noise(embed(at="S2"), scale)), 0.1)

    @claim("Patched", task="ioi", decoy={"at": "S1"})
    def test_patched(model, prompts, check, at="S2"):
        check.above(run(model, prompts) - run(model, prompts, Patch(embed(at=at))), 0.5)

    @claim("Open", task="ioi")
    def test_open(model, prompts, check):
        noised = run(model, prompts, Noise(embed(at="S2")))
        check.above(noised, noised.mean, label="its own mean")

    @claim("Synthetic", decoy={"mean": -1.0})
    def test_synthetic(check, mean=1.0):
        check.above(around(mean), 0)
"""
PROFILE = ("--mech-profile=smoke", "--mech-decoys=4")


def outcomes(run):
    """The claim's name -> (verdict, as claimed, its caveats with what becomes of them)."""
    told = {}
    for claim in run.evidence["claims"]:
        caveats = {one["about"]: one.get("accepted") or bool(one.get("fails")) for one in claim["caveats"]}
        told[claim["id"].partition("[")[0].rpartition("test_")[2]] = claim["verdict"], claim["met"], caveats
    return told


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_a_strict_run(claims, workers):
    run = claims(CLAIMS, MODEL, *PROFILE, "--mech-strict", "--mech-fail-on=errored", "--junitxml=junit.xml", *workers)
    run.result.assert_outcomes(failed=2, passed=3)
    assert outcomes(run) == {
        "noised": ("supported", True, {"gaussian_noise": True}),
        "known": ("supported", True, {"gaussian_noise": "it is what the paper did"}),
        "patched": ("supported", True, {}),
        "open": ("inconclusive", False, {"gaussian_noise": True}),
        "synthetic": ("supported", True, {}),
    }
    assert "gaussian_noise" in run.evidence["run"]["strict"]
    assert "--mech-strict=" in run.claim("noised")["command"]
    assert run.output.count("failed by --mech-strict: gaussian_noise: corrupted by Gaussian noise alone") == 2
    assert "caveat  3 claims: Gaussian noise where there is a counterfactual" in run.output
    assert "(accepted by 1)" in run.output
    assert """accepts={"gaussian_noise": "why"}""" in run.output
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert page.count("Caveat, by which this strict run fails it: <bdi>corrupted by Gaussian noise") == 2
    assert page.count("Caveat, accepted: <bdi>corrupted by Gaussian noise") == 1
    assert page.count("Accepted by the claim: it is what the paper did") == 1
    junit = ElementTree.parse(run.report.parent / "junit.xml")
    told = [one.attrib["value"] for one in junit.iterfind(".//property[@name='mechcheck.caveat.gaussian_noise']")]
    assert sorted(text.rpartition("(")[2] for text in told) == ["accepted: it is what the paper did)", "fails it)", "fails it)"]


def test_strict_about_some(claims):
    run = claims(CLAIMS, MODEL, *PROFILE, "--mech-strict=single_backup,other_lengths", "-k", "noised or patched")
    run.result.assert_outcomes(passed=2)
    assert run.evidence["run"]["strict"] == ["other_lengths", "single_backup"]
    assert outcomes(run)["noised"] == ("supported", True, {"gaussian_noise": False})
    run = claims(CLAIMS, MODEL, *PROFILE, "--mech-strict=gaussian_noise", "-k", "noised or patched")
    run.result.assert_outcomes(passed=1, failed=1)


def test_nothing_is_failed_by_caveats_otherwise(claims):
    run = claims(CLAIMS, MODEL, *PROFILE, "-k", "noised or known")
    run.result.assert_outcomes(passed=2)
    assert run.evidence["run"]["strict"] == []
    assert "failed by" not in run.output


@pytest.mark.parametrize("given", ["--mech-strict=gauss", "--mech-strict="])
def test_what_is_no_caveat(claims, given):
    run = claims(CLAIMS, MODEL, given)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "choose among all, gaussian_noise" in run.result.stderr.str()


def test_a_file_taken_for_a_caveat(claims):
    run = claims(CLAIMS, MODEL, "--mech-strict", "claims")
    assert "before the name of a file write --mech-strict=all" in run.result.stderr.str()


BACKUPS = """
    TWINS = Circuit({"s_inhibition": heads("1.0 1.1")})

    @pytest.fixture
    def circuit():
        return TWINS

    @pytest.fixture
    def prompts(model):
        return task_prompts("ioi", model, n=48, seed=1)

    @claim("One of two is not needed", models=["compiled-redundant"], kind="specificity", decoy={"role": "0.0"})
    def test_single(model, prompts, circuit, check, role="1.0"):
        assert circuit["s_inhibition"]
        check.equivalent(run(model, prompts) - run(model, prompts, Ablate(heads(role), "zero")), 0.5)

    @claim("Both are", models=["compiled-redundant"], kind="necessity", decoy={"role": "2.1"})
    def test_both(model, prompts, circuit, check, role="1.0 1.1"):
        assert circuit["s_inhibition"]
        check.above(run(model, prompts) - run(model, prompts, Ablate(heads(role), "zero")), 8.0)
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_a_backup_fails_a_strict_run(claims, workers):
    """It takes four more runs of the prompts, which are counted and are none of the decoys'."""
    run = claims(BACKUPS, *PROFILE, "--mech-strict=single_backup", *workers)
    run.result.assert_outcomes(failed=1, passed=1)
    assert outcomes(run) == {"single": ("supported", True, {"single_backup": True}), "both": ("supported", True, {})}
    single, both = run.claim("single"), run.claim("both")
    n = single["prompts"]["n"]
    assert single["cost"]["forwards"] - both["cost"]["forwards"] == 4 * n
    assert f"told by {4 * n} further forward passes" in single["caveats"][0]["text"]
    assert [one["runs"] for one in single["interventions"]] == [1], "they are no runs of the claim's body"


EACH = """
    from dataclasses import replace
    from mechcheck.compiled import known_circuit

    FEW = dict(models=["names-gpt2-seed1"], task="ioi")
    TWINS = known_circuit("compiled-redundant")

    def one_of(sites):
        return Sites([next(iter(sites))])

    @claim("x", **FEW, decoy={"n": 0})
    def test_has_gaussian_noise(model, prompts, check, n=1):
        check.above(run(model, prompts, Noise(embed(at="S2"), 0.1)) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_has_other_lengths(model, prompts, check, n=1):
        first, *_ = prompts.lengths.tolist()
        same = [row for row, length in enumerate(prompts.lengths.tolist()) if length == first]
        other = next(row for row, length in enumerate(prompts.lengths.tolist()) if length != first)
        check.above(run(model, prompts[same], Patch(heads("0.0@S1"), prompts[[other] * len(same)])) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_has_few_references(model, prompts, check, n=1):
        check.above(run(model, prompts, Ablate(heads("0.0@S1"), "mean", prompts[:9])) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_has_bounded_metric(model, prompts, check, n=1):
        check.above(run(model, prompts, Ablate(heads("0.0@S1"), "zero"), probability) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_has_saturated_metric(model, prompts, check, n=1):
        # The model never says the foil.
        run(model, replace(prompts, answers=prompts.foils), Ablate(heads("0.0@S1"), "zero"), probability)
        check.above(run(model, prompts, Ablate(heads("0.0@S1"), "zero")) * n, 0.1)

    @claim("x", **FEW, kind="necessity", decoy={"n": 0})
    def test_has_wrong_direction(model, prompts, check, n=1):
        restored = run(model, prompts.counterfactual, Patch(heads("1.0-1@END"), prompts)) - run(model, prompts.counterfactual)
        check.above(restored * n, 0.1)

    @claim("x", decoy={"n": 0.01})
    def test_has_beyond_whole(check, n=2):
        check.above(around(n) / around(1.0), 0.5)

    @claim("x", models=["compiled-redundant"], decoy={"n": 0})
    def test_has_seen_prompts(model, twins, circuit, check, n=1):
        assert circuit["s_inhibition_one"]
        check.above(run(model, twins) * n, 0.1)

    @claim("x", models=["compiled-redundant"], decoy={"n": 0})
    def test_has_single_backup(model, others, circuit, check, n=1):
        check.above(run(model, others, Ablate(one_of(circuit["both"]), "zero")) * n, 0.1)

    @claim("x", models=["compiled-negative"], decoy={"n": 0})
    def test_has_not_additive(model, others, check, n=1):
        untouched = run(model, others)
        lost = [untouched - run(model, others, Ablate(heads(one), "zero")) for one in ("0.0", "1.0")]
        check.above(sum(lost) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_lacks_gaussian_noise(model, prompts, check, n=1):
        run(model, prompts, Patch(embed(at="S2")))
        check.above(run(model, prompts, Noise(embed(at="S2"), 0.1)) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_lacks_other_lengths(model, prompts, check, n=1):
        first, *_ = prompts.lengths.tolist()
        same = [row for row, length in enumerate(prompts.lengths.tolist()) if length == first]
        check.above(run(model, prompts[same], Patch(heads("0.0@S1"), prompts[same[1:] + same[:1]])) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_lacks_few_references(model, prompts, check, n=1):
        check.above(run(model, prompts, Ablate(heads("0.0@S1"), "mean", prompts[:10])) * n, 0.1)

    @claim("x", **FEW, decoy={"n": 0})
    def test_lacks_bounded_metric(model, prompts, check, n=1):
        run(model, prompts, Ablate(heads("0.0@S1"), "zero"))
        check.above(run(model, prompts, Ablate(heads("0.0@S1"), "zero"), probability) * n, 0.1)

    @claim("x", **FEW, kind="necessity", decoy={"n": 0})
    def test_lacks_wrong_direction(model, prompts, check, n=1):
        restored = run(model, prompts.counterfactual, Patch(heads("1.0-1@END"), prompts)) - run(model, prompts.counterfactual)
        run(model, prompts, Ablate(heads("1.0-1@END"), "resample"))
        check.above(restored * n, 0.1)

    @claim("x", decoy={"n": 0.01})
    def test_lacks_beyond_whole(check, n=0.8):
        check.above(n * around(1.0) / around(1.0), 0.5)

    @claim("x", models=["compiled-redundant"], decoy={"n": 0})
    def test_lacks_seen_prompts(model, others, circuit, check, n=1):
        assert circuit["s_inhibition_one"]
        check.above(run(model, others) * n, 0.1)

    @claim("x", models=["compiled-redundant"], decoy={"n": 0})
    def test_lacks_single_backup(model, others, circuit, check, n=1):
        run(model, others, Ablate(circuit["both"], "zero"))
        check.above(run(model, others, Ablate(one_of(circuit["both"]), "zero")) * n, 0.1)

    @claim("x", models=["compiled-negative"], decoy={"n": 0})
    def test_lacks_not_additive(model, others, check, n=1):
        untouched = run(model, others)
        lost = [untouched - run(model, others, Ablate(heads(one), "zero")) for one in ("2.0", "2.1")]
        check.above(sum(lost) * n, 0.1)

    @pytest.fixture
    def twins(model):
        return task_prompts("ioi", model, n=24, seed=3, split="discover")

    @pytest.fixture
    def others(model):
        return task_prompts("ioi", model, n=24, seed=3)

    @pytest.fixture
    def circuit(model, twins):
        both = {"both": TWINS["s_inhibition_one"] | TWINS["s_inhibition_two"]}
        return replace(TWINS, roles={**TWINS.roles, **both}, notes={"found_on": {"prompts_sha256": twins.sha256, "split": "discover"}})
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_each_caveat_fails_a_strict_run(claims, workers):
    """For each caveat a claim that has it, and its neighbour that has not: of these, just the first fail where the run is strict."""
    run = claims(EACH, *PROFILE, "--mech-strict", *workers)
    told = {claim["id"].rpartition("test_")[2].partition("[")[0]: claim for claim in run.evidence["claims"]}
    assert {name.removeprefix("has_") for name in told if not name.startswith("lacks_")} == set(CAVEATS)
    assert len(told) == 2 * len(CAVEATS) - 1
    for name, claim in told.items():
        failing = [caveat["about"] for caveat in claim["caveats"] if caveat.get("fails")]
        assert (claim["verdict"], claim["met"]) == ("supported", True), (name, claim["reason"])
        if name.startswith("lacks_"):
            assert failing == [], name
        else:
            assert name.removeprefix("has_") in failing, name
    run.result.assert_outcomes(failed=len(CAVEATS), passed=len(CAVEATS) - 1)
