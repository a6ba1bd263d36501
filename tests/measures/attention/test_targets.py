"""Head scores against loops over transformers' own attentions, with wrong scores that the comparison must tell apart."""

import numpy as np
import pytest
import torch
from test_patterns import own_patterns
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.measures.attention.targets import (
    duplicate_token_scores,
    induction_scores,
    prefix_matching_scores,
    previous_token_scores,
    target_scores,
)
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import heads, mlps, resid
from mechcheck.tasks.induction import repeated_tokens


def previous(tokens: list[int], q: int) -> list[int]:
    return [q - 1] if q else []


def duplicates(tokens: list[int], q: int) -> list[int]:
    return [k for k in range(q) if tokens[k] == tokens[q]]


def after_last(tokens: list[int], q: int) -> list[int]:
    earlier = duplicates(tokens, q)
    return [k + 1 for k in earlier[-1:] if k + 1 < q]


def after_any(tokens: list[int], q: int) -> list[int]:
    return [k + 1 for k in duplicates(tokens, q) if k + 1 < q]


SCORES = {
    previous_token_scores: previous,
    duplicate_token_scores: duplicates,
    induction_scores: after_last,
    prefix_matching_scores: after_any,
}


def by_loops(patterns: np.ndarray, prompts, targets_of) -> np.ndarray:
    """[layer, head, prompt] from [layer, prompt, head, q, k], one query at a time."""
    scores = np.zeros((*patterns.shape[:1], patterns.shape[2], len(prompts)))
    for row, length in enumerate(prompts.lengths.tolist()):
        tokens = prompts.tokens[row, :length].tolist()
        masses = [sum(patterns[:, row, :, q, k] for k in targets_of(tokens, q)) for q in range(length) if targets_of(tokens, q)]
        scores[:, :, row] = np.mean(masses, axis=0)
    return scores


@pytest.fixture(scope="module")
def prompts():
    """Repetitive prompts of several lengths: six different tokens only, so doubles stand side by side too."""
    return random_prompts(2, (14, 11, 12, 14), alphabet=9)


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
def test_scores_are_those_of_a_loop_over_hugging_face_attentions(tiny, hugging_face, layout, prompts, score):
    found = score(tiny(layout, processing="raw"), prompts)
    expected = by_loops(own_patterns(hugging_face(layout), prompts), prompts, SCORES[score])
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=HUGGING_FACE[layout])
    np.testing.assert_allclose(found.mean, expected.mean(-1), rtol=0, atol=HUGGING_FACE[layout])


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
def test_the_comparison_tells_wrong_scores_apart(tiny, layout, prompts, score):
    """A constant 1 / length is not attention to targets; neither are the other three scores."""
    right = score(tiny(layout), prompts).values
    constant = np.broadcast_to(1 / prompts.lengths.numpy(), right.shape)
    others = [other(tiny(layout), prompts).values for other in SCORES if other is not score]
    for wrong in (constant, *others, right[:, ::-1], right[::-1]):
        assert np.abs(wrong - right).max() > 1e-3


def test_repeated_tokens_have_one_target_each(tiny, layout):
    """On repeated random tokens the targets are known in advance: NEXT for END, and so on backwards."""
    model = tiny(layout)
    prompts = repeated_tokens(model, n=4, length=8, seed=3)
    mask = torch.zeros(4, prompts.tokens.shape[1], prompts.tokens.shape[1], dtype=torch.bool)
    for step in range(4):
        mask[:, 12 - step, 5 - step] = True
    assert prompts.positions["NEXT"].tolist() == [5] * 4
    expected = target_scores(model, prompts, mask).values
    for score in (induction_scores, prefix_matching_scores):
        np.testing.assert_allclose(score(model, prompts).values, expected, rtol=0, atol=1e-12)


def test_targets_outside_the_prompt_do_not_count(tiny, layout, prompts):
    model, width = tiny(layout), prompts.tokens.shape[1]
    everything = torch.ones(len(prompts), width, width, dtype=torch.bool)
    np.testing.assert_allclose(target_scores(model, prompts, everything).values, 1, rtol=0, atol=1e-6)
    base = induction_scores(model, prompts).values
    np.testing.assert_allclose(induction_scores(model, with_other_padding(prompts, 4)).values, base, rtol=0, atol=SAME_FORWARD[layout])


def test_interventions_act_in_the_same_pass(tiny, layout, prompts):
    model = tiny(layout)
    base = previous_token_scores(model, prompts).values
    silenced = previous_token_scores(model, prompts, Ablate(mlps("0"))).values
    np.testing.assert_allclose(silenced[0], base[0], rtol=0, atol=SAME_FORWARD[layout])
    assert np.abs(silenced[1] - base[1]).max() > 1e-3
    swapped = previous_token_scores(model, prompts, Patch(resid(0))).values
    np.testing.assert_allclose(swapped, previous_token_scores(model, prompts.counterfactual).values, rtol=0, atol=SAME_FORWARD[layout])


def test_of_and_top():
    values = np.array([[[0.1, 0.3], [0.9, 0.7]], [[0.5, 0.1], [0.2, 0.2]]])
    scores = HeadScores(values, ("p", "q"), ("t", "u"), "score", "share")
    assert scores.top(2) == ((0, 1), (1, 0))
    assert [*map(str, heads(scores.top(2)))] == ["0.1", "1.0"]
    measured = scores.of("0.1 1.0@END 1.0")
    np.testing.assert_allclose(measured.values, [0.7, 0.4])
    assert (measured.ids, measured.templates, measured.name, measured.unit) == (("p", "q"), ("t", "u"), "score", "share")
    with pytest.raises(SiteError, match=r"no head 2\.0: the scores are of layers 0-1, heads 0-1"):
        scores.of("2.0")
    with pytest.raises(SiteError, match="no heads are given"):
        scores.of("")


def test_errors(tiny):
    model = tiny("gpt2")
    prompts = random_prompts(2, (6, 6))
    distinct = type(prompts).from_tokens([[1, 5, 6, 5], [1, 5, 6, 7]], answers=[3, 3], foils=[4, 4])
    with pytest.raises(PromptError, match="prompt 1 has no target, so it has no score for induction score"):
        induction_scores(model, distinct)
    with pytest.raises(PromptError, match=r"expected \[prompt, q, k\] = \(2, 6, 6\)"):
        target_scores(model, prompts, torch.ones(2, 6, dtype=torch.bool))
