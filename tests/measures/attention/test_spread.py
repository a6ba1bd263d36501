"""Distance and entropy of attention, counted in loops over what the Hugging Face model returns."""

import numpy as np
import pytest
import torch
from tiny import HUGGING_FACE, random_prompts

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.measures.attention.spread import attention_distance, attention_entropy, layer_mean, layer_trend
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet

PROMPTS = random_prompts(7, (7, 9, 12))


def patterns(oracle):
    """[layer, prompt, head, q, k]"""
    with torch.no_grad():
        return torch.stack(oracle(PROMPTS.tokens, output_attentions=True).attentions).double().numpy()


def counted(pattern, first):
    """Distance and entropy of one head on one prompt, [q, k] of its tokens."""
    mass = far = entropy = 0.0
    for q, row in enumerate(pattern):
        for k, share in enumerate(row[: q + 1]):
            entropy -= share * np.log(share)
            if k or first:
                mass += share
                far += share * (q - k)
    return far / mass, entropy / len(pattern)


@pytest.mark.parametrize("first", [True, False])
def test_distance_and_entropy_are_counted_right(tiny, hugging_face, layout, first):
    model, found = tiny(layout, processing="raw"), patterns(hugging_face(layout))
    distance, entropy = attention_distance(model, PROMPTS, first=first), attention_entropy(model, PROMPTS)
    for layer, head, row in np.ndindex(*distance.values.shape):
        length = int(PROMPTS.lengths[row])
        expected = counted(found[layer, row, head, :length, :length], first)
        got = (distance.values[layer, head, row], entropy.values[layer, head, row])
        np.testing.assert_allclose(got, expected, rtol=0, atol=10 * HUGGING_FACE[layout])
    assert (distance.unit, entropy.unit, distance.ids) == ("tokens", "nats", PROMPTS.ids)


def test_under_interventions(tiny):
    model, ablation = tiny("gpt2"), Ablate(heads("0.0-2"), "zero")
    for measure in (attention_distance, attention_entropy):
        before, after = measure(model, PROMPTS).values, measure(model, PROMPTS, ablation).values
        np.testing.assert_allclose(before[0], after[0], atol=1e-12)
        assert np.abs(before[1] - after[1]).max() > 1e-3


def test_nothing_but_the_first_token_has_no_distance(tiny):
    only = PromptSet.from_tokens([[1]], answers=[4], foils=[5])
    assert np.isnan(attention_distance(tiny("gpt2"), only).values).all()
    assert (attention_distance(tiny("gpt2"), only, first=True).values == 0).all()
    assert (attention_entropy(tiny("gpt2"), only).values == 0).all()


def scores(layers):
    """Two heads that average to the given [layer][prompt]."""
    middle = np.array(layers, dtype=float)
    return HeadScores(np.stack([middle - 1, middle + 1], axis=1), ("a", "b", "c"), ("s", "t", "t"), "distance", "tokens")


def test_layer_means():
    found = layer_mean(scores([[1, 2, 3], [4, 5, 6]]), 1)
    assert found.values.tolist() == [4, 5, 6]
    assert (found.name, found.unit, found.templates) == ("distance in layer 1", "tokens", ("s", "t", "t"))
    with pytest.raises(SiteError, match="no layer 2: the scores are of layers 0-1"):
        layer_mean(scores([[1, 2, 3], [4, 5, 6]]), 2)


def test_trend_is_a_rank_correlation():
    """1 2 3 4 against: the same order; its reverse; 2 1 4 3, whose squared rank differences add up to 4: 1 - 6 * 4 / 60."""
    found = layer_trend(scores([[1, 9, 2], [1.5, 8, 1], [7, 3, 400], [8, 1, 3]]))
    np.testing.assert_allclose(found.values, [1, -1, 0.6])
    assert found.unit == "correlation"


def test_trend_of_ties_and_of_nothing():
    found = layer_trend(scores([[5, 1, np.nan], [5, 2, 1], [5, 2, 2]]))
    assert np.isnan(found.values[[0, 2]]).all()
    assert found.values[1] == pytest.approx(np.corrcoef([1, 2, 3], [1, 2.5, 2.5])[0, 1])


def test_two_layers_are_no_trend():
    with pytest.raises(MechcheckError, match="needs 3 layers or more"):
        layer_trend(scores([[1, 2, 3], [4, 5, 6]]))
