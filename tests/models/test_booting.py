"""Directories without a tokenizer, with an adapter, of another kind of model, or damaged: loaded right, or refused with what to do."""

import json
import shutil

import pytest
import torch
from tiny import VOCABULARY, config, random_prompts, save_tokenizer

import mechcheck as m
from mechcheck.base.errors import ModelError, PromptError
from mechcheck.conformance.layouts import LAYOUTS
from mechcheck.engine.run import logits_at_end
from mechcheck.models.directory import has_tokenizer

_SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 20, "max_position_embeddings": 32}


def randomised(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def same_forward(model, own, prompts):
    with torch.no_grad():
        right = own(prompts.tokens).logits[torch.arange(len(prompts)), prompts.position("END")].log_softmax(-1)
    torch.testing.assert_close(logits_at_end(model, prompts).log_softmax(-1), right, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", [*LAYOUTS, "granite"])
def test_a_model_without_a_tokenizer(layout, tmp_path):
    """It loads, and its twin does; what needs text says so, and does not read it with a vocabulary that was made up."""
    import transformers

    encoder = layout != "granite" and LAYOUTS[layout].encoder
    settings = {"vocab_size": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0}
    if layout == "granite":
        settings = transformers.GraniteConfig(**settings | _SHAPE)
    else:
        about = LAYOUTS[layout]
        shape = {about.names.get(name, name): value for name, value in _SHAPE.items()}
        settings = getattr(transformers, about.config)(**settings | shape | about.settings)
    auto = transformers.AutoModelForMaskedLM if encoder else transformers.AutoModelForCausalLM
    own = randomised(auto.from_config(settings, attn_implementation="eager"))
    m.keep_model(own, None, tmp_path)
    assert not has_tokenizer(tmp_path)
    for model in (m.load_model(tmp_path), m.reinitialised(m.load_model(tmp_path), 0)):
        assert model.tokenizer is None
        assert m.run(model, random_prompts(3, (6, 6))).values.shape == (2,)
        for attempt in (
            lambda model=model: m.PromptSet.from_text(model, ["a b"], answers=["a"], foils=["b"]),
            lambda model=model: m.ioi_prompts(model, n=4, seed=0),
            lambda model=model: m.repeated_tokens(model, n=2, length=4, seed=0),
        ):
            with pytest.raises(PromptError, match=r"this model came without a tokenizer; build the prompts with PromptSet\.from_tokens"):
                attempt()
    same_forward(m.load_model(tmp_path), own, random_prompts(3, (6, 6)))


@pytest.mark.parametrize("processing", ["folded", "raw"])
@pytest.mark.parametrize("parallel", [True, False])
def test_neox_without_biases(tmp_path, processing, parallel):
    """TransformerLens reads biases that such a model does not have; of zero they are the same. Heads and twins are right, too."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    settings = GPTNeoXConfig(vocab_size=len(VOCABULARY), attention_bias=False, use_parallel_residual=parallel, **_SHAPE)
    own = randomised(GPTNeoXForCausalLM(settings))
    m.keep_model(own, None, tmp_path)
    model, prompts = m.load_model(tmp_path, processing=processing), random_prompts(3, (6, 7))
    same_forward(model, own, prompts)
    assert m.run(m.reinitialised(model, 0), prompts).values.shape == (2,)
    if processing == "folded":
        return  # where silencing a head leaves the biases of its values in place
    rows = torch.arange(2)

    def silence(_, args):
        z = args[0].clone()
        z[..., 8:16] = 0
        return (z,)

    handle = own.gpt_neox.layers[1].attention.dense.register_forward_pre_hook(silence)
    with torch.no_grad():
        end = own(prompts.tokens).logits[rows, prompts.position("END")]
    handle.remove()
    found = m.run(model, prompts, m.Ablate(m.heads("1.1"), "zero")).values
    torch.testing.assert_close(torch.tensor(found).float(), end[rows, prompts.answers] - end[rows, prompts.foils], rtol=0, atol=1e-4)


SEQ2SEQ = {
    "T5ForConditionalGeneration": lambda t: t.T5Config(
        vocab_size=48, d_model=32, d_kv=8, d_ff=20, num_layers=2, num_heads=4, decoder_start_token_id=0
    ),
    "BartForConditionalGeneration": lambda t: t.BartConfig(
        vocab_size=48, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, forced_eos_token_id=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("architecture", SEQ2SEQ)
def test_an_encoder_and_a_decoder_are_refused(architecture, tmp_path):
    import transformers

    m.keep_model(getattr(transformers, architecture)(SEQ2SEQ[architecture](transformers)), None, tmp_path)
    for processing in ("folded", "raw"):
        with pytest.raises(ModelError, match=rf"\({architecture}\) reads in an encoder and predicts in a decoder, .* models of one stack"):
            m.load_model(tmp_path, processing=processing)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside whole weights"])
@pytest.mark.parametrize(
    "files", [("adapter_config.json", "adapter_model.safetensors"), ("adapter_model.safetensors",), ("adapter_config.json",)]
)
def test_an_adapter_is_to_be_merged_first(model_dirs, tmp_path, files, beside):
    directory = tmp_path / "tuned"
    if beside:
        shutil.copytree(model_dirs["llama"], directory)
        assert m.load_model(directory)
    directory.mkdir(exist_ok=True)
    for name in files:
        content = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"}) if name.endswith("json") else "weights"
        (directory / name).write_text(content)
    base = "org/base" if "adapter_config.json" in files else "BASE"
    with pytest.raises(
        ModelError, match=rf"^'{directory}' holds an adapter .*[.]from_pretrained\('{base}'\), '{directory}'\)\.merge_and_unload"
    ):
        m.load_model(directory)


def test_a_damaged_file(model_dirs, tmp_path):
    directory = tmp_path / "cut"
    shutil.copytree(model_dirs["llama"], directory)
    whole = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"^'cut': its model\.safetensors is damaged \(.*not fully covered\)"):
        m.load_model(directory)


def test_a_shard_that_is_missing(tmp_path):
    from transformers import LlamaForCausalLM

    LlamaForCausalLM(config("llama")).save_pretrained(tmp_path, max_shard_size="10KB")
    save_tokenizer(tmp_path)
    assert m.load_model(tmp_path)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    shards[-1].unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json names model-\S+\.safetensors, which is not there"):
        m.load_model(tmp_path)


def test_a_pickle_is_not_read_where_safetensors_of_another_name_lie_beside_it(model_dirs, tmp_path):
    """transformers would take the pickle."""
    directory = tmp_path / "both"
    shutil.copytree(model_dirs["llama"], directory)
    (directory / "model.safetensors").rename(directory / "backup.safetensors")
    (directory / "pytorch_model.bin").write_bytes(b"run me")
    with pytest.raises(ModelError, match=r"cannot be loaded and run in float32"):
        m.load_model(directory)


VARIANTS = {
    "a configuration that contradicts itself": {"num_attention_heads": 5},
    "an activation that nobody knows": {"hidden_act": "swishest"},
    "rotary positions that nobody knows": {"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_configuration_that_no_library_reads(model_dirs, tmp_path, variant):
    directory = tmp_path / "odd"
    shutil.copytree(model_dirs["llama"], directory)
    written = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(written | VARIANTS[variant]))
    with pytest.raises(ModelError, match=r"^'odd'"):
        m.load_model(directory)


def test_an_adapter_of_transformer_lens_that_crashes_is_told_from_a_damaged_file(model_dirs, monkeypatch):
    from transformer_lens.model_bridge.sources.transformers import source

    def crash(*_, **__):
        raise AssertionError("bias\nis None")

    m.forget_models()
    monkeypatch.setattr(source, "TransformerBridge", crash)
    with pytest.raises(
        ModelError, match=r"transformers computes it, but TransformerLens does not serve this variant .* \(AssertionError: bias\)"
    ):
        m.load_model(model_dirs["llama"])
    m.forget_models()
