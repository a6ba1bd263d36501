"""What is loaded computes what transformers computes, in every layout, processing and dtype, or is refused; hooks hold what sites mean."""

from functools import cache

import pytest
import torch
from tiny import LAYOUTS as TINY
from tiny import MORE_LAYOUTS, random_prompts

import mechcheck as m
from mechcheck.base.errors import HookError, MechcheckError, ModelError, SiteError
from mechcheck.compiled import compiled_models
from mechcheck.conformance.layouts import CONTEXT, LAYOUTS, N_HEADS, save_layout
from mechcheck.engine.run import capture, logits_at_end
from mechcheck.models import agreement, booting
from mechcheck.models.agreement import TOLERANCE, Prediction, disagreement, misplaced, predict, probe_of
from mechcheck.models.loading import load_model, provenance, reinitialised
from mechcheck.notation.sites import HEAD_KINDS, Kind, Site
from mechcheck.prompts.prompt_set import PromptSet

_SIZES = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
_MOE = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
_MLA = _MOE | {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "num_key_value_heads": 4}
# Folding changes what they compute: attention sinks; norms inside the projections.
NOT_FOLDED = {
    "GptOssConfig": {"num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
    "BitNetConfig": {"num_key_value_heads": 2},
}
MLA = {
    "DeepseekV3Config": _MLA | {"first_k_dense_replace": 1},
    "DeepseekV2Config": _MLA | {"first_k_dense_replace": 1, "topk_method": "greedy"},
    "Glm4MoeLiteConfig": _MLA,
}


def save_random(name, directory, **settings):
    """A model of random weights that all have a visible effect, without a tokenizer; and transformers' own copy of it."""
    import transformers

    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, name)(**_SIZES | settings), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            kept = parameter.clone() if "norm" in parameter_name else 0.0
            parameter.normal_(0.0, 0.3).add_(kept)
    m.keep_model(model, None, directory)
    return model


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
    assert (known.processing, known.not_folded) == ("raw", "folded weights do not compute the same: RuntimeError: no rule")
    m.forget_models()


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


def test_not_a_number_is_no_agreement():
    right = torch.zeros(1, 2, 3).log_softmax(-1)
    broken = right.clone()
    broken[0, 1] = torch.nan
    one, other = (Prediction(torch.zeros(1, 2), values) for values in (right, broken))
    assert "not finite" in disagreement(other, one, torch.float32)
    assert disagreement(other, other, torch.float32) is None


@pytest.mark.parametrize("width", [8, 6])
@pytest.mark.parametrize("name", MLA)
def test_heads_of_latent_attention_are_those_of_transformers(name, width, tmp_path):
    """A head's z is its columns of what enters the output projection, and its values have positions, whatever their width."""
    own = save_random(name, tmp_path, **MLA[name], v_head_dim=width)
    model = load_model(tmp_path, processing="raw")
    prompts = PromptSet.from_tokens([[1, 5, 6, 7, 11], [1, 9, 8, 4, 12]], answers=[8, 20], foils=[9, 30])
    projection, rows = own.model.layers[1].self_attn.o_proj, torch.arange(2)
    seen = []

    def cut(_, args):
        seen.append(args[0].clone())
        z = args[0].clone()
        z[..., width : 2 * width] = 0
        return (z,)

    handle = projection.register_forward_pre_hook(cut)
    with torch.no_grad():
        end = own(prompts.tokens).logits[:, -1]
    handle.remove()
    right = end[rows, prompts.answers] - end[rows, prompts.foils]
    silenced = m.Ablate(m.heads("1.1"), "zero")
    for processing in ("raw", "folded"):
        torch.testing.assert_close(
            torch.tensor(m.run(load_model(tmp_path, processing=processing), prompts, silenced).values).float(), right, rtol=0, atol=1e-4
        )
    assert (right - torch.tensor(m.run(model, prompts).values)).abs().max() > 1e-2
    (z,) = capture(model, prompts, m.heads("1.2")).values()
    torch.testing.assert_close(z, seen[0][..., 2 * width : 3 * width], rtol=0, atol=1e-5)
    (value,) = capture(model, prompts, m.values("1.2")).values()
    pattern = m.attention(model, prompts, "1.2")[:, 0]
    torch.testing.assert_close(pattern @ value, z, rtol=0, atol=1e-5)
    written = m.capture(model, prompts, m.attn_outs("1"))
    w_o = projection.weight.T.unflatten(0, (4, width))
    torch.testing.assert_close(model.W_O[1], w_o, rtol=0, atol=0)
    torch.testing.assert_close(next(iter(written.values())), seen[0] @ projection.weight.T, rtol=0, atol=1e-5)
    m.run(model, prompts, m.Put({Site("head", 1, 1): z}))
    for site in (m.queries("1.1"), m.keys("1.1")):
        with pytest.raises(
            SiteError, match=r"blocks\.1\.attn\.hook_[qk] holds activations of shape \[2, 4, \d+, 8\] where \[prompt, pos, head"
        ):
            capture(model, prompts, site)
        with pytest.raises(SiteError, match=r"so nothing can be read or changed there"):
            m.run(model, prompts, m.Ablate(site, "zero"))


