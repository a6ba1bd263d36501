"""Every hook holds what the sites mean that are cut out of it, or they are refused."""

import pytest
import torch
from random_models import save_random
from tiny import random_prompts

import mechcheck as m
from mechcheck.base.errors import HookError, SiteError
from mechcheck.conformance.layouts import LAYOUTS, N_HEADS, save_layout
from mechcheck.engine.run import capture
from mechcheck.models import agreement
from mechcheck.models.loading import load_model, reinitialised
from mechcheck.notation.sites import HEAD_KINDS, INDEXED, Kind, Site
from mechcheck.prompts.prompt_set import PromptSet

_MOE = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
_MLA = _MOE | {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "num_key_value_heads": 4}
MLA = {
    "DeepseekV3Config": _MLA | {"first_k_dense_replace": 1},
    "DeepseekV2Config": _MLA | {"first_k_dense_replace": 1, "topk_method": "greedy"},
    "Glm4MoeLiteConfig": _MLA,
}


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
def test_every_site_holds_what_it_means_or_is_refused(name, tmp_path):
    """Activations have the prompts' shape and the width that belongs to the kind of site, on prompts of a length of their own."""
    if name in MLA:
        save_random(name, tmp_path, **MLA[name], v_head_dim=6)
    model = load_model(tmp_path if name in MLA else save_layout(name, tmp_path), processing="raw")
    prompts, served = PromptSet.from_tokens([[1, 5, 6, 7, 2], [1, 6, 7, 5, 2]], answers=[3, 3], foils=[4, 4]), set()
    for kind in Kind.__args__:
        index = 1 if kind in INDEXED else None
        width = {"neuron": 1, "pattern": 5}.get(kind, model.cfg.d_head if kind in HEAD_KINDS else model.cfg.d_model)
        try:
            (found,) = capture(model, prompts, m.Sites([Site(kind, 1, index)])).values()
        except (SiteError, HookError):
            continue
        served.add(kind)
        assert found.shape == (2, 5, width)
    assert {"head", "v", "mlp_out", "resid_pre", "resid_post"} <= served
    assert name in MLA or {"q", "k", "neuron"} <= served
    if name in MLA:
        with pytest.raises(SiteError, match="mixtures of experts"):
            capture(model, prompts, m.mlp_hidden("1"))
    else:
        (found,) = capture(model, prompts, m.mlp_hidden("1")).values()
        assert found.shape == (2, 5, 20)


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


def test_a_twin_has_the_limits_of_its_model(tmp_path):
    save_random("DeepseekV3Config", tmp_path, **MLA["DeepseekV3Config"], v_head_dim=6)
    twin = reinitialised(load_model(tmp_path), 0)
    prompts = PromptSet.from_tokens([[1, 5, 6, 7, 2]], answers=[3], foils=[4])
    assert next(iter(capture(twin, prompts, m.heads("1.3")).values())).shape == (1, 5, 6)
    with pytest.raises(SiteError, match="hook_q holds"):
        capture(twin, prompts, m.queries("1.1"))
    assert twin.cfg.n_heads == N_HEADS


def test_a_bridge_that_somebody_made_otherwise(tmp_path):
    """Nothing was looked at when it was made, so it is looked at when it is used."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM

    save_random("DeepseekV3Config", tmp_path, **MLA["DeepseekV3Config"], v_head_dim=8)
    own = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    model = TransformerBridge.boot_transformers(str(tmp_path), hf_model=own, tokenizer=m.load_model("names-gpt2-seed4").tokenizer)
    prompts = PromptSet.from_tokens([[1, 5, 6, 7, 2]], answers=[3], foils=[4])
    assert capture(model, prompts, m.attn_outs("1"))
    for site in (m.heads("1.1"), m.values("1.1"), m.queries("1.1")):
        with pytest.raises(SiteError, match=r"hook_[zvq] holds activations of shape \[1, \d, \d, \d\] where \[prompt, pos, head, d_head\]"):
            m.run(model, prompts, m.Ablate(site, "zero"))
