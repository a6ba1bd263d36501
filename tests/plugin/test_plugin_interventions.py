"""Interventions and caveats of a claim: recorded from what its body ran, shown on the page, summed up in the terminal."""

import pytest

MODEL = "--mech-model=names-gpt2-seed1"
CLAIMS = """
    @claim("Patched", task="ioi")
    def test_patched(model, prompts, check):
        check.above(run(model, prompts) - run(model, prompts, Patch(resid("1@END"))), 0.5)

    @claim("Noised", task="ioi", decoy={"scale": 0.0})
    def test_noised(model, prompts, check, scale=3.0):
        noised = run(model, prompts, Noise(embed(at="S2"), scale), probability)
        check.below(noised - run(model, prompts, [], probability), -0.1)

    @claim("Untouched", task="ioi")
    def test_untouched(model, prompts, check):
        check.above(run(model, prompts), 0.5)

    @claim("Crashed", task="ioi")
    def test_crashed(model, prompts, check):
        run(model, prompts, Ablate(heads("0.1"), "zero"))
        raise RuntimeError("then it broke")

    @claim("Synthetic", decoy={"mean": -1.0})
    def test_synthetic(check, mean=1.0):
        check.above(around(mean), 0)
"""
NOISE = "Noise of 1 site (embed) at S2, Gaussian, standard deviations 3, seed 0"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_what_a_claim_s_body_changed(claims, workers):
    run = claims(CLAIMS, MODEL, *workers)
    texts = {c["id"].partition("[")[0].rpartition("_")[2]: [one["text"] for one in c["interventions"]] for c in run.evidence["claims"]}
    assert texts == {
        "patched": ["Patch of 1 site (resid) at END, from the counterfactual (1 token replaced, at S2; of the same length)"],
        "noised": [NOISE],
        "untouched": [],
        "crashed": ["zero ablation of 1 site (head) at every position"],
        "synthetic": [],
    }
    assert [one["runs"] for one in run.claim("patched")["interventions"]] == [1], "decoys and sentinels are no runs of the body"
    about = {c["id"]: [caveat["about"] for caveat in c["caveats"]] for c in run.evidence["claims"] if c["caveats"]}
    assert [name.partition("[")[0] for name in about] == ["ioi/test_noised"]
    assert about.popitem()[1][:2] == ["gaussian_noise", "bounded_metric"]
    assert run.claim("noised")["verdict"] == "supported", "no verdict depends on a caveat"
    assert "caveat  1 claim: Gaussian noise where there is a counterfactual that exchanges tokens (Zhang and Nanda 2024" in run.output
    assert "caveat  1 claim: effects read as probabilities or accuracies alone" in run.output
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert f"<dt>changed<dd><bdi>{NOISE}</bdi>" in page
    assert page.count("Caveat: <bdi>corrupted by Gaussian noise alone, though these prompts have a counterfactual") == 1


def test_a_claim_that_draws_its_prompts(claims):
    run = claims(
        """
        @claim("Open", task="ioi", budget=40)
        def test_open(model, prompts, check):
            patched = run(model, prompts, Patch(resid("1@END")))
            check.above(patched, patched.mean, label="its own mean")
        """,
        MODEL,
    )
    claim = run.claim()
    assert claim["sampling"]["looks"][-1]["prompts"] == 40
    (found,) = claim["interventions"]
    assert found["runs"] >= len(claim["sampling"]["looks"]) > 1
    assert (found["source"]["replaced"]["prompts"], found["source"]["replaced"]["at"]) == (40, {"S2": 40}), "the prompts of all looks"


def test_no_caveat_no_line(claims):
    assert "caveat " not in claims(CLAIMS, MODEL, "-k", "patched or untouched").output
