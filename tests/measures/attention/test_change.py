"""Changes between two statements against transformers' own attention and z, with scipy's correlation."""

from dataclasses import replace

import numpy as np
import plain
import pytest
from scipy.stats import pearsonr
from test_patterns import own_patterns
from tiny import HUGGING_FACE, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.measures.attention.change import attention_change, counterfactual_maps
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.value_weighted import row_cosines, value_weighted_attention
from mechcheck.models.loading import load_model
from mechcheck.notation.sites import Site
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import PromptSet

LENGTHS = (7, 9, 12, 9)


def test_the_four_numbers_are_those_of_hugging_face(tiny, hugging_face, layout):
    oracle, prompts = hugging_face(layout), random_prompts(1, LENGTHS)
    change = attention_change(tiny(layout, processing="raw"), prompts)
    before, after = (own_patterns(oracle, some) for some in (prompts, prompts.counterfactual))
    n_layers, n_heads = change.max_difference.values.shape[:2]
    assert (n_layers, n_heads) == (before.shape[0], before.shape[2])
    for layer in range(n_layers):
        for head in range(n_heads):
            site = Site("head", layer, head)
            z = [plain.activation(oracle, some, site).numpy() for some in (prompts, prompts.counterfactual)]
            for row, length in enumerate(LENGTHS):
                seen = np.tril_indices(length)
                a, b = (pattern[layer, row, head][seen] for pattern in (before, after))
                expected = (
                    np.max(np.abs(a - b)), np.mean(np.abs(a - b)), pearsonr(a, b).statistic,
                    pearsonr(*(one[row, :length].flatten() for one in z)).statistic,
                )  # fmt: skip
                found = [scores.values[layer, head, row] for scores in change]
                np.testing.assert_allclose(found, expected, rtol=0, atol=100 * HUGGING_FACE[layout])
    assert change.max_difference.ids == prompts.ids
    assert change.mean_difference.of("0.0 1.1").values == pytest.approx(change.mean_difference.values[[0, 1], [0, 1]].mean(0))
    assert [scores.name for scores in change] == [
        "largest change of attention", "mean change of attention", "correlation of patterns", "correlation of value outputs",
    ]  # fmt: skip


def test_a_statement_does_not_differ_from_itself(tiny, layout):
    prompts = random_prompts(1, LENGTHS)
    change = attention_change(tiny(layout), prompts, prompts)
    assert not change.max_difference.values.any()
    np.testing.assert_allclose(change.pattern_correlation.values, 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(change.value_correlation.values, 1, rtol=0, atol=1e-12)


def test_an_encoder_counts_both_directions():
    model = load_model("sentences-bert", processing="raw")
    texts, others = ["the box is not open", "it is open"], ["the box is very open", "it was open"]
    made = PromptSet.from_text(model, texts, counterfactual=others, pad=True)
    change = attention_change(model, made)
    a, b = (attention(model, some, "1.2")[1, 0, :5, :5].double() for some in (made, made.counterfactual))
    assert change.mean_difference.values[1, 2, 1] == pytest.approx(float((a - b).abs().mean()), abs=1e-7)
    assert change.pattern_correlation.values[1, 2, 1] == pytest.approx(pearsonr(a.flatten(), b.flatten()).statistic, abs=1e-5)
    assert float((a - b).abs().triu(1).max()) > 1e-4


def test_padding_changes_nothing(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    other = with_other_padding(prompts, 9)
    for found, expected in zip(attention_change(model, prompts, other.counterfactual), attention_change(model, prompts), strict=True):
        np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("weighted", ["norm", "cosine"])
def test_the_four_maps_of_a_head(tiny, weighted):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    maps = counterfactual_maps(model, prompts, "1.2 0.1@END", row=1, weighted=weighted)
    assert list(maps) == [(0, 1), (1, 2)]
    measure = value_weighted_attention if weighted == "norm" else row_cosines
    for i, pair in enumerate(maps):
        four = maps[pair]
        for figure, what, statements in (
            (four.original, attention, prompts), (four.counterfactual, attention, prompts.counterfactual),
            (four.original_weighted, measure, prompts), (four.counterfactual_weighted, measure, prompts.counterfactual),
        ):  # fmt: skip
            np.testing.assert_allclose(figure.values, what(model, statements, "0.1 1.2")[1, i, :9, :9], rtol=0, atol=1e-9)
            assert figure.rows == figure.cols == token_labels(statements, 1)
            assert figure.data()["kind"] == "heatmap"
        assert len({figure.title for figure in four}) == 4
        assert all(figure.title.startswith(f"{pair[0]}.{pair[1]} ") for figure in four)
        plain, by_value = four.compared()
        assert list(plain.figures.values()) == [four.original, four.counterfactual]
        assert list(by_value.figures.values()) == [four.original_weighted, four.counterfactual_weighted]
        assert list(plain.figures) == list(by_value.figures) == ["original", "counterfactual"]
        assert plain.title == f"{pair[0]}.{pair[1]} share of attention"


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    with pytest.raises(PromptError, match="nothing to compare with"):
        attention_change(model, replace(prompts, counterfactual=None))
    with pytest.raises(PromptError, match="2 statements to compare with 4"):
        attention_change(model, prompts, prompts[:2])
    with pytest.raises(PromptError, match="prompt 1 has 9 tokens and the one to compare it with 8"):
        attention_change(model, prompts, random_prompts(1, (7, 8, 12, 9)))
    with pytest.raises(MechcheckError, match='choose "norm" or "cosine"'):
        counterfactual_maps(model, prompts, "0.1", weighted="z")
    with pytest.raises(PromptError, match="no prompt 4"):
        counterfactual_maps(model, prompts, "0.1", row=4)
