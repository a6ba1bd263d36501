"""The search for induction heads: a threshold that follows the model and the prompts, and heads that a fixed one misses."""

import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mechcheck.base.errors import MechcheckError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.discover_scripts import load_search, record
from mechcheck.circuits.files import load_circuit
from mechcheck.cli import main
from mechcheck.compiled import known_circuit
from mechcheck.measures.attention.targets import induction_scores
from mechcheck.models.loading import load_model, provenance, reinitialised
from mechcheck.notation.sites import heads
from mechcheck.tasks.induction import induction_prompts

MODEL = "names-gpt2-seed4"


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """A model whose four induction heads look less sharply: their queries are a quarter as long."""
    directory = tmp_path_factory.mktemp("models") / "faint"
    shutil.copytree(data_dir("fixtures") / "models" / MODEL, directory)
    path = directory / "model.safetensors"
    weights = load_file(path)
    (name,) = (name for name in weights if name.endswith("h.1.attn.c_attn.weight"))
    for part in (name, name.replace("weight", "bias")):
        weights[part][..., : weights[part].shape[-1] // 3] *= 0.25
    save_file(weights, path, metadata={"format": "pt"})
    return load_model(directory)


def test_all_heads_that_a_fixed_threshold_misses(faint):
    """None of the four attends with 0.3."""
    found = load_search("induction").find(faint)
    scores = induction_scores(faint, found.prompts).mean
    assert scores.max() < 0.3
    assert (found.roles["induction"].sites, found.roles["induction"].met) == (heads("1.0-3@END"), True)


def test_the_threshold_is_twice_the_highest_without_repeats(faint):
    script = load_search("induction").find.__globals__
    prompts = induction_prompts(faint, n=48, seed=0, split="discover")
    null = np.mean([script["induction_null_scores"](faint, prompts[[row]]).mean for row in range(48)], axis=0)
    assert script["induction_threshold"](faint, prompts) == pytest.approx(2 * null.max(), rel=1e-4)


def test_no_less_than_an_even_share():
    """A model whose every head looks elsewhere where nothing is repeated: next to nothing is not twice as much as nothing."""
    script = load_search("induction").find.__globals__
    model = load_model("compiled-induction")
    prompts = induction_prompts(model, n=24, seed=0, split="discover")
    even = np.mean(1 / prompts.lengths.numpy())
    script["induction_null_scores"] = lambda *_: type("Null", (), {"mean": np.zeros((3, 4))})
    assert script["induction_threshold"](model, prompts) == pytest.approx(even)


def test_the_head_that_was_built():
    circuit = known_circuit("compiled-induction")
    found = load_search("induction").find(load_model("compiled-induction")).roles["induction"]
    assert set(found.sites.pairs) == {*circuit["induction"].pairs, *circuit["induction_lookalike"].pairs}


@pytest.mark.parametrize("seed", range(4))
def test_nobody_in_random_weights(seed):
    found = load_search("induction").find(reinitialised(load_model(MODEL), seed))
    assert not found.roles["induction"].met


def test_longer_segments_on_the_command_line(faint, tmp_path):
    directory = tmp_path / "models" / "faint"
    shutil.copytree(provenance(faint).directory, directory)
    assert main(["discover", "induction", str(directory), "--out", str(tmp_path), "--set", "lengths=18,20"]) == 0
    circuit = load_circuit(tmp_path / "induction" / "faint.toml")
    assert circuit.notes["found_on"]["options"] == {"lengths": [18, 20]}
    prompts = induction_prompts(faint, n=300, seed=0, split="discover", lengths=(18, 20))
    assert circuit.notes["found_on"]["prompts_sha256"] == prompts.sha256
    assert {int(template.split()[0]) for template in prompts.templates} == {18, 19, 20}
    assert circuit["induction"] == heads("1.0-3@END")


def test_options_that_a_search_does_not_have(capsys, tmp_path):
    with pytest.raises(MechcheckError, match="the search 'ioi' has no option 'lengths'; it has none"):
        record(load_search("ioi"), load_model(MODEL), tmp_path, {"lengths": (8, 9)})
    with pytest.raises(MechcheckError, match="the search 'studies/ioi' has no option 'task'; it has none"):
        record(load_search("studies/ioi"), load_model(MODEL), tmp_path, {"task": "ioi"})
    assert main(["discover", "induction", MODEL, "-o", str(tmp_path), "--set", "length=8,9"]) == 2
    assert "the search 'induction' has no option 'length'; it has lengths" in capsys.readouterr().err
    assert main(["discover", "induction", MODEL, "--set", "lengths"]) == 2
    assert "what a search is told is NAME=VALUE, not 'lengths'" in capsys.readouterr().err
