"""From what tokens score to one number per prompt, by hand."""

import math

import pytest
import torch

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.notation.metrics import correct, log_odds, log_probability, probability, rank
from mechcheck.notation.whole_answers import Scores, best, check_over, is_token, log_likelihood, said
from mechcheck.prompts.prompt_set import PromptSet

CANDIDATES = (((1, 2), (3,)), ((4,),))
REAL = is_token(CANDIDATES)


def scored(first, second, third) -> Scores:
    """Of the tokens 1 and 2, of 3, and of 4."""
    return Scores(torch.tensor([[first, [second, 0.0]], [[third, 0.0], [0.0, 0.0]]], dtype=torch.float64), REAL)


def test_where_tokens_are():
    assert REAL.tolist() == [[[True, True], [True, False]], [[True, False], [False, False]]]


def test_log_likelihoods():
    scores = scored([-1.0, -2.0], -0.5, -4.0)
    assert log_likelihood(scores).tolist() == pytest.approx([math.log(math.exp(-3) + math.exp(-0.5)), -4])
    assert log_likelihood(scores, "mean").tolist() == pytest.approx([(-3 - 0.5) / 2, -4])
    assert log_likelihood(scores, "per token").tolist() == pytest.approx([(-1.5 - 0.5) / 2, -4])
    many = Scores(torch.stack([scores.values, 2 * scores.values]), REAL)
    assert log_likelihood(many, "mean").tolist() == [pytest.approx([-1.75, -4]), pytest.approx([-3.5, -8])]
    assert log_likelihood(scored([-1.0, math.nan], -0.5, -4.0)).isnan().tolist() == [True, False]


def test_ranks():
    assert said(scored([0.0, 0.0], 3.0, 0.0)).tolist() == [1, 1]
    assert said(scored([0.0, 1.0], 3.0, 2.0)).tolist() == [0, 0]
    assert said(scored([5.0, 1.0], 0.0, 2.0)).tolist() == [1, 0]
    assert said(scored([5.0, math.nan], 0.0, 2.0)).isnan().tolist() == [True, False]
    ones = Scores(torch.tensor([[[4.0], [2.0]], [[3.0], [0.0]]]), torch.tensor([[[True], [True]], [[True], [False]]]))
    assert best(ones).tolist() == [2, 3]


def test_from_logits_of_one_position():
    """Metrics of sets of single tokens, as the logit lens and others read them."""
    prompts = PromptSet.from_tokens([[1, 2], [1, 3]], answers=[[(0,), (2,)], 3], foils=[1, [(0,), (1,)]])
    logits = torch.tensor([[1.0, 2.0, 3.0, 0.0], [0.0, 1.0, 2.0, 4.0]], dtype=torch.float64)
    p = logits.softmax(-1)
    right, wrong = torch.stack([p[0, 0] + p[0, 2], p[1, 3]]), torch.stack([p[0, 1], p[1, 0] + p[1, 1]])
    torch.testing.assert_close(probability(logits, prompts), right)
    torch.testing.assert_close(log_probability(logits, prompts), right.log())
    torch.testing.assert_close(log_odds(logits, prompts), right.log() - wrong.log())
    assert rank(logits, prompts).tolist() == [0, 0]
    assert correct(logits, prompts).tolist() == [1, 1]
    longer = PromptSet.from_tokens([[1, 2], [1, 3]], answers=[(0, 2), 3])
    with pytest.raises(PromptError, match="of answers or foils of several tokens is no matter of one position's logits: measure it by run"):
        probability(logits, longer)


def test_over():
    with pytest.raises(MechcheckError, match="unknown over='sum'"):
        check_over("sum")
