"""Directories with a damaged file: the error names it. Weights that are no numbers: it names them."""

import json
import shutil

import pytest
import torch
from native_model import CONFIG
from safetensors.torch import load_file, save_file

from mechcheck.base.errors import ModelError
from mechcheck.models.loading import load_model
from mechcheck.models.native import keep_native

DAMAGES = {
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "another encoding": lambda data: b"\xff\xfe\x80" + data,
}
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(params=["gpt2", "neox", "bert", "native"])
def copy(request, model_dirs, tmp_path):
    """A directory that a test may damage."""
    where = tmp_path / "mine"
    if request.param == "native":
        import native_oracle as oracle
        from transformers import AutoTokenizer

        return keep_native(oracle.random_weights(CONFIG), CONFIG, where, tokenizer=AutoTokenizer.from_pretrained(model_dirs["gpt2"]))
    return shutil.copytree(model_dirs[request.param], where)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_the_error_names_the_file(copy, file, damage):
    path = copy / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ModelError, match=rf"mine': its {file} is damaged \(.+\): .*Fetch or save the model again"):
        load_model(copy)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_configuration_that_is_none(copy, content):
    (copy / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"its config.json is damaged \(it holds a .*, where settings by name are expected"):
        load_model(copy)


def test_a_shard_that_is_not_there(model_dirs, tmp_path):
    where = shutil.copytree(model_dirs["gpt2"], tmp_path / "mine")
    (where / "model.safetensors").rename(where / "model-00001-of-00002.safetensors")
    names = list(load_file(where / "model-00001-of-00002.safetensors"))
    index = {"metadata": {}, "weight_map": {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}}
    (where / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors"):
        load_model(where)


@pytest.mark.parametrize(("value", "kind"), [(torch.nan, "NaN"), (torch.inf, "infinite"), (-torch.inf, "infinite")])
@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_weights_that_are_no_numbers_are_named(copy, value, kind, processing):
    weights = load_file(copy / "model.safetensors")
    name = sorted(key for key in weights if weights[key].ndim == 2 and key != "embed_out.weight")[0]
    weights[name][0, 0] = value
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"mine' has {kind} weights: {name}\. A training run that diverged"):
        load_model(copy, processing=processing)
