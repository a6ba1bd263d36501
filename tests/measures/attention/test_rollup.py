"""Roll-ups against single measurements, and rollout against the paper's recursion in numpy on transformers' own attention."""

import numpy as np
import pytest
import torch
from test_patterns import own_patterns
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.measures.attention.patterns import attention_to
from mechcheck.measures.attention.rollup import attention_rollout, attention_rollup, rollout_to
from mechcheck.notation.interventions import Patch
from mechcheck.notation.sites import heads, resid

LENGTHS = (7, 9, 12, 9)
PAIRS = ((0, 1), (1, 0), (1, 2))


def test_every_number_is_an_attention(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    found = attention_rollup(model, prompts, heads(PAIRS, at="END"), ["B", "A"])
    assert (found.heads, found.layers, found.keys, found.values.shape) == (PAIRS, (0, 1), ("B", "A"), (3, 2, 4))
    for i, pair in enumerate(PAIRS):
        for j, key in enumerate("BA"):
            np.testing.assert_allclose(
                found.values[i, j], attention_to(model, prompts, heads([pair]), "END", key).values, rtol=0, atol=1e-12
            )
    whole = attention_to(model, prompts, heads(PAIRS), "END", "A")
    assert found.to("A").values == pytest.approx(whole.values, abs=1e-12)
    assert (found.to("A").ids, found.to("A").name) == (prompts.ids, "attention END to A")
    late = attention_to(model, prompts, "1.0 1.2", "END", "B")
    assert found.to("B", layer=1).values == pytest.approx(late.values, abs=1e-12)
    assert found.by_layer[1] == pytest.approx([late.mean, attention_to(model, prompts, "1.0 1.2", "END", "A").mean], abs=1e-12)
    assert found.by_layer[0, 1] == pytest.approx(found.values[0, 1].mean(), abs=1e-12)


def test_what_does_not_pass_the_threshold_counts_as_none(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    plain = attention_rollup(model, prompts, "0.0-2", ["A", "B"]).values
    limit = float(np.median(plain))
    passed = attention_rollup(model, prompts, "0.0-2", ["A", "B"], threshold=limit).values
    np.testing.assert_array_equal(passed, plain * (plain > limit))
    assert 0 < (passed == 0).sum() < passed.size


def recursion(patterns: np.ndarray, residual: float) -> np.ndarray:
    """[layer, q, k] of one prompt from [layer, head, q, k]."""
    so_far, found = np.eye(patterns.shape[-1]), []
    for layer in patterns:
        so_far = ((1 - residual) * layer.mean(0) + residual * np.eye(len(so_far))) @ so_far
        found.append(so_far)
    return np.array(found)


@pytest.mark.parametrize("residual", [0.5, 0.0, 0.8])
def test_rollout_is_the_papers_recursion(tiny, hugging_face, layout, residual):
    prompts = random_prompts(1, LENGTHS)
    patterns = own_patterns(hugging_face(layout), prompts)
    found = attention_rollout(tiny(layout, processing="raw"), prompts, residual)
    to_a = rollout_to(tiny(layout, processing="raw"), prompts, "END", "A", residual)
    for row, length in enumerate(LENGTHS):
        expected = recursion(patterns[:, row, :, :length, :length], residual)
        np.testing.assert_allclose(found[:, row, :length, :length], expected, rtol=0, atol=HUGGING_FACE[layout])
        np.testing.assert_allclose(found[:, row].sum(-1), [[1.0] * length + [0.0] * (12 - length)] * 2, rtol=0, atol=1e-6)
        assert to_a.values[row] == pytest.approx(expected[-1, -1, int(prompts.positions["A"][row])], abs=HUGGING_FACE[layout])


def test_rollout_without_mixing_stays_and_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    still = attention_rollout(model, prompts, residual=1.0)
    assert all((still[-1, row, :length, :length] == torch.eye(length)).all() for row, length in enumerate(LENGTHS))
    found, expected = (attention_rollout(model, some) for some in (with_other_padding(prompts, 9), prompts))
    torch.testing.assert_close(found[..., :12, :12], expected, rtol=0, atol=SAME_FORWARD[layout])
    assert not found[..., 12:].any()


def test_interventions_act_in_the_same_pass(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    other = attention_rollout(model, prompts, interventions=Patch(resid(0)))
    torch.testing.assert_close(other, attention_rollout(model, prompts.counterfactual), rtol=0, atol=SAME_FORWARD[layout])
    rolled = attention_rollup(model, prompts, "1.0", ["A"], interventions=Patch(resid(0)))
    assert rolled.values[0, 0] == pytest.approx(attention_to(model, prompts, "1.0", key="A", interventions=Patch(resid(0))).values)


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    found = attention_rollup(model, prompts, "1.0", ["A"])
    with pytest.raises(PromptError, match="no position 'B' was asked for; there are A"):
        found.to("B")
    with pytest.raises(SiteError, match="none of the chosen heads is in layer 0; there are layers 1"):
        found.to("A", layer=0)
    with pytest.raises(PromptError, match="no position 'IO'"):
        attention_rollup(model, prompts, "1.0", ["IO"])
    with pytest.raises(MechcheckError, match="attention is a share"):
        attention_rollup(model, prompts, "1.0", ["A"], threshold=1.0)
    with pytest.raises(MechcheckError, match="it is a share"):
        attention_rollout(model, prompts, residual=1.5)
