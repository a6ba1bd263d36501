"""Models are kept by what lies in their directory: files that were overwritten are read again, twins of them are not made."""

import json
import os
import shutil

import pytest
import torch
from tiny import random_prompts, save_model

import mechcheck as m
from mechcheck.base.errors import ModelError
from mechcheck.engine.run import logits_at_end
from mechcheck.models.directory import contents
from mechcheck.models.hub import sha256

PROMPTS = random_prompts(3, (6, 8))


def overwrite(directory, seed, **changes):
    """Another model of the same shape, saved to the same folder: files of the same names and lengths."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = AutoConfig.from_pretrained(directory)
    for name, value in changes.items():
        setattr(settings, name, value)
    torch.manual_seed(seed)
    own = AutoModelForCausalLM.from_config(settings, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        m.keep_model(own, None, directory)
        return own(PROMPTS.tokens).logits[torch.arange(2), PROMPTS.position("END")].log_softmax(-1)


@pytest.mark.parametrize("layout", ["gpt2", "neox", "llama"])
def test_a_training_loop_that_saves_to_one_folder(tmp_path, layout):
    save_model(layout, tmp_path)
    for seed in range(3):
        right = overwrite(tmp_path, seed)
        model = m.load_model(tmp_path)
        torch.testing.assert_close(logits_at_end(model, PROMPTS).log_softmax(-1), right, rtol=0, atol=1e-4)
        assert m.provenance(model).weights_sha256 == sha256(tmp_path / "model.safetensors").hexdigest()
        assert m.load_model(tmp_path) is model


def test_a_change_of_the_configuration_alone(tmp_path):
    save_model("llama", tmp_path)
    before = logits_at_end(m.load_model(tmp_path), PROMPTS)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(written | {"rms_norm_eps": 1.0}))
    after = logits_at_end(m.load_model(tmp_path), PROMPTS)
    assert (after - before).abs().max() > 1e-2


def test_a_distilbert_with_another_configuration(tmp_path):
    """It is read as a BERT, which is kept on the disk: by its number of heads, too, and not by its weights alone."""
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    settings = {"vocab_size": 48, "n_layers": 1, "dim": 32, "hidden_dim": 20, "max_position_embeddings": 32}
    torch.manual_seed(0)
    m.keep_model(DistilBertForMaskedLM(DistilBertConfig(n_heads=4, **settings)), None, tmp_path)
    assert m.load_model(tmp_path).cfg.n_heads == 4
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(written | {"n_heads": 2}))
    assert m.load_model(tmp_path).cfg.n_heads == 2


def test_a_copy_of_the_same_files_and_a_touched_one_are_the_same(model_dirs, tmp_path):
    model, known = m.load_model(model_dirs["gpt2"]), contents(model_dirs["gpt2"])
    os.utime(model_dirs["gpt2"] / "model.safetensors")
    assert m.load_model(model_dirs["gpt2"]) is model
    shutil.copytree(model_dirs["gpt2"], tmp_path / "copy")
    assert contents(tmp_path / "copy") == known
    (tmp_path / "copy" / "README.md").write_text("a model")
    assert contents(tmp_path / "copy") == known
    (tmp_path / "copy" / "tokenizer.json").write_text("{}")
    assert contents(tmp_path / "copy").weights == known.weights
    assert contents(tmp_path / "copy").sha256 != known.sha256


def test_what_was_read_is_not_read_again(model_dirs, monkeypatch):
    contents(model_dirs["llama"])
    monkeypatch.setattr("mechcheck.models.directory.sha256", None)
    assert contents(model_dirs["llama"])


def test_forgetting(model_dirs):
    model = m.load_model(model_dirs["gpt2"])
    m.forget_models()
    again = m.load_model(model_dirs["gpt2"])
    assert again is not model
    assert torch.equal(logits_at_end(again, PROMPTS), logits_at_end(model, PROMPTS))


def test_no_twin_of_files_that_are_others_now(tmp_path):
    save_model("gpt2", tmp_path)
    model = m.load_model(tmp_path)
    assert m.reinitialised(m.reinitialised(model, 0), 1)  # a twin of a twin has no file of its own
    overwrite(tmp_path, 1)
    with pytest.raises(ModelError, match=rf"^the files of '{tmp_path.name}' were overwritten after it was loaded, .*; load it again$"):
        m.reinitialised(model, 0)
    assert m.reinitialised(m.load_model(tmp_path), 0)
