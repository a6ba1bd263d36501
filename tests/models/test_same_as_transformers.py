"""What is loaded computes what transformers computes, in every layout, processing and dtype, or is refused; hooks hold what sites mean."""

from functools import cache

import pytest
import torch
from random_models import save_random
from tiny import LAYOUTS as TINY
from tiny import MORE_LAYOUTS

import mechcheck as m
from mechcheck.base.errors import MechcheckError, ModelError
from mechcheck.compiled import compiled_models
from mechcheck.conformance.layouts import CONTEXT, LAYOUTS, save_layout
from mechcheck.engine.run import logits_at_end
from mechcheck.models import agreement, booting
from mechcheck.models.agreement import TOLERANCE, Prediction, disagreement, misplaced, predict, probe_of
from mechcheck.models.loading import load_model, provenance, reinitialised
from mechcheck.prompts.prompt_set import PromptSet

# Folding changes what they compute: attention sinks; norms inside the projections.
NOT_FOLDED = {
    "GptOssConfig": {"num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
    "BitNetConfig": {"num_key_value_heads": 2},
}


@pytest.fixture(scope="module")
def directories(model_dirs, tmp_path_factory):
    """directories(name): that of a layout of the tests, or of the support table."""
    root = tmp_path_factory.mktemp("layouts")
    return cache(lambda name: model_dirs[name] if name in model_dirs else save_layout(name.removeprefix("table "), root / name))


def own_model(directory, dtype):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    encoder = "MaskedLM" in (directory / "config.json").read_text()
    auto = AutoModelForMaskedLM if encoder else AutoModelForCausalLM
    return auto.from_pretrained(directory, dtype=dtype, attn_implementation="eager").eval()


def sequences(vocabulary):
    """Other sequences than those that loading looks at, and longer ones."""
    return torch.randint(1, vocabulary, (3, CONTEXT - 5), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("processing", ["folded", "raw"])
@pytest.mark.parametrize("name", [*TINY, *MORE_LAYOUTS, *(f"table {name}" for name in LAYOUTS)])
def test_predictions_are_those_of_transformers(directories, name, processing, dtype):
    """Root mean square of the differences of log-probabilities, as a part of their size."""
    model, kind = load_model(directories(name), dtype=dtype, processing=processing), getattr(torch, dtype)
    own = own_model(directories(name), kind)
    tokens = sequences(min(own.config.vocab_size, model.cfg.d_vocab))
    prompts = PromptSet.from_tokens(tokens, answers=[1] * 3, foils=[2] * 3)
    with torch.no_grad():
        right = own(tokens).logits[:, -1].double().log_softmax(-1)
    off = logits_at_end(model, prompts).double().log_softmax(-1) - right
    part = float(off.square().mean().sqrt() / (right - right.mean(-1, keepdim=True)).square().mean().sqrt())
    assert part < {"float32": 1e-5, "bfloat16": 0.08}[dtype]
    assert provenance(model).processing == (processing if model.cfg.attention_dir == "causal" else "raw")


@pytest.mark.parametrize("name", NOT_FOLDED)
def test_folding_that_changes_the_model_is_not_used(name, tmp_path):
    own = save_random(name, tmp_path, **NOT_FOLDED[name])
    folded, raw = (load_model(tmp_path, processing=how) for how in ("folded", "raw"))
    assert provenance(folded).processing == "raw"
    assert provenance(folded).not_folded.startswith("folded weights do not compute the same: log-probabilities of tokens differ by up to ")
    assert provenance(raw).not_folded is None
    tokens = sequences(48)
    with torch.no_grad():
        right = own(tokens).logits[:, -1].log_softmax(-1)
    for model in (folded, raw):
        found = logits_at_end(model, PromptSet.from_tokens(tokens, answers=[1] * 3, foils=[2] * 3)).log_softmax(-1)
        torch.testing.assert_close(found.float(), right, rtol=0, atol=1e-4)
    with pytest.raises(
        MechcheckError, match=rf"norms that are folded into weights, which cannot be done in {tmp_path.name}: folded weights do"
    ):
        m.ov_circuit(folded, "0.1")


@pytest.mark.parametrize("name", ["names-gpt2-seed4", "names-neox-seed2", *compiled_models()])
def test_the_models_that_come_with_it_are_folded(name):
    known = provenance(load_model(name))
    assert (known.processing, known.not_folded) == ("folded", None)


def test_an_encoder_says_why_it_is_raw(tiny):
    assert provenance(tiny("bert", "float32", "folded")).not_folded == "an encoder's norms stand behind the sums, so they cannot be folded"
    assert provenance(tiny("bert", "float32", "raw")).not_folded is None


def scaled(model, by):
    """What a wrong arithmetic would do: other logits for the same weights."""
    model.unembed.register_forward_hook(lambda module, args, out: out * by)


@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_a_bridge_that_disagrees_with_transformers_is_refused(model_dirs, monkeypatch, processing):
    m.forget_models()
    told = booting._told_of_tokenizer

    def wrong(model, directory):
        scaled(model, 1.05)
        return told(model, directory)

    monkeypatch.setattr(booting, "_told_of_tokenizer", wrong)
    with pytest.raises(
        ModelError, match=r"TransformerLens does not compute this GPT2LMHeadModel as transformers does \(log-prob.* differ by"
    ):
        load_model(model_dirs["gpt2"], processing=processing)
    m.forget_models()


def test_folding_that_crashes_is_not_used(model_dirs, monkeypatch):
    from transformer_lens.model_bridge import TransformerBridge

    def crash(*_, **__):
        raise RuntimeError("no rule\nfor this")

    m.forget_models()
    monkeypatch.setattr(TransformerBridge, "enable_compatibility_mode", crash)
    known = provenance(load_model(model_dirs["llama"]))
    assert (known.processing, known.not_folded) == ("raw", "this architecture cannot be folded: RuntimeError: no rule")
    m.forget_models()


@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_a_bridge_that_crashes_is_refused(model_dirs, monkeypatch, processing):
    def crash(*_, **__):
        raise RuntimeError("shape '[2]' is invalid\nfor input of size 3")

    m.forget_models()
    monkeypatch.setattr("mechcheck.models.loading.misplaced", crash)
    with pytest.raises(
        ModelError, match=r"does not compute this LlamaForCausalLM as transformers does \(RuntimeError: shape '\[2\]' is invalid\)"
    ):
        load_model(model_dirs["llama"], processing=processing)
    m.forget_models()


def test_a_twin_that_cannot_be_drawn(tiny, monkeypatch):
    def crash(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr("transformer_lens.tools.analysis.random_init_bridge", crash)
    with pytest.raises(
        ModelError, match=r"^'gpt2': its weights cannot be drawn anew \(NotImplementedError\), so it has no re-initialised twin$"
    ):
        reinitialised(tiny("gpt2"), 12345)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_disagreement_is_told_from_rounding(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 9, 50, generator=generator, dtype=torch.float64) * 3
    noise = torch.randn(logits.shape, generator=generator, dtype=torch.float64) * 3

    def off(size):
        changed = (logits + size * TOLERANCE[dtype] * noise + 5).log_softmax(-1)  # a constant is no difference
        return disagreement(Prediction(torch.zeros(2, 9), changed), Prediction(torch.zeros(2, 9), logits.log_softmax(-1)), dtype)

    assert off(0) is None
    assert off(0.5) is None
    assert "log-probabilities of tokens differ by up to" in off(2)


def test_a_model_that_says_nothing_may_be_rounded():
    """A compiled program that reads other words than these predicts all tokens alike, from large activations."""
    flat = torch.zeros(1, 4, 9).double()
    for noise, agrees in ((1e-5, True), (1e-3, False)):
        changed = flat + noise * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        one, other = (Prediction(torch.zeros(1, 4), values.log_softmax(-1)) for values in (flat, changed))
        assert (disagreement(other, one, torch.float32) is None) == agrees


def test_not_a_number_is_no_agreement():
    right = torch.zeros(1, 2, 3).log_softmax(-1)
    broken = right.clone()
    broken[0, 1] = torch.nan
    one, other = (Prediction(torch.zeros(1, 2), values) for values in (right, broken))
    assert "not finite" in disagreement(other, one, torch.float32)
    assert disagreement(other, other, torch.float32) is None


def test_the_sequences_are_no_padding_and_unlike_any_other_size(tiny):
    model = tiny("llama", "float32")
    tokens = probe_of(model)
    assert tokens.shape == (2, 16)
    assert torch.equal(tokens, probe_of(model))
    assert predict(model, tokens, encoder=False).log_probs.shape == (2, 16, model.cfg.d_vocab)
    assert misplaced(model, tokens)[1] == {}

    class Text:
        vocab_size, num_attention_heads, num_key_value_heads, max_position_embeddings, pad_token_id = 3, 16, 15, 40, 1

    found = agreement.probe(Text)
    assert found.shape == (2, 14)
    assert set(found.unique().tolist()) == {0, 2}
