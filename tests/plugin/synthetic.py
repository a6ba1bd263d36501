"""Claims about made-up values."""

HEADER = """
# Only what synthetic claims need: no model library, so that a process starts in a moment.
import numpy as np
import pytest
from mechcheck import claim
from mechcheck.stats.measurement import Measurement

NOISE = np.linspace(-0.5, 0.5, 24)

def around(mean, run=0):
    "24 prompts of 8 templates; a run other than 0 adds noise of its own."
    values = mean + NOISE[::-1] + (0.02 * np.random.default_rng(run).normal(size=24) if run else 0)
    return Measurement(values, tuple(f"p{i}" for i in range(24)), tuple(f"t{i % 8}" for i in range(24)), "effect", "logits")
"""
