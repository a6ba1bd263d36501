"""Retrieval scores against a loop over transformers' own attentions, one prompt at a time and without padding."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import HUGGING_FACE, with_other_padding

from mechcheck.base.errors import ModelError, PromptError
from mechcheck.measures.attention.retrieval import retrieval_scores
from mechcheck.prompts.prompt_set import PromptSet

# Four different tokens, so that heads that know nothing often attend to an equal one.
ROWS = ([1, 5, 6, 7, 8, 5, 6, 5, 7, 8, 6], [1, 8, 5, 7, 6, 6, 8, 5], [1, 6, 7, 5, 8, 7, 5, 6, 8, 6], [1, 7, 7, 5, 8, 6, 5])
NEEDLES = ([2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5], [3, 4, 5, 6, 7], [2])
ANSWERS = ((6, 7, 8, 5), (5, 7, 6), (8, 7, 5, 6, 8), (7,))
Counts = Callable[[int, int, int], bool]
"""(row, key, token that is said) -> whether that is a hit."""


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    return PromptSet.from_tokens(ROWS, answers=ANSWERS, foils=[(9,)] * 4, positions={"NEEDLE": NEEDLES}, templates=list("abab"), pad=0)


def in_needle(row: int, key: int, said: int) -> bool:
    return key in NEEDLES[row] and [*ROWS[row], *ANSWERS[row]][key] == said


def by_loops(model, counts: Counts = in_needle, shift: int = 0) -> np.ndarray:
    """[layer, head, prompt], one token of one answer at a time."""
    found = []
    for row, (tokens, answer) in enumerate(zip(ROWS, ANSWERS, strict=True)):
        with torch.no_grad():
            patterns = model(torch.tensor([[*tokens, *answer]]), output_attentions=True).attentions
        hits = [
            [
                [counts(row, int(head[len(tokens) - 1 + step + shift].argmax()), said) for step, said in enumerate(answer)]
                for head in layer[0]
            ]
            for layer in patterns
        ]
        found.append(np.mean(hits, axis=-1))
    return np.stack(found, axis=-1)


def test_scores_are_those_of_a_loop_over_hugging_face_attentions(tiny, hugging_face, layout, prompts):
    found, expected = retrieval_scores(tiny(layout, processing="raw"), prompts), by_loops(hugging_face(layout))
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=HUGGING_FACE[layout])
    assert 0 < expected.mean() < 1
    assert (found.ids, found.templates, found.name, found.unit) == (prompts.ids, prompts.templates, "retrieval score", "share of tokens")


def test_the_comparison_tells_wrong_scores_apart(tiny, hugging_face, layout, prompts):
    """Any token of the needle, an equal token anywhere, and attention from the token itself and not from where it is predicted."""
    found, model = retrieval_scores(tiny(layout), prompts).values, hugging_face(layout)
    anywhere = by_loops(model, lambda row, key, said: [*ROWS[row], *ANSWERS[row]][key] == said)
    for wrong in (by_loops(model, lambda row, key, _: key in NEEDLES[row]), anywhere, by_loops(model, shift=1)):
        assert np.abs(wrong - found).max() > 0.1


def test_padding_and_other_prompts_change_nothing(tiny, layout, prompts):
    model = tiny(layout)
    found = retrieval_scores(model, prompts).values
    np.testing.assert_array_equal(retrieval_scores(model, with_other_padding(prompts, 6)).values, found)
    for row in range(4):
        np.testing.assert_array_equal(retrieval_scores(model, prompts[[row]]).values[..., 0], found[..., row])


def test_what_is_broken_has_no_score(own_model, prompts):
    with torch.no_grad():
        own_model.blocks[1].attn.k.original_component.bias.fill_(torch.nan)
    found = retrieval_scores(own_model, prompts).values
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_errors(tiny, prompts):
    model = tiny("gpt2")
    with pytest.raises(PromptError, match="no position 'STACK'; these prompts have END, NEEDLE"):
        retrieval_scores(model, prompts, "STACK")
    several = PromptSet.from_tokens([[1, 5, 6]], answers=[[(5, 6), (6,)]], positions={"NEEDLE": [1]})
    with pytest.raises(PromptError, match="prompt 0 has 2 right answers, and a retrieval score is of one"):
        retrieval_scores(model, several)
    with pytest.raises(PromptError, match=r"these prompts have no answers"):
        retrieval_scores(model, PromptSet.from_tokens([[1, 5, 6]], positions={"NEEDLE": [1]}))
    early = replace(prompts, positions={**prompts.positions, "END": prompts.lengths - 2})
    with pytest.raises(PromptError, match="END is position 9 of prompt 0, whose last token is 10"):
        retrieval_scores(model, early)
    with pytest.raises(ModelError, match="reads both ways, and so predicts no next token: retrieval_scores takes a decoder"):
        retrieval_scores(tiny("bert"), PromptSet.from_tokens([[1, 5, 6]], answers=[5], positions={"NEEDLE": [1]}))
    long = PromptSet.from_tokens([[1] * 31], answers=[(5, 6)], positions={"NEEDLE": [1]})
    with pytest.raises(PromptError, match="has 33 tokens, and this model sees 32 at most"):
        retrieval_scores(model, long)
