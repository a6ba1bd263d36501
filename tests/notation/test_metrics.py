"""Metrics from their definitions."""

import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.notation.metrics import (
    Metric,
    as_metric,
    correct,
    foil_probability,
    kl_divergence,
    log_probability,
    logit_diff,
    probability,
    rank,
)

PROMPTS = random_prompts(1, (5, 5, 6, 7))
ROWS = torch.arange(4)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(4, 40, generator=torch.Generator().manual_seed(0))


def test_definitions(logits):
    logits = torch.nn.functional.pad(logits, (0, 10), value=-3.0)
    p, answers, foils = logits.double().softmax(-1), PROMPTS.answers, PROMPTS.foils
    logits[0, answers[0]] = 9.0  # so that one is right
    p = logits.double().softmax(-1)
    expected = {
        logit_diff: logits[ROWS, answers] - logits[ROWS, foils],
        probability: p[ROWS, answers],
        foil_probability: p[ROWS, foils],
        log_probability: p[ROWS, answers].log(),
        rank: torch.tensor([(row > row[a]).sum() for row, a in zip(logits, answers, strict=True)]),
        correct: logits.argmax(-1) == answers,
    }
    for metric, values in expected.items():
        torch.testing.assert_close(metric(logits, PROMPTS), values.double(), rtol=1e-6, atol=1e-6)
    assert correct(logits, PROMPTS)[0] == 1


def test_kl_is_that_of_the_untouched_run_from_this_one(logits):
    clean = logits.flip(0)
    p, q = clean.double().softmax(-1), logits.double().softmax(-1)
    torch.testing.assert_close(kl_divergence.of(logits, PROMPTS, clean), (p * (p / q).log()).sum(-1))
    torch.testing.assert_close(kl_divergence.of(logits, PROMPTS, logits), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_plain_function_is_a_metric(logits):
    def first(logits, prompts):
        return logits[:, 0]

    assert as_metric(first).name == "first"
    torch.testing.assert_close(as_metric(first)(logits, PROMPTS), logits[:, 0])
    with pytest.raises(PromptError, match=r"metric 'bad' gave shape \(4, 40\), expected one value for each of 4 prompts"):
        Metric("bad", "", lambda x, p, _: x)(logits, PROMPTS)
