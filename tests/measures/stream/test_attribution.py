"""Direct logit attribution: the parts add up, each is what an explicit sum gives, and the scale stays fixed."""

import numpy as np
import plain
import pytest
import torch
from tiny import SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, ModelError
from mechcheck.engine.run import run
from mechcheck.measures.stream.attribution import _readout, direct_logit_attribution
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import Site, attn_outs, heads, mlps, neurons, resid, resid_post

LENGTHS = (7, 9, 12, 9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_parts_add_up_to_the_logit_difference(tiny, layout, dtype):
    model, prompts = tiny(layout, dtype=dtype), random_prompts(7, LENGTHS)
    found = direct_logit_attribution(model, prompts)
    assert found.head_values.shape == (2, model.cfg.n_heads, len(prompts))
    assert found.mlp_values.shape == (2, len(prompts))
    atol = 1e-4 if dtype == "float32" else SAME_FORWARD[layout]
    np.testing.assert_allclose(found.total.values, run(model, prompts).values, rtol=0, atol=atol)


def test_the_parts_are_those_of_the_hugging_face_model(tiny, hugging_face, layout):
    """Each part from the unprocessed model: what its own output projection writes, behind its own final norm at a fixed scale.

    Folding moves the constant part of the values into the attention bias, so it is no part of a head's.
    """
    prompts, model = random_prompts(7, LENGTHS), hugging_face(layout)
    found = direct_logit_attribution(tiny(layout), prompts)
    direction = fixed_scale_direction(model, prompts)
    for layer, block in enumerate(plain.blocks(model)):
        np.testing.assert_allclose(found.mlp_values[layer], mlp_part(model, layer, prompts, direction), rtol=0, atol=1e-5)
        for head in range(model.config.num_attention_heads):
            z = plain.activation(model, prompts, Site("head", layer, head)) - value_bias(block, head, model.config)
            part = (written(block, head, z, model.config)[rows(prompts), prompts.positions["END"]] * direction).sum(-1)
            np.testing.assert_allclose(found.head_values[layer, head], part, rtol=0, atol=1e-5)


def rows(prompts) -> torch.Tensor:
    return torch.arange(len(prompts))


def fixed_scale_direction(model, prompts) -> torch.Tensor:
    """[prompt, d_model]: gradient of the logit difference at END to the last stream, the norm's scale held fixed."""
    base = model.base_model
    norm = next(getattr(base, name) for name in ("ln_f", "final_layer_norm", "norm") if hasattr(base, name))
    last = Site("resid_post", model.config.num_hidden_layers - 1)
    stream = plain.activation(model, prompts, last)[rows(prompts), prompts.positions["END"]]
    centre = torch.eye(stream.shape[-1], dtype=torch.float64)
    if isinstance(norm, torch.nn.LayerNorm):
        centre = centre - 1 / stream.shape[-1]
    eps = norm.eps if isinstance(norm, torch.nn.LayerNorm) else norm.variance_epsilon
    scale = ((stream @ centre).pow(2).mean(-1, keepdim=True) + eps).sqrt()
    unembedding = model.get_output_embeddings().weight.detach()
    return ((unembedding[prompts.answers] - unembedding[prompts.foils]) * norm.weight.detach()) @ centre / scale


def mlp_part(model, layer: int, prompts, direction: torch.Tensor) -> torch.Tensor:
    out = plain.activation(model, prompts, Site("mlp_out", layer))
    return (out[rows(prompts), prompts.positions["END"]] * direction).sum(-1)


def written(block, head: int, z: torch.Tensor, config) -> torch.Tensor:
    """What the block's output projection makes of one head's z, without its bias."""
    project, d_head = plain._output_projection(block), config.hidden_size // config.num_attention_heads
    wide = torch.zeros(*z.shape[:-1], config.hidden_size, dtype=z.dtype)
    wide[..., head * d_head : (head + 1) * d_head] = z
    with torch.no_grad():
        return project(wide) - project(torch.zeros_like(wide))


def value_bias(block, head: int, config) -> torch.Tensor:
    """The constant part of the head's values: its bias, and what it makes of the bias of the norm before it. Zero for RMSNorm.

    Attention sums to 1, so it is a constant part of z too.
    """
    attention, d_head = plain._attention(block), config.hidden_size // config.num_attention_heads
    if hasattr(attention, "c_attn"):
        with torch.no_grad():
            return attention.c_attn(block.ln_1.bias[None])[0, 2 * config.hidden_size :].unflatten(-1, (-1, d_head))[head]
    if hasattr(attention, "query_key_value"):
        with torch.no_grad():
            return attention.query_key_value(block.input_layernorm.bias).unflatten(-1, (-1, 3 * d_head))[head, 2 * d_head :]
    return torch.zeros(d_head, dtype=torch.float64)


def test_the_scale_is_that_of_the_untouched_run(tiny, layout):
    """Zeroing an MLP of the last layer changes the scale of the final norm, and no other part."""
    model, prompts = tiny(layout), random_prompts(7, LENGTHS)
    base, changed = direct_logit_attribution(model, prompts), direct_logit_attribution(model, prompts, Ablate(mlps("1@END")))
    np.testing.assert_allclose(changed.head_values, base.head_values, rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(changed.mlp_values[0], base.mlp_values[0], rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_array_equal(changed.mlp_values[1], 0)
    np.testing.assert_array_equal(changed.bias_values, base.bias_values)
    rescaled = run(model, prompts, Ablate(mlps("1@END"))).values  # at its own scale, the logits tell another story
    assert np.abs(changed.total.values - rescaled).max() > 1e-3


def test_what_layer_norm_subtracts_is_no_effect(tiny, layout):
    """LayerNorm takes the mean out of the stream, whether or not the weights that write to it are centred; RMSNorm does not."""
    direction, _ = _readout(tiny(layout, processing="raw"), random_prompts(7, LENGTHS))
    assert bool((direction.mean(-1).abs() < 1e-12).all()) == (layout != "llama")


def test_interventions_change_what_they_touch(tiny, layout):
    model, prompts = tiny(layout), random_prompts(7, LENGTHS)
    base = direct_logit_attribution(model, prompts)
    zeroed = direct_logit_attribution(model, prompts, Ablate(heads("1.1")))
    np.testing.assert_array_equal(zeroed.heads.of("1.1").values, 0)
    np.testing.assert_allclose(zeroed.head_values[0], base.head_values[0], rtol=0, atol=SAME_FORWARD[layout])
    for change in (Patch(heads("0.0@A")), Patch(resid("1@A")), Ablate(neurons("0.0-9"))):
        assert np.abs(direct_logit_attribution(model, prompts, change).head_values - base.head_values).max() > 1e-6


@pytest.mark.parametrize("sites", [resid(1), resid("1@END"), resid_post(0), attn_outs("0@END")], ids=str)
def test_an_intervention_that_cuts_the_sum_is_an_error(tiny, sites):
    with pytest.raises(MechcheckError, match="replaces what heads wrote at END"):
        direct_logit_attribution(tiny("gpt2"), random_prompts(7, LENGTHS), Patch(sites))


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(7, LENGTHS)
    found = [direct_logit_attribution(model, some) for some in (prompts, with_other_padding(prompts, 9))]
    np.testing.assert_allclose(found[0].head_values, found[1].head_values, rtol=0, atol=SAME_FORWARD[layout])


def test_a_model_whose_parts_do_not_add_up_is_an_error(tiny, monkeypatch):
    model, prompts = tiny("gpt2"), random_prompts(7, LENGTHS)
    monkeypatch.setattr(
        "mechcheck.measures.stream.attribution._attention_bias", lambda model: torch.ones(24, dtype=torch.float64).cumsum(0)
    )
    with pytest.raises(MechcheckError, match="the parts differ from the logit difference"):
        direct_logit_attribution(model, prompts)


def test_only_folded_models(tiny, layout):
    with pytest.raises(MechcheckError, match='needs processing="folded"'):
        direct_logit_attribution(tiny(layout, processing="raw"), random_prompts(7, LENGTHS))


def test_only_bridges():
    class Unknown(torch.nn.Module):
        pass

    with pytest.raises(ModelError, match="this is a Unknown, not a loaded model"):
        direct_logit_attribution(Unknown(), random_prompts(7, LENGTHS))
