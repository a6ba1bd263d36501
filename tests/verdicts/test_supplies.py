"""Where model, prompts and circuit come from."""

from dataclasses import replace

import pytest
import torch

from mechcheck.base.errors import CircuitError, NoCircuitError
from mechcheck.base.paths import data_dir
from mechcheck.models.loading import load_model, provenance
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.supplies import circuit_of, default_models, how_to_find, load, recorded_at, task_generator

NAME = "names-gpt2-seed1"


@pytest.fixture(scope="module")
def model():
    return load_model(NAME, offline=True)


def test_models_come_as_the_run_wants_them(case):
    conditions = replace(case().conditions, dtypes=("float64", "float32"))
    assert provenance(load(conditions, NAME)).dtype == "float64"
    assert provenance(load(conditions, NAME, "float32")).dtype == "float32"


def test_a_recorded_circuit(case, model):
    one = case(task="ioi")
    assert recorded_at(one, NAME) == data_dir("claims") / "ioi" / "circuits" / f"{NAME}.toml"
    assert circuit_of(one, model)["s_inhibition"]


def test_no_circuit_says_how_to_find_one(case, tiny):
    message = "no circuit is recorded for neox and task 'induction'; to find one: mechcheck discover induction neox"
    with pytest.raises(NoCircuitError, match=message):
        circuit_of(case(task="induction"), tiny("neox", "float32"))
    assert recorded_at(case(), NAME) is None
    assert how_to_find("nobody searches this", case().near, NAME, None) == ""


def test_a_circuit_for_other_weights_is_not_skipped_over(case, model, tmp_path):
    """It is there, and wrong."""
    (tmp_path / "circuits").mkdir()
    text = (data_dir("claims") / "ioi" / "circuits" / "names-gpt2-seed4.toml").read_text()
    (tmp_path / "circuits" / f"{NAME}.toml").write_text(text)
    with pytest.raises(CircuitError, match="recorded for other weights") as caught:
        circuit_of(case(task="ioi"), model)
    assert not isinstance(caught.value, NoCircuitError)


def test_models_of_a_claim(tmp_path):
    with_circuit = default_models(ClaimSpec("it", task="ioi"), tmp_path, None)
    assert NAME in with_circuit
    assert "compiled-ioi" not in with_circuit
    assert len(default_models(ClaimSpec("it"), tmp_path, None)) == 1
    assert default_models(ClaimSpec("it", task="ioi", models=(NAME, "gpt2")), tmp_path, None) == (NAME,)


def test_prompts_are_made_once(case, model):
    make = task_generator(case(task="ioi"))
    first = make(model, n=12, seed=3, split="verify")
    assert task_generator(case(task="ioi"))(model, n=12, seed=3, split="verify") is first
    assert make(model, n=12, seed=4, split="verify").sha256 != first.sha256


def test_prompts_are_like_those_that_the_circuit_was_found_on(case, model, tmp_path):
    (tmp_path / "circuits").mkdir()
    text = (data_dir("claims") / "induction" / "circuits" / f"{NAME}.toml").read_text()
    (tmp_path / "circuits" / f"{NAME}.toml").write_text(text + "[found_on.options]\nlengths = [18, 20]\n")
    plain, longer, told = (
        {int(template.split()[0]) for template in task_generator(one)(model, n=30, seed=0, split="verify").templates}
        for one in (
            replace(case(task="induction"), near=tmp_path / "elsewhere"),
            case(task="induction"),
            case(task="induction", prompts={"lengths": (8, 8)}),
        )
    )
    assert (plain, longer, told) == (set(range(8, 17)), {18, 19, 20}, {8})


def test_threads_are_as_many_as_asked_for(case):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        load(replace(case().conditions, threads=0), NAME)
        assert torch.get_num_threads() == 2
        load(case().conditions, NAME)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
