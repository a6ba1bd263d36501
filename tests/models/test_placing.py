"""`load_model(device_map=)`: what is passed on, and what is refused, on a CPU; `tests/whole/test_several_gpus.py` has the rest."""

import json

import native_oracle as oracle
import pytest
import torch
from native_model import CONFIG
from transformer_lens.model_bridge import TransformerBridge

from mechcheck import head_patching, ioi_prompts, keep_native, load_model, provenance, reinitialised
from mechcheck.base.errors import ModelError
from mechcheck.compiled import compiled_models
from mechcheck.engine.arithmetic.model import Unserved, _check_served
from mechcheck.models.again import load_again

MODEL = "names-gpt2-seed4"
PARTS = ("transformer.wte", "transformer.wpe", "transformer.h", "transformer.ln_f", "lm_head")


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}, dict.fromkeys(PARTS, "cpu")], ids=["auto", "whole", "parts"])
def test_it_is_passed_on_and_the_model_is_the_same_to_the_bit(device_map, monkeypatch):
    if device_map == "auto" and torch.cuda.is_available():
        pytest.skip("auto would take the GPU")
    given, boot = [], TransformerBridge.boot_transformers
    monkeypatch.setattr(TransformerBridge, "boot_transformers", lambda *a, **named: (given.append(named), boot(*a, **named))[1])
    # A dtype of its own each, so that it is loaded here and not found in memory.
    model, plain = load_model(MODEL, device_map=device_map, dtype="float64"), load_model(MODEL, dtype="float64")
    assert given[0].get("device_map") == device_map
    assert "device" not in given[0]
    prompts = ioi_prompts(model, n=4, seed=0)
    assert (head_patching(model, prompts).values == head_patching(plain, prompts).values).all()
    source = provenance(model)
    assert source.processing == "folded"
    assert source.device == (device_map if device_map == "auto" else json.dumps(device_map, sort_keys=True))
    assert load_again(source).cfg.n_layers == model.cfg.n_layers
    with pytest.raises(ModelError, match="was placed by a device_map"):
        reinitialised(model, 0)


@pytest.mark.parametrize(
    ("device_map", "said"),
    [
        ("everywhere", "unknown device_map 'everywhere'; choose one of auto, balanced"),
        ({}, "is empty"),
        ({"": "disk"}, "from where accelerate fetches weights for each forward pass"),
        ({"transformer": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_what_cannot_be(device_map, said):
    with pytest.raises(ModelError, match=said):
        load_model(MODEL, device_map=device_map)


def test_a_gpu_that_is_not_there():
    with pytest.raises(ModelError, match="not available on this machine"):
        load_model(MODEL, device_map={"": torch.cuda.device_count()})


def test_the_cpu_beside_a_gpu(monkeypatch):
    monkeypatch.setattr("mechcheck.models.placing.check_device", lambda *given: None)
    with pytest.raises(ModelError, match="weights on the CPU beside weights on GPUs"):
        load_model(MODEL, device_map={"transformer": 0, "lm_head": "cpu"})


def test_two_ways_to_say_it_and_a_native_model(tmp_path):
    with pytest.raises(ModelError, match="give one of them"):
        load_model(MODEL, device="mps", device_map="auto")
    native = keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path)
    with pytest.raises(ModelError, match="a native model that transformers does not load, needs one device"):
        load_model(native, device_map="auto")


def test_weights_on_several_devices_are_for_plain_hooks():
    model = load_model(compiled_models()[0])
    cfg = model.cfg
    before = getattr(cfg, "n_devices", 1)
    try:
        cfg.n_devices = 2
        with pytest.raises(Unserved, match="several devices"):
            _check_served(model, encoder=False)
    finally:
        cfg.n_devices = before
