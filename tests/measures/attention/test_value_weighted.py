"""Value-weighted attention against the Hugging Face modules' own projections, and the cosines against numpy."""

import numpy as np
import plain
import pytest
import torch
from plain import value_vectors
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.engine.run import capture
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.value_weighted import row_cosines, value_weighted_attention
from mechcheck.models.loading import load_model, provenance
from mechcheck.notation.interventions import Ablate, Scale
from mechcheck.notation.sites import heads, mlps, values
from mechcheck.prompts.prompt_set import PromptSet

LENGTHS = (7, 9, 12, 9)
PAIRS = ((0, 1), (1, 0), (1, 2))


def by_hugging_face(model, prompts, through: str) -> np.ndarray:
    """[prompt, head, q, k]: transformers' own pattern times the norm of the value, or of what the output projection makes of it."""
    config = model.config
    n_heads, d_head = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    group = n_heads // getattr(config, "num_key_value_heads", n_heads)
    with torch.no_grad():
        patterns = model(prompts.tokens, output_attentions=True).attentions
    found = []
    for layer, head in PAIRS:
        block = plain.blocks(model)[layer]
        carried = value_vectors(model, block, prompts)[:, :, head // group]
        if through == "v_o":
            project, whole = plain._output_projection(block), torch.zeros(*carried.shape[:2], n_heads * d_head, dtype=torch.float64)
            whole[..., head * d_head : (head + 1) * d_head] = carried
            with torch.no_grad():
                carried = project(whole) - project(torch.zeros_like(whole))
        found.append(patterns[layer][:, head] * carried.norm(dim=-1)[:, None, :])
    return torch.stack(found, dim=1).detach().numpy()


@pytest.mark.parametrize("through", ["v", "v_o"])
def test_maps_are_attention_times_the_norm_of_what_is_carried(tiny, hugging_face, layout, through):
    prompts = random_prompts(1, LENGTHS)
    expected = by_hugging_face(hugging_face(layout), prompts, through)
    found = value_weighted_attention(tiny(layout, processing="raw"), prompts, heads(PAIRS), through)
    assert found.shape == (4, 3, 12, 12)
    for row, length in enumerate(LENGTHS):
        inside = (row, slice(None), slice(length), slice(length))
        np.testing.assert_allclose(found[inside], expected[inside], rtol=0, atol=50 * HUGGING_FACE[layout])
        assert not found[row, :, length:].any()
        assert not found[row, :, :, length:].any()
    assert expected.max() > 0.5


def test_positions_in_the_sites_and_the_order_do_not_matter(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    both = [value_weighted_attention(model, prompts, sites) for sites in ("1.2@END 0.1", heads("0.1 1.2@A"))]
    torch.testing.assert_close(*both, rtol=0, atol=0)


def test_interventions_act_in_the_same_pass(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    clean = value_weighted_attention(model, prompts, "0.1")
    doubled = value_weighted_attention(model, prompts, "0.1", interventions=Scale(values("0.0-1"), -2.0))
    torch.testing.assert_close(doubled, 2 * clean, rtol=0, atol=100 * SAME_FORWARD[layout])
    later = value_weighted_attention(model, prompts, "1.1", interventions=Ablate(mlps("0")))
    assert (later - value_weighted_attention(model, prompts, "1.1")).abs().max() > 1e-3


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    for measure in (value_weighted_attention, row_cosines):
        found, expected = (measure(model, some, "0.0 1.1") for some in (with_other_padding(prompts, 9), prompts))
        torch.testing.assert_close(found[..., :12, :12], expected, rtol=0, atol=100 * SAME_FORWARD[layout])
        assert not found[..., 12:].any()


@pytest.mark.parametrize("of", ["pattern", "z", "z_o"])
def test_cosines_are_those_of_rows(tiny, layout, of):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    found = row_cosines(model, prompts, "1.2", of)[:, 0]
    (site,) = heads("1.2")
    rows = attention(model, prompts, "1.2")[:, 0] if of == "pattern" else capture(model, prompts, heads("1.2"))[site]
    if of == "z_o":
        rows = rows @ model.W_O[1, 2]
    for row, length in enumerate(LENGTHS):
        for q in range(length):
            for q2 in range(length):
                a, b = rows[row, q].numpy(), rows[row, q2].numpy()
                expected = a @ b / np.sqrt((a @ a) * (b @ b))
                assert found[row, q, q2] == pytest.approx(expected, abs=max(1e-12, 100 * SAME_FORWARD[layout]))
        assert not found[row, length:].any()


def test_a_row_of_zeros_has_no_direction(tiny):
    found = row_cosines(tiny("gpt2"), random_prompts(1, LENGTHS), "1.2", interventions=Ablate(heads("1.2@A")))
    prompts = random_prompts(1, LENGTHS)
    for row, a in enumerate(prompts.positions["A"].tolist()):
        assert found[row, 0, a, : LENGTHS[row]].isnan().all()
        assert found[row, 0].isnan().sum() == 2 * LENGTHS[row] - 1


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    with pytest.raises(SiteError, match="no heads are given"):
        value_weighted_attention(model, prompts, "")
    with pytest.raises(MechcheckError, match='choose "v" or "v_o"'):
        value_weighted_attention(model, prompts, "0.0", "o")
    with pytest.raises(MechcheckError, match='choose "pattern", "z" or "z_o"'):
        row_cosines(model, prompts, "0.0", "v")


def test_an_encoder_of_two_directions():
    """BERT: padding is masked for keys on both sides, and the output projection is found although attn_out hides it."""
    from transformers import AutoModelForMaskedLM

    model = load_model("sentences-bert", processing="raw")
    oracle = AutoModelForMaskedLM.from_pretrained(provenance(model).directory, attn_implementation="eager").eval()
    texts = ["the box is not open", "it is open"]
    prompts = PromptSet.from_text(model, texts, pad=True)
    mask = torch.arange(prompts.tokens.shape[1])[None] < prompts.lengths[:, None]
    values = []
    attention = oracle.bert.encoder.layer[1].attention
    handle = attention.self.value.register_forward_hook(lambda _, args, out: values.append(out.unflatten(-1, (4, -1))))
    with torch.no_grad():
        pattern = oracle(prompts.tokens, attention_mask=mask.long(), output_attentions=True).attentions[1]
    handle.remove()
    for head in range(4):
        weight = attention.output.dense.weight[:, 16 * head : 16 * (head + 1)].detach()
        sizes = {"v": values[0][:, :, head].norm(dim=-1), "v_o": (values[0][:, :, head] @ weight.T).norm(dim=-1)}
        for through, size in sizes.items():
            found = value_weighted_attention(model, prompts, heads([(1, head)]), through)[:, 0]
            expected = pattern[:, head] * size[:, None, :] * mask[:, None, :] * mask[:, :, None]
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-5)
