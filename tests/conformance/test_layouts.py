"""Each layout against plain hooks on the Hugging Face model in float64: what is computed is right, what cannot be is refused."""

from functools import cache

import numpy as np
import plain
import pytest
import torch

import mechcheck as m
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.conformance.layouts import D_HEAD, LAYOUTS, N_HEADS, WINDOW, layout_prompts, save_layout
from mechcheck.engine.hooks import record
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.measures.attention.patterns import attention, visible_keys
from mechcheck.measures.heads.vocabulary_circuits import ov_circuit, qk_circuit
from mechcheck.measures.stream.lens import logit_lens
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Sites, attn_outs, heads, keys, mlps, neurons, queries, resid, resid_post, values

DECODERS = [name for name, layout in LAYOUTS.items() if not layout.encoder]
ENCODERS = [name for name, layout in LAYOUTS.items() if layout.encoder]
# Norms and rotary embeddings compute in float32 whatever the model's dtype, and so does TransformerLens where it folds.
SAME = 5e-5

every_layout = pytest.mark.parametrize("name", LAYOUTS)
every_decoder = pytest.mark.parametrize("name", DECODERS)
every_encoder = pytest.mark.parametrize("name", ENCODERS)
both_ways = pytest.mark.parametrize("processing", ["raw", "folded"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """folder(name): the directory of a layout's model."""
    root = tmp_path_factory.mktemp("layouts")
    return cache(lambda name: save_layout(name, root / name))


@pytest.fixture(scope="module")
def bridge(folder):
    """bridge(name, processing): the model as mechcheck loads it, in float64."""
    return cache(lambda name, processing: load_model(folder(name), dtype="float64", processing=processing))


@pytest.fixture(scope="module")
def oracle(folder):
    """oracle(name): the same model in float64 without TransformerLens."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    @cache
    def load(name):
        auto = AutoModelForMaskedLM if LAYOUTS[name].encoder else AutoModelForCausalLM
        return auto.from_pretrained(folder(name), dtype=torch.float64, attn_implementation="eager").eval()

    return load


@pytest.fixture(scope="module")
def prompts(bridge):
    """prompts(name): the prompts of a layout."""
    return cache(lambda name: layout_prompts(bridge(name, "raw"), LAYOUTS[name]))


@every_layout
@both_ways
@pytest.mark.filterwarnings("ignore:.*does not support fold_ln")
def test_logits_and_attention(bridge, oracle, prompts, name, processing):
    model, some = bridge(name, processing), prompts(name)
    out = plain.forward(oracle(name), some, output_attentions=True)
    expected = out.logits[torch.arange(len(some)), some.position("END")].log_softmax(-1)
    found = record(model, some).logits.log_softmax(-1)
    assert (found - expected).abs().max() < SAME
    real = torch.arange(some.tokens.shape[1]) < some.lengths[:, None]
    for layer, pattern in enumerate(out.attentions):
        seen = pattern.masked_fill(~(real[:, None, :, None] & real[:, None, None, :]), 0)
        assert (attention(model, some, f"{layer}.0-{N_HEADS - 1}") - seen).abs().max() < SAME
        visible = visible_keys(model, some, layer)[:, None].expand_as(seen)
        assert torch.equal(seen > 0, visible)


def sites_of(name):
    """Sites of every kind that the layout has, with effects that END can see through a window."""
    kv = heads("0.1 1.0").pairs
    found = heads("0.1 1.2") | queries("0.3 1.1") | keys(kv) | values(kv) | mlps("0-1") | neurons("0.3 1.4") | resid("1") | resid_post("0")
    found = found if name in ENCODERS else found | attn_outs("0-1")
    return [site for place in (None, "S2", "END") for site in found.at(place)]


@every_layout
@both_ways
@pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning", "ignore:.*does not support fold_ln")
def test_patching_every_kind_of_site(bridge, oracle, prompts, name, processing):
    """By whatever runner serves the layout: activations of the counterfactual at all positions and at single ones."""
    some, sites = prompts(name), sites_of(name)
    found = sweep(bridge(name, processing), some, [Patch(Sites([site])) for site in sites])
    clean = run(bridge(name, processing), some).values
    seen = []
    for site, row in zip(sites, found, strict=True):
        expected = plain.logit_diff_with(oracle(name), some, {site: plain.value_for(oracle(name), some, site, "patch")}).numpy()
        np.testing.assert_allclose(row, expected, rtol=0, atol=SAME, err_msg=f"{site.kind} {site}")
        seen += [site.kind] if np.abs(expected - clean).max() > 10 * SAME else []
    assert {*seen} == {site.kind for site in sites}
    assert len(seen) > len(sites) / 2


@every_layout
@pytest.mark.parametrize("runner", ["own", "hooks"])
def test_ablating_heads(bridge, oracle, prompts, name, runner):
    """Zero, mean and resample ablation of every head of the model as it is stored."""
    model, some = bridge(name, "raw"), prompts(name)
    cases = [(site, how) for site in heads("0.0-3 1.0-3") for how in ("zero", "mean", "resample")]
    variants = [Ablate(heads([(site.layer, site.index)]), how) for site, how in cases]
    if runner == "hooks":
        with plain_hooks():
            found = sweep(model, some, variants)
    else:
        found = sweep(model, some, variants)
    for (site, how), row in zip(cases, found, strict=True):
        expected = plain.logit_diff_with(oracle(name), some, {site: plain.value_for(oracle(name), some, site, how)}).numpy()
        np.testing.assert_allclose(row, expected, rtol=0, atol=SAME, err_msg=f"{how} {site}")


def test_prompts_are_longer_than_the_window(bridge, prompts):
    """The two Mistrals have the same weights, and differ because the one cannot see as far."""
    assert prompts("mistral-window").lengths.min() > 2 * WINDOW - 1
    near, far = (run(bridge(name, "raw"), prompts(name)).values for name in ("mistral-window", "mistral"))
    assert np.abs(near - far).min() > 1e-2
    assert int(visible_keys(bridge("mistral-window", "raw"), prompts("mistral"), 0)[0, 12].sum()) == WINDOW


def ends(model):
    """The final norm and the unembedding of a Hugging Face decoder."""
    base = model.base_model
    return plain._first(base, "ln_f", "final_layer_norm", "norm", "decoder.final_layer_norm"), model.get_output_embeddings()


@every_decoder
@both_ways
@pytest.mark.filterwarnings("ignore:.*does not support fold_ln")
def test_the_logit_lens_reads_every_layer(bridge, oracle, prompts, name, processing):
    some, own = prompts(name), oracle(name)
    (norm, unembedding), rows = ends(own), torch.arange(len(some))
    seen = []
    handles = [block.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for block in plain.blocks(own)]
    last = plain.forward(own, some).logits[rows, some.position("END")]
    for handle in handles:
        handle.remove()
    cap = getattr(own.config, "final_logit_softcapping", None)
    with torch.no_grad():
        logits = [unembedding(norm(stream[rows, some.position("END")])) for stream in seen]
    logits = [cap * torch.tanh(x / cap) if cap else x for x in logits] + [last]
    expected = torch.stack([x[rows, some.answers] - x[rows, some.foils] for x in logits])
    found = logit_lens(bridge(name, processing), some).logit_diff
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=SAME)
    assert np.abs(found[0] - found[-1]).max() > 1e-2


def gain(norm) -> torch.Tensor:
    """What a norm multiplies with."""
    return norm.weight + 1 if type(norm).__name__.startswith("Gemma") else norm.weight


def centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(-1, keepdim=True)


def normed(norm, x: torch.Tensor) -> torch.Tensor:
    """The norm without its scale and its bias: a linear map."""
    return (centred(x) if hasattr(norm, "bias") else x) * gain(norm)


def linear(module, x: torch.Tensor) -> torch.Tensor:
    """A projection without its bias."""
    return module(x) - module(torch.zeros_like(x))


def read(own, kind: str, head: int, tokens: list[int]) -> torch.Tensor:
    """The queries, keys or values that a head of the first layer makes of tokens, [token, d_head], from the stored weights."""
    (site,), block = getattr(m, kind)([(0, head)]), plain.blocks(own)[0]
    embedding = own.get_input_embeddings()
    x = embedding.weight[tokens] * getattr(embedding, "embed_scale", 1.0)
    norm = plain._first(block, "ln_1", "input_layernorm", "self_attn_layer_norm")
    return linear(plain._projected(own, site)[0], normed(norm, x))[:, plain.columns(own, site)]


@every_decoder
@pytest.mark.filterwarnings("ignore:.*does not support fold_ln")
def test_circuits_of_weights(bridge, oracle, prompts, name):
    """OV and QK circuits of a head of the first layer, from the Hugging Face model's own projections; or a refusal."""
    model, own, head, tokens = bridge(name, "folded"), oracle(name), 2, [7, 12, 20, 30, 41]
    if name == "gemma2":
        with pytest.raises(MechcheckError, match="a norm stands behind each attention layer"):
            ov_circuit(model, f"0.{head}", tokens)
        return
    group = N_HEADS // (getattr(own.config, "num_key_value_heads", None) or N_HEADS)
    norm, unembedding = ends(own)
    with torch.no_grad():
        wide = torch.zeros(len(tokens), N_HEADS * D_HEAD, dtype=torch.float64)
        wide[:, head * D_HEAD : (head + 1) * D_HEAD] = read(own, "values", head // group, tokens)
        written = linear(plain._output_projection(plain.blocks(own)[0]), wide)
        expected = centred(normed(norm, written) @ unembedding.weight[tokens].T)
        scores = read(own, "queries", head, tokens) @ read(own, "keys", head // group, tokens).T
    np.testing.assert_allclose(ov_circuit(model, f"0.{head}", tokens).entries(), expected.numpy(), rtol=0, atol=SAME)
    if name == "qwen3":
        with pytest.raises(MechcheckError, match="queries and keys pass through norms"):
            qk_circuit(model, f"0.{head}", tokens)
        return
    scale = 1.0 if name == "gptneo" else D_HEAD**-0.5
    np.testing.assert_allclose(qk_circuit(model, f"0.{head}", tokens).entries(), centred(scores * scale).numpy(), rtol=0, atol=SAME)


def test_the_unscaled_scores_of_gpt_neo(oracle):
    """Its first layer's attention is the softmax of queries times keys, with no factor."""
    own, tokens = oracle("gptneo"), torch.tensor([[5, 12, 20]])
    block, seen = plain.blocks(own)[0].attn.attention, {}
    handles = [
        getattr(block, f"{x}_proj").register_forward_hook(lambda _, args, out, x=x: seen.update({x: out[0].view(3, N_HEADS, D_HEAD)}))
        for x in "qk"
    ]
    with torch.no_grad():
        pattern = own(tokens, output_attentions=True).attentions[0][0]
    for handle in handles:
        handle.remove()
    scores = torch.einsum("qhd,khd->hqk", seen["q"], seen["k"])
    expected = scores.masked_fill(~torch.ones(3, 3, dtype=torch.bool).tril(), -torch.inf).softmax(-1)
    assert (pattern - expected).abs().max() < 1e-6


@every_encoder
def test_what_an_encoder_is_refused(bridge, prompts, name):
    model, some = bridge(name, "folded"), prompts(name)
    assert m.provenance(model).processing == "raw"
    for attempt in (
        lambda: m.logit_lens(model, some),
        lambda: m.logit_lens_map(model, some),
        lambda: m.fit_tuned_lens(model, some),
        lambda: m.copying_scores(model, some),
    ):
        with pytest.raises(MechcheckError, match="BertForMaskedLM makes its logits by a prediction head of its own"):
            attempt()
    for attempt in (
        lambda: m.direct_logit_attribution(model, some),
        lambda: m.ov_circuit(model, "0.1"),
        lambda: m.qk_circuit(model, "0.1"),
        lambda: m.copying_eigenvalue_scores(model),
        lambda: m.composition(model, "V", "0.1", "1.2"),
        lambda: m.vocabulary_map(model, model, m.shared_vocabulary(model, model)),
    ):
        with pytest.raises(MechcheckError, match=r"in an encoder .* norms cannot be folded"):
            attempt()
    for attempt in (
        lambda: check_sites(model, attn_outs(0)),
        lambda: run(model, some, Ablate(attn_outs(0))),
        lambda: capture(model, some, attn_outs("1@END")),
    ):
        with pytest.raises(SiteError, match=r"no attn_out [01].*: in an encoder .* it is added to the stream"):
            attempt()


def test_what_norms_and_caps_rule_out(bridge, prompts):
    model, some = bridge("gemma2", "folded"), prompts("gemma2")
    with pytest.raises(MechcheckError, match="soft-capped, so they are no sum of parts"):
        m.direct_logit_attribution(model, some)
    for attempt in (
        lambda: m.copying_scores(model, some),
        lambda: m.value_weighted_attention(model, some, "0.1", "v_o"),
        lambda: m.composition(model, "V", "0.1", "1.2"),
    ):
        with pytest.raises(MechcheckError, match="a norm stands behind each attention layer"):
            attempt()
    with pytest.raises(MechcheckError, match="queries and keys pass through norms"):
        m.composition(bridge("qwen3", "folded"), "Q", "0.1", "1.2")


@pytest.mark.parametrize(
    ("name", "settings", "what"),
    [
        ("gpt2", {"scale_attn_weights": False}, "attention scores that are not scaled"),
        ("opt", {"word_embed_proj_dim": 16}, "embeddings of another width"),
        ("opt", {"do_layer_norm_before": False}, "norms behind each part"),
    ],
)
def test_settings_that_would_be_computed_wrongly(tmp_path, monkeypatch, name, settings, what):
    monkeypatch.setitem(LAYOUTS, name, LAYOUTS[name]._replace(settings=LAYOUTS[name].settings | settings))
    with pytest.raises(m.MechcheckError, match=f"does not compute a {name} with {what}"):
        load_model(save_layout(name, tmp_path))
