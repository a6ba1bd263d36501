"""The fixture `replicas`: a claim about the models of several seeds at once, each with its prompts and circuit."""

import shutil

import pytest

from mechcheck.base.paths import data_dir

BODY = """
    SEEN = []

    def lost(one):
        clean = run(one.model, one.prompts)
        return (clean - run(one.model, one.prompts, Ablate(one.circuit["s_inhibition"], "mean"))) / clean

    @claim("Seeds need their heads", task="ioi", models=["names-gpt2-seed1", "names-gpt2-seed4"]{more})
    def test_seeds(replicas, check):
        found = check.replicates(replicas.measure({effect}), above={above})
        check.figure(lambda: forest_figure(found))
"""


def test_each_model_has_its_own_circuit_and_decoys_change_all(claims):
    found = claims(BODY.format(more="", effect="lost", above=-0.5), "--mech-profile=smoke")
    claim = found.claim("test_seeds")
    assert claim["id"] == "ioi/test_seeds"
    (expectation,) = claim["expectations"]
    assert [*expectation["by_template"]] == ["names-gpt2-seed1", "names-gpt2-seed4"]
    assert (expectation["kind"], expectation["estimate"]["clusters"], expectation["estimate"]["n"]) == ("replicates", 2, 192)
    assert claim["figures"][0]["kind"] == "bars"
    # Random heads, which take nothing away, satisfy so weak a claim too.
    assert claim["verdict"] == "vacuous"
    assert claim["decoys"]["kind"] == "random sites of the same kinds, layers and number, in every model"
    assert claim["decoys"]["supported"] == claim["decoys"]["n"] > 0
    assert "a threshold of 0." in claim["reason"]


def test_without_a_circuit_all_weights_are_drawn_anew(claims):
    found = claims(BODY.format(more="", effect="lambda one: run(one.model, one.prompts)", above=0.0), "--mech-profile=smoke")
    claim = found.claim("test_seeds")
    assert (claim["verdict"], claim["decoys"]["kind"]) == ("supported", "re-initialised weights, in every model")
    assert claim["decoys"]["n"] > claim["decoys"]["supported"] == 0


@pytest.mark.parametrize("given", [["names-gpt2-seed4"], ["names-gpt2-seed0", "names-gpt2-seed4"]], ids=["one", "another"])
def test_fewer_than_two_models_are_no_replication(claims, given):
    options = [f"--mech-model={name}" for name in given]
    claim = claims(BODY.format(more="", effect="lost", above=0.5), *options).claim("test_seeds")
    assert claim["verdict"] == "skipped"
    assert "needs at least 2 models, got names-gpt2-seed4" in claim["reason"]


def test_directories_are_called_by_their_last_part(claims, tmp_path):
    """And the report names no place of this machine."""
    options = ["--mech-profile=smoke"]
    for seed in (1, 4):
        copy = shutil.copytree(data_dir("fixtures") / "models" / f"names-gpt2-seed{seed}", tmp_path / f"names-gpt2-seed{seed}")
        options.append(f"--mech-model={copy}")
    claim = claims(BODY.format(more="", effect="lambda one: run(one.model, one.prompts)", above=0.0), *options).claim("test_seeds")
    assert [*claim["expectations"][0]["by_template"]] == ["names-gpt2-seed1", "names-gpt2-seed4"]
    assert claim["figures"][0]["data"]["labels"][:2] == ["names-gpt2-seed1", "names-gpt2-seed4"]


def test_a_changed_model_is_noticed(claims):
    effect = "lambda one: [one.model.train(), run(one.model, one.prompts)][-1]"
    claim = claims(BODY.format(more="", effect=effect, above=0.0), "--mech-profile=smoke").claim("test_seeds")
    assert claim["verdict"] == "errored"
    assert "training mode was switched" in claim["reason"]
