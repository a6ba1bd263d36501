"""Folding a layer at a time makes the very weights that TransformerLens makes of all at once, in the memory of those that were loaded."""

import hashlib

import pytest
import torch
from random_models import save_random
from tiny import LAYOUTS as TINY
from transformer_lens.weight_processing import ProcessWeights

from mechcheck.conformance.layouts import LAYOUTS, save_layout
from mechcheck.models.booting import boot
from mechcheck.models.folding import fold
from mechcheck.models.loading import load_model

DECODERS = [name for name, layout in LAYOUTS.items() if not layout.encoder]
# What TransformerLens prepares for all layers together.
TOGETHER = {"phi3"}


@pytest.fixture
def directory(tmp_path):
    """directory(name): that of a layout of the support table."""
    return lambda name: save_layout(name, tmp_path / name)


def booted(path, dtype="float32"):
    return boot(path, path.name, "cpu", getattr(torch, dtype))


def weights(model):
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", DECODERS)
def test_the_same_weights_bit_for_bit(directory, name, dtype):
    path = directory(name)
    own, ours = booted(path, dtype), booted(path, dtype)
    raw = {key: value.clone() for key, value in weights(ours).items()}
    own.enable_compatibility_mode(disable_warnings=True)
    fold(ours)
    expected, found = weights(own), weights(ours)
    assert list(found) == list(expected)
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
    assert [key for key in expected if found[key].dtype != expected[key].dtype] == []
    assert any(not torch.equal(value, raw[key]) for key, value in found.items() if key in raw)
    tokens = torch.arange(1, 13)[None]
    with torch.no_grad():
        assert torch.equal(ours(tokens), own(tokens))
    assert set(ours.hook_dict) == set(own.hook_dict)


@pytest.mark.parametrize("name", sorted({*DECODERS} - TOGETHER))
def test_no_more_than_a_layer_at_a_time(directory, monkeypatch, name):
    model, asked = booted(directory(name)), []
    given = ProcessWeights.process_weights

    def recorded(state, *args, **kwargs):
        asked.append({key.split(".")[1] for key in state if key.startswith("blocks.")})
        return given(state, *args, **kwargs)

    monkeypatch.setattr(ProcessWeights, "process_weights", staticmethod(recorded))
    fold(model)
    assert asked == [{"0"}] * model.cfg.n_layers + [set(), set()]


def test_what_is_prepared_together_goes_the_way_of_transformer_lens(directory, monkeypatch):
    model, asked = booted(directory("phi3")), []
    given = ProcessWeights.process_weights
    monkeypatch.setattr(
        ProcessWeights,
        "process_weights",
        staticmethod(lambda state, *args, **kwargs: asked.append(len(state)) or given(state, *args, **kwargs)),
    )
    fold(model)
    assert len(asked) == 1


def test_weights_stay_where_they_lie_and_the_file_as_it_is(tmp_path):
    save_random("LlamaConfig", tmp_path, num_hidden_layers=3)
    file = tmp_path / "model.safetensors"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    model = booted(tmp_path)
    places = {name: value.data_ptr() for name, value in weights(model).items() if name.endswith("weight")}
    fold(model)
    after = {name: value.data_ptr() for name, value in weights(model).items() if name in places}
    assert after == places
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_tied_weights_come_apart(tmp_path):
    save_random("GPT2Config", tmp_path, tie_word_embeddings=True)
    raw, folded = (load_model(tmp_path, processing=how) for how in ("raw", "folded"))
    assert torch.equal(raw.W_E, raw.W_U.T)
    assert not torch.equal(folded.W_E, folded.W_U.T)
    torch.testing.assert_close(folded.W_E, raw.W_E - raw.W_E.mean(-1, keepdim=True))


def test_nobody_folds_twice(directory, caplog):
    model = booted(directory("gpt2"))
    fold(model)
    once = {key: value.clone() for key, value in weights(model).items()}
    model.process_weights()
    assert "already applied" in caplog.text
    assert all(torch.equal(value, once[key]) for key, value in weights(model).items())


@pytest.mark.parametrize("layout", TINY)
def test_loading_folds_so(tiny, layout):
    model = tiny(layout)
    assert model.compatibility_mode
    assert all(bool((block.ln1.weight == 1).all()) for block in model.blocks)
