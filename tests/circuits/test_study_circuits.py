"""The heads recorded by claims/studies/discover.py: they fit their models, and are found again on the discovery prompts."""

import importlib.util
import tomllib

import pytest

from mechcheck.base.paths import data_dir
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.models.loading import load_model
from mechcheck.models.names import embedded_models
from mechcheck.tasks.shipped import task_prompts

STUDIES = data_dir("claims") / "studies"
FILES = sorted(path for path in STUDIES.glob("*/circuits/*.toml") if path.stem in embedded_models())


@pytest.fixture(scope="module")
def script():
    """claims/studies/discover.py as a module."""
    spec = importlib.util.spec_from_file_location("discover_studies", STUDIES / "discover.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_on_the_discovery_half(path, script):
    circuit, model, task = load_circuit(path), load_model(path.stem), path.parents[1].name
    check_circuit(circuit, model)
    assert tuple(circuit) == script.ASKED[task]
    found_on = tomllib.loads(path.read_text(encoding="utf-8"))["found_on"]
    prompts = task_prompts(task, model, n=script.PROMPTS, seed=script.SEED, split="discover")
    assert (found_on["split"], found_on["prompts_sha256"]) == ("discover", prompts.sha256)


def test_the_models_of_the_studies_have_records():
    assert {path.stem for path in FILES} == {"names-gpt2-seed0", "names-gpt2-seed4", "names-neox-seed2"}


@pytest.mark.parametrize("role", ["critical", "moves_most", "flips_patched"])
def test_found_again(script, role):
    path = STUDIES / "ioi" / "circuits" / "names-gpt2-seed4.toml"
    model = load_model(path.stem)
    prompts = task_prompts("ioi", model, n=script.PROMPTS, seed=script.SEED, split="discover")
    found, recorded = script.FINDERS[role](model, prompts), tomllib.loads(path.read_text(encoding="utf-8"))["roles"][role]
    assert (str(found.sites), found.met, found.criterion) == (recorded["heads"], recorded["met"], recorded["criterion"])


def test_the_shortcut_has_no_redundant_heads():
    roles = tomllib.loads((STUDIES / "ioi" / "circuits" / "names-gpt2-seed0.toml").read_text(encoding="utf-8"))["roles"]
    assert not roles["redundant"]["met"]
    assert not roles["flips_ablated"]["met"]
