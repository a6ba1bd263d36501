"""Batches are sized by free memory, and halved where it was not enough."""

import numpy as np
import pytest
import torch
from tiny import SAME_FORWARD, random_prompts

from mechcheck.engine import memory as _memory
from mechcheck.engine import suffix as _suffix
from mechcheck.engine import sweep as _sweep
from mechcheck.engine.run import sweep
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import loss
from mechcheck.notation.sites import heads

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")


LENGTHS = (7, 7, 10, 10, 8, 8)


def test_running_out_of_memory_halves_the_batch(tiny, layout, monkeypatch):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Ablate(heads(f"{layer}.{head}"), "zero")] for layer in range(2) for head in range(3)]
    expected, sizes, original = sweep(model, prompts, variants), [], _suffix.Batch.run

    def small(batch):
        sizes.append(len(batch.variants))
        if len(batch.variants) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(batch)

    monkeypatch.setattr(_suffix.Batch, "run", small)
    np.testing.assert_allclose(sweep(model, prompts, variants), expected, rtol=0, atol=SAME_FORWARD[layout])
    assert sizes == [6, 3, 2, 2, 2]


def test_where_many_positions_are_read_a_batch_takes_less(tiny, layout, monkeypatch):
    """Of the numbers nothing depends on it; at END a batch is as large as ever."""
    model, prompts, sizes, original = tiny(layout), random_prompts(3, LENGTHS), [], _suffix.Batch.run
    variants = [[Ablate(heads(f"{layer}.{head}"), "zero")] for layer in range(2) for head in range(3)]
    expected = sweep(model, prompts, variants, loss)
    monkeypatch.setattr(_suffix.Batch, "run", lambda batch: sizes.append(len(batch.variants)) or original(batch))
    monkeypatch.setattr(_sweep, "_WIDE_BYTES", 1)
    np.testing.assert_allclose(sweep(model, prompts, variants, loss), expected, rtol=0, atol=SAME_FORWARD[layout])
    sweep(model, prompts, variants)
    assert sizes == [1] * 6 + [6]


def test_another_error_is_no_lack_of_memory(tiny, monkeypatch):
    def broken(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(_suffix.Batch, "run", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        sweep(tiny("gpt2"), random_prompts(3, LENGTHS), [[Ablate(heads("0.0"))]] * 4)


def test_a_quarter_of_the_free_memory_is_taken(monkeypatch):
    monkeypatch.setattr(_memory.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 4000}))
    assert _memory.free_bytes(torch.device("cpu")) == 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * 2**30, 16 * 2**30))
    assert _memory.free_bytes(torch.device("cuda")) == 2 * 2**30
