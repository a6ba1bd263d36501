"""Loading: one path for all models, what they are afterwards, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import config, random_prompts

from mechcheck.base.errors import ModelError
from mechcheck.engine.run import logits_at_end, run
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.models.loading import load_model, provenance, reinitialised
from mechcheck.notation.interventions import Patch
from mechcheck.notation.sites import resid
from mechcheck.prompts.prompt_set import PromptSet

SHARED_MODEL = Path(__file__).resolve().parents[2] / "shared" / "models" / "stories260k"


@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_log_probabilities_are_those_of_hugging_face(tiny, hugging_face, layout, processing):
    prompts = random_prompts(9, (7, 9, 12))
    with torch.no_grad():
        own = hugging_face(layout)(prompts.tokens).logits[torch.arange(3), prompts.positions["END"]]
    found = logits_at_end(tiny(layout, processing=processing), prompts)
    torch.testing.assert_close(found.log_softmax(-1), own.log_softmax(-1), rtol=0, atol=1e-5)


def test_provenance(tiny, model_dirs, layout):
    known = provenance(tiny(layout))
    assert (known.name, known.directory, known.revision) == (layout, model_dirs[layout], None)
    assert (known.processing, known.dtype, known.device) == ("folded", "float64", "cpu")
    assert known.weights_sha256 == provenance(tiny(layout, dtype="float32", processing="raw")).weights_sha256
    assert len(known.weights_sha256) == 64
    assert config(layout).model_type in json.loads((known.directory / "config.json").read_text())["model_type"]


def test_models_are_shared_and_read_only(model_dirs):
    first, again = (load_model(model_dirs["gpt2"], dtype="float64") for _ in range(2))
    assert first is again
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_a_twin_has_other_weights_and_the_same_shape(tiny, layout):
    model, prompts = tiny(layout), random_prompts(9, (7, 9))
    twin, other = reinitialised(model, 0), reinitialised(model, 1)
    assert provenance(twin).name == f"{layout}#reinitialised-0"
    assert len({provenance(some).weights_sha256 for some in (model, twin, other)}) == 3
    assert reinitialised(model, 0) is twin
    assert not torch.equal(logits_at_end(twin, prompts), logits_at_end(model, prompts))


def test_pickles_are_refused(model_dirs, tmp_path):
    shutil.copy(model_dirs["gpt2"] / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds only pickled weights \(pytorch_model\.bin\), which can run code when loaded"):
        load_model(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"has a config\.json but no \*\.safetensors"):
        load_model(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match=r"is a directory without config\.json; expected a Hugging Face model"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_no_directory(name):
    with pytest.raises(ModelError, match=f"no model directory at '{name}'; embedded models:"):
        load_model(name)


def test_a_name_that_is_nearly_an_embedded_models_asks_no_hub():
    with pytest.raises(ModelError, match=r"^unknown model 'names-gpt2-sed4'; did you mean 'names-gpt2-seed4'\?$"):
        load_model("names-gpt2-sed4")


def test_an_unknown_hub_id_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"cannot load 'nobody/nothing': .* this run is offline\. Fetch it once .*mechcheck prefetch"):
        load_model("nobody/nothing", offline=True)


def test_options_that_do_not_exist(model_dirs):
    with pytest.raises(ModelError, match="unknown dtype 'int8'; choose one of float32"):
        load_model(model_dirs["gpt2"], dtype="int8")
    with pytest.raises(ModelError, match='unknown processing \'cooked\'; choose "folded" or "raw"'):
        load_model(model_dirs["gpt2"], processing="cooked")
    with pytest.raises(ModelError, match="unknown device 'tpu'; choose cpu"):
        load_model(model_dirs["gpt2"], device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="'cuda:0' is not available on this machine; use cpu"):
            load_model(model_dirs["gpt2"], device="cuda:0")


@pytest.mark.skipif(not SHARED_MODEL.is_dir(), reason="the trained model stories260k is not part of the repository")
def test_a_trained_llama_of_five_layers():
    """8 heads on 4 key-value heads, a tokenizer that cuts words into pieces."""
    model = load_model(SHARED_MODEL)
    prompts = PromptSet.from_text(
        model,
        ["Once upon a time , there was a", "Once upon a time , there was the"],
        answers=["little", "the"],
        foils=["to", "and"],
        counterfactual=["One day , the girl and a boy", "One day , the girl and a dog"],
        pad=True,
    )
    assert prompts.tokens.shape[1] > 9  # pieces
    total = direct_logit_attribution(model, prompts).total
    np.testing.assert_allclose(total.values, run(model, prompts).values, rtol=0, atol=1e-4)
    patched = run(model, prompts, Patch(resid("4@END")))
    assert (patched.values != run(model, prompts).values).all()