@pytest.mark.parametrize("name", [*LAYOUTS, "DeepseekV3Config"])
def test_every_site_holds_what_it_means_or_is_refused(directories, name, tmp_path):
    """Activations have the prompts' shape and the width that belongs to the kind of site, on prompts of a length of their own."""
    if name in MLA:
        save_random(name, tmp_path, **MLA[name], v_head_dim=6)
    model = load_model(tmp_path if name in MLA else directories(f"table {name}"), processing="raw")
    prompts, served = PromptSet.from_tokens([[1, 5, 6, 7, 2], [1, 6, 7, 5, 2]], answers=[3, 3], foils=[4, 4]), set()
    for kind in Kind.__args__:
        index = 1 if kind in (*HEAD_KINDS, "neuron") else None
        width = {"neuron": 1}.get(kind, model.cfg.d_head if kind in HEAD_KINDS else model.cfg.d_model)
        try:
            (found,) = capture(model, prompts, m.Sites([Site(kind, 1, index)])).values()
        except (SiteError, HookError):
            continue
        served.add(kind)
        assert found.shape == (2, 5, width)
    assert {"head", "v", "mlp_out", "resid_pre", "resid_post"} <= served
    assert name in MLA or {"q", "k", "neuron"} <= served


def test_a_hook_that_holds_something_else_is_found_and_refused(model_dirs, monkeypatch):
    """By position, not by chance: as many positions as heads look alike."""
    m.forget_models()
    kept = agreement.mend_hooks

    class Swapped:
        def handle_conversion(self, x, *_):
            return x.view(*x.shape[:2], 4, -1).transpose(1, 2)

        def revert(self, x, *_):
            return x.transpose(1, 2).flatten(2)

        convert = handle_conversion

    def swap(model):
        kept(model)
        model.blocks[1].attn.o.hook_in.hook_conversion = Swapped()

    monkeypatch.setattr("mechcheck.models.loading.mend_hooks", swap)
    model = load_model(model_dirs["llama"], processing="raw")
    prompts = random_prompts(1, (4, 4))  # as long as there are heads
    assert capture(model, prompts, m.heads("0.1"))
    with pytest.raises(SiteError, match=r"\(LlamaForCausalLM\) blocks\.1\.attn\.hook_z holds activations of shape \[2, 4, 16, 8\] where"):
        m.run(model, prompts, m.Ablate(m.heads("1.1"), "zero"))
    with pytest.raises(SiteError, match=r"hook_z holds"):
        m.row_cosines(model, prompts, "1.0")
    m.forget_models()


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


def test_a_twin_has_the_limits_of_its_model(tmp_path):
    save_random("DeepseekV3Config", tmp_path, **MLA["DeepseekV3Config"], v_head_dim=6)
    twin = reinitialised(load_model(tmp_path), 0)
    prompts = PromptSet.from_tokens([[1, 5, 6, 7, 2]], answers=[3], foils=[4])
    assert next(iter(capture(twin, prompts, m.heads("1.3")).values())).shape == (1, 5, 6)
    with pytest.raises(SiteError, match="hook_q holds"):
        capture(twin, prompts, m.queries("1.1"))
    assert twin.cfg.n_heads == N_HEADS
