"""The evidence of a claim that used features says what their dictionary recovers, and warns where that is little."""

BODY = """
from dataclasses import replace

@pytest.fixture
def make_prompts():
    return lambda model, **wanted: task_prompts("ioi", model, **wanted)

GOOD = load_dictionary("compiled-ioi-stream-seed0")
WRECKED = replace(GOOD, W_dec=GOOD.W_dec.roll(1, dims=0), name="wrecked")

@claim("A feature counts", models=["compiled-ioi"], decoy={"which": "9"})
@pytest.mark.parametrize("which", ["79 65 50 90 60 112 42 113 110 71 104"])
def test_good(model, prompts, check, which):
    check.below(run(model, prompts, Ablate(features(GOOD, which, at="S1"))), 8.0)

@claim("A wrecked one is told", models=["compiled-ioi"], decoy={"which": "10"})
@pytest.mark.parametrize("which", ["9"])
def test_wrecked(model, prompts, check, which):
    check.above(run(model, prompts, [Ablate(features(WRECKED, which, at="S1"))]), -20.0)
    list(capture(model, prompts, features(GOOD, "3", at="END")))

@claim("Own prompts", models=["compiled-ioi"], decoy={"n": 20})
@pytest.mark.parametrize("n", [24])
def test_own(model, check, n):
    check.above(run(model, task_prompts("ioi", model, n=n, seed=0), Ablate(features(GOOD, "3"))), -20.0)

@claim("Without", models=["compiled-ioi"], decoy={"head": "0.0"})
@pytest.mark.parametrize("head", ["0.1"])
def test_without(model, prompts, check, head):
    check.above(run(model, prompts, Ablate(heads(head))), 8.0)
"""


def test_what_is_recovered_is_in_the_evidence(claims):
    ran = claims(BODY, "--mech-profile=smoke")
    (good,) = ran.claim("good")["dictionaries"]
    share = good["loss_recovered"]
    assert share["low"] <= share["value"] <= share["high"]
    assert 0.9 < share["value"] < 1.1
    assert good["prediction_recovered"] > 0.9 < good["explained_variance"]
    assert 2 < good["features_per_token"] < 4
    assert (good["name"], good["features"], good["hook"]) == ("compiled-ioi-stream-seed0", 128, "blocks.0.hook_resid_pre")
    assert good["used"] == ["f42,f50,f60,f65,f71,f79,and 11 in all"]  # and not those of the decoys
    assert good["caveat"] is None
    wrecked, beside = sorted(ran.claim("wrecked")["dictionaries"], key=lambda d: d["name"] != "wrecked")
    assert wrecked["prediction_recovered"] < 0.5
    assert wrecked["caveat"].startswith("the reconstruction keeps -")
    assert {name: beside[name] for name in beside if name != "used"} == {name: good[name] for name in good if name != "used"}
    assert beside["used"] == ["f3"]
    (own,) = ran.claim("own")["dictionaries"]
    assert own["loss_recovered"] is None
    assert "makes its own prompts" in own["caveat"]
    assert "dictionaries" not in ran.claim("without")
    assert "wrecked: the reconstruction keeps -" in ran.output
    assert "compiled-ioi-stream-seed0: the reconstruction" not in ran.output
    page = (ran.report / "index.html").read_text(encoding="utf-8")
    assert "the reconstruction keeps -" in page
    assert "128 features at" in page
