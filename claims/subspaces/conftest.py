"""Prompts of another seed: those of the run's own seed were looked at when dimensions and thresholds were chosen."""

import pytest

APART = 1_000


@pytest.fixture
def make_prompts(make_prompts):
    return lambda model, *, n, seed, split: make_prompts(model, n=n, seed=seed + APART, split=split)
