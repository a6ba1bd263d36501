"""What a model's directory cannot do: be a pipe, lead elsewhere, take the machine's memory, or run code."""

import json
import os
import shutil
import time
from typing import ClassVar

import pytest
import tiny

import mechcheck as m
from mechcheck.base.errors import ModelError
from mechcheck.models import hub


@pytest.fixture
def directory(tmp_path):
    """A small GPT-2 with a tokenizer."""
    tiny.save_model("gpt2", tmp_path / "model")
    tiny.save_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def change(directory, **settings):
    """Other settings in config.json."""
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "chat_template.jinja"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices(directory, name, kind):
    path = directory / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    began = time.monotonic()
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        m.load_model(directory, follow_links=True)
    assert time.monotonic() - began < 5


class TestLinks:
    def test_weights_elsewhere(self, directory, tmp_path):
        shutil.move(directory / "model.safetensors", tmp_path / "elsewhere.safetensors")
        (directory / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
        with pytest.raises(ModelError, match=r"model\.safetensors is a link that leads out of .* load_model\(\.\.\., follow_links=True\)"):
            m.load_model(directory)
        assert m.load_model(directory, follow_links=True).cfg.n_layers == 2

    def test_a_link_within_the_directory(self, directory):
        shutil.move(directory / "model.safetensors", directory / "weights")
        (directory / "model.safetensors").symlink_to("weights")
        assert m.load_model(directory).cfg.n_layers == 2

    def test_the_cache_of_the_hub_is_made_of_links(self, directory, tmp_path):
        snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / ("0" * 40), tmp_path / "models--a--b" / "blobs"
        snapshot.mkdir(parents=True)
        blobs.mkdir()
        for path in directory.iterdir():
            named = hub.sha256(path).hexdigest()
            shutil.copy(path, blobs / named)
            (snapshot / path.name).symlink_to(f"../../blobs/{named}")
        assert m.load_model(snapshot).cfg.n_layers == 2
        (snapshot / "model.safetensors").unlink()
        (snapshot / "model.safetensors").symlink_to(directory / "model.safetensors")
        with pytest.raises(ModelError, match="is a link that leads out of the directory"):
            m.load_model(snapshot)

    @pytest.mark.parametrize("target", ["nowhere", "model.safetensors"])
    def test_links_to_nothing(self, directory, target):
        (directory / "model.safetensors").unlink()
        (directory / "model.safetensors").symlink_to(target)
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            m.load_model(directory)

    @pytest.mark.parametrize("named", ["../elsewhere.safetensors", "/etc/passwd", "a/b.safetensors", ".."])
    def test_an_index_of_shards_that_leads_out(self, directory, named):
        (directory / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"transformer.wte.weight": named}}), encoding="utf-8"
        )
        with pytest.raises(ModelError):
            m.load_model(directory)


class TestSizes:
    @pytest.mark.parametrize("layers", [10_000_000, -1, 0, "2", 2.0, True, None, [2], {}])
    def test_layers(self, directory, layers):
        change(directory, n_layer=layers)
        began = time.monotonic()
        with pytest.raises(ModelError, match=r"its config\.json says n_layer = .* from 1 to 64"):
            m.load_model(directory)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        "settings",
        [
            {"n_embd": 1 << 20},
            {"vocab_size": 1 << 30},
            {"n_positions": 1 << 30},
            {"n_inner": 1 << 40},
            {"n_head": 10**9},
            {"n_embd": "16"},
            {"vocab_size": -1},
            {"n_head": 0},
            {"n_layer": 3},
        ],
        ids=str,
    )
    def test_sizes_that_the_weights_do_not_bear_out(self, directory, settings):
        change(directory, **settings)
        began = time.monotonic()
        with pytest.raises(ModelError):
            m.load_model(directory)
        assert time.monotonic() - began < 5

    def test_a_model_without_weights_is_not_made_up(self, directory):
        """No weight of the file is one of the model's, so that nothing has another shape."""
        from safetensors.torch import save_file
        from torch import zeros

        save_file({"a": zeros(1)}, directory / "model.safetensors", metadata={"format": "pt"})
        change(directory, vocab_size=1 << 22, n_embd=12_288)
        with pytest.raises(ModelError, match=r"describes a model of [0-9,]+ weights, far more than its files hold"):
            m.load_model(directory)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"model_type": 3}', '{"architectures": "GPT2LMHeadModel"}', "[" * 100_000, '{"a": NaN}', "\ud800"]
)
def test_configurations_that_are_none(directory, text):
    (directory / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=r"config\.json"):
        m.load_model(directory)


class TestCode:
    """Code that comes with a model is not run."""

    @pytest.fixture
    def trap(self, directory, tmp_path, monkeypatch):
        """Code in the directory, which leaves a mark if it is run."""
        monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
        mark = tmp_path / "it ran"
        code = f"open({str(mark)!r}, 'w')\nfrom transformers import GPT2Config as C, GPT2LMHeadModel as M, PreTrainedTokenizerFast as T\n"
        for name in ("configuration_x.py", "modeling_x.py", "tokenization_x.py"):
            (directory / name).write_text(code, encoding="utf-8")
        return mark

    MAP: ClassVar = {
        "AutoConfig": "configuration_x.C",
        "AutoModelForCausalLM": "modeling_x.M",
        "AutoTokenizer": ["tokenization_x.T", "tokenization_x.T"],
    }

    def test_where_transformers_has_a_class_of_its_own_that_is_taken(self, directory, trap):
        change(directory, auto_map=self.MAP)
        path = directory / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"auto_map": self.MAP}), encoding="utf-8")
        assert m.load_model(directory).cfg.n_layers == 2
        assert not trap.exists()

    def test_a_model_that_needs_it_is_refused(self, directory, trap):
        change(directory, auto_map=self.MAP, model_type="something_new")
        with pytest.raises(ModelError, match=r"code of its own .*, which is not run"):
            m.load_model(directory)
        assert not trap.exists()

    def test_pickles_are_not_opened(self, directory):
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
        with pytest.raises(ModelError, match="holds only pickled weights"):
            m.load_model(directory)
