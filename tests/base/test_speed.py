"""How fast matrices are multiplied."""

import torch

from mechcheck.base import speed
from mechcheck.base.speed import multiplications


def test_the_best_of_what_was_timed(monkeypatch):
    """Each product takes half a second, but for one that takes a quarter; the first, which warms up, does not count."""
    taken, now = iter([0.1, 0.5, 0.25, 0.5]), iter([0.0, 0.0, 0.01, 9.0])
    monkeypatch.setattr(speed, "_timed", lambda x, weight: next(taken))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(now))
    assert multiplications(8, 16) == 2 * 256 * 8 * 16 / 0.25


def test_on_this_machine():
    assert 1e7 < multiplications(64, 256) < 1e15
    assert multiplications(64, 64, dtype="bfloat16") > 1e5
    assert torch.is_grad_enabled()
