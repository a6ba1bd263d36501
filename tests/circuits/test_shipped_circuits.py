"""The shipped circuits: fit their models, come from the discovery half of the prompts, and are found again by their scripts."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from mechcheck.base.paths import data_dir
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.models.loading import embedded_models, load_model
from mechcheck.tasks.greater_than import greater_than_prompts
from mechcheck.tasks.ioi import ioi_prompts
from mechcheck.tasks.names import held_out_pair
from mechcheck.tasks.shipped import task_prompts

FILES = sorted(path for path in data_dir("claims").glob("*/circuits/*.toml") if path.stem in embedded_models())
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")


def discovery_script(task: str) -> ModuleType:
    """claims/<task>/discover.py as a module."""
    spec = importlib.util.spec_from_file_location(f"discover_{task}", data_dir("claims") / task / "discover.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_there_are_circuits_to_test():
    assert {"years-gpt2-seed0", *(f"names-gpt2-seed{seed}" for seed in (0, 1, 4, 6))} <= {path.stem for path in FILES}


@each_file
def test_fits_its_model(path):
    circuit = load_circuit(path)
    assert circuit.weights_sha256
    check_circuit(circuit, load_model(path.stem))
    assert len(circuit.sites) > 0


@each_file
def test_found_on_the_discovery_half(path):
    found_on, task, model = recorded(path)["found_on"], path.parents[1].name, load_model(path.stem)
    discover, verify = (task_prompts(task, model, n=found_on["prompts"], seed=0, split=split) for split in ("discover", "verify"))
    assert (found_on["split"], found_on["prompts_sha256"]) == ("discover", discover.sha256)
    assert not set(discover.ids) & set(verify.ids)


def test_ioi_roles_are_found_again():
    script, path = discovery_script("ioi"), data_dir("claims") / "ioi" / "circuits" / "names-gpt2-seed1.toml"
    model = load_model(path.stem)
    prompts = ioi_prompts(model, n=script.PROMPTS, seed=script.SEED, split="discover")
    movers = script.find_name_movers(model, prompts)
    inhibition = script.find_s_inhibition(model, prompts, movers)
    roles = recorded(path)["roles"]
    for name, role in (("name_mover", movers), ("s_inhibition", inhibition)):
        assert str(role.sites) == roles[name]["heads"]
        assert (role.met, role.criterion) == (roles[name]["met"], roles[name]["criterion"])


def test_greater_than_roles_are_found_again():
    script, path = discovery_script("greater_than"), data_dir("claims") / "greater_than" / "circuits" / "years-gpt2-seed0.toml"
    model = load_model(path.stem)
    prompts = greater_than_prompts(model, n=script.PROMPTS, seed=script.SEED, split="discover")
    roles = recorded(path)["roles"]
    heads, compare = script.find_year_heads(model, prompts), script.find_comparing_mlps(model, prompts)
    assert (str(heads.sites), heads.met) == (roles["year_head"]["heads"], True)
    assert (compare.sites.places, compare.met) == (roles["comparing_mlp"]["mlps"], True)


def test_the_shortcut_model_has_candidates_only():
    roles = recorded(data_dir("claims") / "ioi" / "circuits" / "names-gpt2-seed0.toml")["roles"]
    assert not roles["s_inhibition"]["met"]
    assert roles["s_inhibition"]["heads"]


@pytest.mark.parametrize("split", ["discover", "verify"])
def test_ioi_people_never_met_in_training(split):
    prompts = ioi_prompts(load_model("names-gpt2-seed0"), n=96, seed=0, split=split)
    people = [
        (prompts.vocabulary[int(a)].strip(), prompts.vocabulary[int(f)].strip())
        for a, f in zip(prompts.answers, prompts.foils, strict=True)
    ]
    assert all(held_out_pair(a, b) for a, b in people)
    assert [t[:4] for t in prompts.templates].count("ABBA") == 48
    assert len(set(prompts.ids)) > 90
    assert prompts.counterfactual.ids == prompts.reference.ids == prompts.ids


def test_claim_files_have_names_of_their_own():
    """Without packages around them pytest tells test files apart by name alone, so two of one name cannot run together."""
    names = [path.name for path in data_dir("claims").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
