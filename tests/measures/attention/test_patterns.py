"""Attention against transformers' own output_attentions, and interventions in the same forward pass."""

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.measures.attention.patterns import attention, attention_to, attention_to_positions
from mechcheck.notation.interventions import Ablate, KnockOut, Patch
from mechcheck.notation.sites import heads, mlps, patterns, resid

LENGTHS = (7, 9, 12, 9)


def own_patterns(model, prompts) -> np.ndarray:
    """[layer, prompt, head, q, k] as transformers returns them."""
    with torch.no_grad():
        return torch.stack(model(prompts.tokens, output_attentions=True).attentions).numpy()


@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_patterns_are_those_of_hugging_face(tiny, hugging_face, layout, processing):
    prompts, expected = random_prompts(1, LENGTHS), own_patterns(hugging_face(layout), random_prompts(1, LENGTHS))
    found = attention(tiny(layout, processing=processing), prompts, heads("1.2 0.1@END 1.0"))
    atol = max(HUGGING_FACE[layout], 1e-5 if processing == "folded" else 0)  # weights are folded in float32
    assert found.shape == (4, 3, 12, 12)
    for row, length in enumerate(LENGTHS):
        for i, (layer, head) in enumerate([(0, 1), (1, 0), (1, 2)]):
            np.testing.assert_allclose(found[row, i, :length, :length], expected[layer, row, head, :length, :length], rtol=0, atol=atol)
        assert not found[row, :, length:].any()
        assert not found[row, :, :, length:].any()
        torch.testing.assert_close(found[row, :, :length].sum(-1), torch.ones(3, length, dtype=found.dtype), rtol=0, atol=1e-6)


def test_attention_to_is_the_mean_over_heads(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    patterns = attention(model, prompts, "0.1 1.2")
    expected = [patterns[row, :, length - 1, a].mean() for row, (length, a) in enumerate(zip(LENGTHS, prompts.positions["A"], strict=True))]
    for sites in ("0.1 1.2", heads("1.2@END 0.1 0.1@A")):
        measured = attention_to(model, prompts, sites, query="END", key="A")
        np.testing.assert_allclose(measured.values, expected, rtol=0, atol=1e-12)
    assert measured.ids == prompts.ids
    assert (measured.name, measured.unit) == ("attention END to A", "share of attention")
    backwards = attention_to(model, prompts, "0.1 1.2", query="A", key="END")  # A stands before END
    np.testing.assert_array_equal(backwards.values, 0)


def test_attention_to_positions_is_attention_to_for_each_head(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    found = attention_to_positions(model, prompts, "B", ["A", "B"])
    n_heads = model.cfg.n_heads
    assert found.shape == (2, n_heads, 2, len(prompts))
    for layer in range(2):
        for head in range(n_heads):
            for i, key in enumerate("AB"):
                one = attention_to(model, prompts, heads([(layer, head)]), "B", key)
                np.testing.assert_allclose(found[layer, head, i], one.values, rtol=0, atol=SAME_FORWARD[layout])


def test_interventions_act_in_the_same_pass(tiny, hugging_face, layout):
    prompts, oracle = random_prompts(1, LENGTHS), hugging_face(layout)
    model, silenced = tiny(layout, processing="raw"), mlps("0")
    (site,) = silenced
    handle = plain.attach(oracle, site, torch.zeros_like)
    expected = own_patterns(oracle, prompts)
    handle.remove()
    found = attention_to_positions(model, prompts, "END", ["A"], Ablate(silenced))
    rows = range(len(prompts))
    at = [expected[:, row, :, LENGTHS[row] - 1, int(prompts.positions["A"][row])] for row in rows]
    np.testing.assert_allclose(found[:, :, 0], np.stack(at, -1), rtol=0, atol=HUGGING_FACE[layout])
    assert np.abs(found[1] - attention_to_positions(model, prompts, "END", ["A"])[1]).max() > 1e-3
    whole = attention(model, prompts, "0.0 1.1", Patch(resid(0)))
    torch.testing.assert_close(whole, attention(model, prompts.counterfactual, "0.0 1.1"), rtol=0, atol=SAME_FORWARD[layout])


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    padded = with_other_padding(prompts, 9)
    found = attention(model, padded, "0.0 1.1")
    torch.testing.assert_close(found[..., :12, :12], attention(model, prompts, "0.0 1.1"), rtol=0, atol=SAME_FORWARD[layout])
    assert not found[..., 12:].any()


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    with pytest.raises(SiteError, match="no heads are given"):
        attention(model, prompts, "")
    with pytest.raises(SiteError, match="expected sites of kind head, got mlp 0"):
        attention_to(model, prompts, mlps("0"), key="A")
    with pytest.raises(SiteError, match=r"no layer 7"):
        attention_to(model, prompts, "7.0", key="A")
    with pytest.raises(PromptError, match="no position 'IO'"):
        attention_to(model, prompts, "0.0")


def test_a_query_that_is_left_with_no_key_attends_to_nothing(tiny, layout):
    """Knocked out or zeroed, a row is zero, and not told as a fault of the model's; other heads' rows are as they were."""
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    for done in (Ablate(patterns("0.1"), "zero"), KnockOut(patterns("0.1@A"), "B", only=True)):  # B stands behind A
        found = attention(model, prompts, "0.0-1", done)
        assert not found.isnan().any()
        row, at = 0, int(prompts.positions["A"][0])
        assert not found[row, 1, at].any()
        torch.testing.assert_close(found[:, 0], attention(model, prompts, "0.0")[:, 0], rtol=0, atol=1e-6)
        measured = attention_to(model, prompts, "0.1", query="A", key="A", interventions=done)
        np.testing.assert_array_equal(measured.values, 0)
        assert not np.isnan(attention_to_positions(model, prompts, "A", ["A"], done)).any()
