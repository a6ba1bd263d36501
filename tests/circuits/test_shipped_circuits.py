"""The shipped circuits: fit their models, come from the discovery half of the prompts, and are found again by their scripts."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.discovery import discover_edges
from mechcheck.circuits.edge_search import check_unseen
from mechcheck.circuits.evaluation import Cut, faithfulness
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.models.loading import load_model
from mechcheck.models.names import embedded_models
from mechcheck.notation.graph import graph
from mechcheck.prompts.prompt_set import PromptSet
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


WITH_EDGES = [path for path in FILES if "edges" in recorded(path)]
SEEN = 48  # of the discovery prompts, as the scripts say


def seen_by_the_search(path: Path) -> PromptSet:
    """The prompts on which the edges of a circuit were found."""
    found_on, task = recorded(path)["found_on"], path.parents[1].name
    return task_prompts(task, load_model(path.stem), n=found_on["prompts"], seed=0, split="discover")[:SEEN]


def test_there_are_edges_to_test():
    assert {f"{path.parents[1].name}/{path.stem}" for path in WITH_EDGES} >= {
        "ioi/names-gpt2-seed0", "ioi/names-gpt2-seed4", "ioi/names-neox-seed2", "induction/names-gpt2-seed4", "induction/names-neox-seed2",
    }  # fmt: skip


@pytest.mark.parametrize("path", WITH_EDGES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_edges_are_as_faithful_as_their_file_says(path):
    circuit, model = load_circuit(path), load_model(path.stem)
    record, prompts = circuit.edge_record, seen_by_the_search(path)
    assert record
    assert record.of == len(graph(model))
    assert faithfulness(model, prompts, circuit.edges).mean == pytest.approx(record.faithfulness, abs=1e-4)
    assert abs(record.faithfulness - 1) <= 0.1
    assert record.stability.resamples == 5
    assert record.stability.size == len(circuit.edges)
    assert record.prompts == SEEN
    with pytest.raises(PromptError, match="1 of 1 prompts were seen"):  # and each single one is known by its id
        check_unseen(circuit, prompts[[7]])


def test_edges_are_found_again():
    """A whole search, which takes seconds; the cheapest of those whose results are shipped."""
    path = data_dir("claims") / "ioi" / "circuits" / "names-gpt2-seed4.toml"
    circuit = load_circuit(path)
    found = discover_edges(Cut(load_model(path.stem), seen_by_the_search(path)), "prune", faithful=0.9, resamples=0)
    assert found.edges == circuit.edges  # of two on one way, which are worth the same, rounding decides which goes first


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
