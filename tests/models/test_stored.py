"""What a directory's configuration and headers say of a model is what the loaded model is, and no weight is read for it."""

import json

import pytest
import safetensors
import torch
from tiny import LAYOUTS, MORE_LAYOUTS

from mechcheck.base.errors import ModelError
from mechcheck.base.shape import shape_of
from mechcheck.conformance.layouts import save_layout
from mechcheck.models.loading import load_model, stored_model
from mechcheck.models.stored import stored


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_the_shape_of_the_loaded_model(tiny, model_dirs, layout, monkeypatch):
    model = tiny(layout)
    monkeypatch.setattr(safetensors.torch, "load_file", None)
    monkeypatch.setattr(torch, "load", None)
    found = stored(model_dirs[layout], layout)
    assert found.shape == shape_of(model)
    assert found.n_params >= found.shape.layers * found.shape.layer_weights


@pytest.mark.parametrize("name", ["gemma", "qwen2", "opt", "gptj", "gptneo", "mistral"])
def test_other_layouts(tmp_path, name):
    assert stored(save_layout(name, tmp_path), name).shape == shape_of(load_model(tmp_path, processing="raw"))


def test_embedded_models():
    assert stored_model("names-gpt2-seed4").shape == shape_of(load_model("names-gpt2-seed4"))


def test_a_configuration_without_sizes(tmp_path):
    save_layout("gpt2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["n_layer"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not say num_hidden_layers, so that nobody can tell what it takes"):
        stored(tmp_path, "a model")
