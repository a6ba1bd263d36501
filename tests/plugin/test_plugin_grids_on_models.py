"""Claims over a grid of methods on models: what their cells share is run once, and models, seeds and dtypes are axes."""

import pytest

FORWARDS = """
    METRICS = [logit_diff, probability, log_odds]
    THERE = grid(method=["zero", "mean"], metric=METRICS)

    def lost(model, prompts, circuit, method, metric):
        return run(model, prompts, metric=metric) - run(model, prompts, Ablate(circuit["s_inhibition"], method), metric)

    @claim("lost by each metric", task="ioi", over=THERE)
    def test_grid(model, prompts, circuit, check, method, metric):
        check.above(lost(model, prompts, circuit, method, metric), 0.0)

    @pytest.mark.parametrize("metric", METRICS, ids=["0", "1", "2"])
    @pytest.mark.parametrize("method", ["zero", "mean"])
    @claim("lost by a metric", task="ioi")
    def test_one(model, prompts, circuit, check, method, metric):
        check.above(lost(model, prompts, circuit, method, metric), 0.0)
"""


def test_cells_that_differ_in_the_metric_run_the_model_once(claims):
    run = claims(FORWARDS, "--mech-decoys=5", "--mech-model=names-gpt2-seed1")
    grid = run.claim("test_grid")
    alone = [run.claim(f"{method}-{number}") for method in ("zero", "mean") for number in range(3)]
    assert [cell["verdict"] for cell in grid["grid"]["cells"]] == [claim["expectations"][0]["verdict"] for claim in alone]
    values = [e["estimate"]["value"] for e in grid["expectations"]]
    assert values == pytest.approx([claim["expectations"][0]["estimate"]["value"] for claim in alone], rel=1e-4)
    # 96 prompts: untouched, and ablated by two methods; the same once more for five decoys, of which the untouched runs are known.
    contrasts = grid["decoys"]["n"] // 6
    assert grid["cost"]["forwards"] == 96 * (3 + 1 + 2 * contrasts)
    assert sum(claim["cost"]["forwards"] for claim in alone) == 96 * 6 * (2 + 2 * contrasts)


OTHERS = """
    @claim("it does IOI", task="ioi", over=grid(models=["names-gpt2-seed1", "names-gpt2-seed4"], seeds=[0, 3]))
    def test_models(model, prompts, circuit, check):
        check.above(run(model, prompts) - run(model, prompts, Ablate(circuit["name_mover"], "zero")), 0.0, "name movers matter")

    @claim("it does IOI in any precision", task="ioi", over=grid(dtype=["float32", "float64"]), models=["names-gpt2-seed1"])
    def test_dtype(model, prompts, check):
        check.above(run(model, prompts), 0.0, "it does")

    @claim("it does IOI, whoever is named", task="ioi", over=grid(seeds=[0, 3]), models=["names-gpt2-seed1"])
    def test_own(model, prompts_for, check):
        check.above(run(model, prompts_for(model)), 0.0, "it does")
"""


def test_models_seeds_and_dtypes_are_axes_of_their_own(claims):
    run = claims(OTHERS, "--mech-decoys=5", "--mech-dtype=float32,bfloat16")
    models = run.claim("test_models")
    assert [cell["text"] for cell in models["grid"]["cells"]] == [
        f"model=names-gpt2-seed{model}, seed={seed}" for model in (1, 4) for seed in (0, 3)
    ]
    assert len({e["estimate"]["value"] for e in models["expectations"]}) == 4
    # Which weights these were, of all of them.
    assert (models["model"]["name"], [one["name"] for one in models["models"]]) == ("names-gpt2-seed1", ["names-gpt2-seed4"])
    assert models["model"]["weights_sha256"] != models["models"][0]["weights_sha256"]
    problems = [one["problem"] for one in models["grid"]["differences"]]
    assert problems[0] == problems[2] == "measured on other prompts"  # of another seed
    (own,) = run.claim("test_own[names-gpt2-seed1:float32]")["grid"]["differences"]
    assert own["problem"] == "measured on other prompts"
    dtypes = [claim for claim in run.evidence["claims"] if "test_dtype" in claim["id"]]
    assert len(dtypes) == 1  # the grid says in which dtypes, not the run
    (difference,) = dtypes[0]["grid"]["differences"]
    assert [one["dtype"] for one in dtypes[0]["models"]] == ["float64"]
    assert 0 < abs(difference["estimate"]["value"]) < 1e-4
