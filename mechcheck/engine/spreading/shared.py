"""Batches shared out to an executor's processes, and what becomes of them put together."""

import math
import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import torch

from mechcheck.base.shares import Counting, Given

_ROUNDS = 4
"""Parts for each process: they end at the same time even where one is slower."""

Compute = Callable[[bytes, range], dict[int, torch.Tensor]]


def shared(executor: Executor, plan: Counting, compute: Compute, work: bytes, device: Any) -> Given:
    """All batches of a plan, computed by the executor's processes.

    Args:
        executor: whose processes.
        plan: has counted the batches.
        compute: a function of a module, run in these processes: some batches of the work, by number.
        work: what it is to know, pickled once for all parts.
        device: where results are wanted.
    """
    size = math.ceil(plan.batches / (_ROUNDS * _processes(executor)))
    parts = [range(start, min(start + size, plan.batches)) for start in range(0, plan.batches, size)]
    asked = [executor.submit(compute, work, part) for part in parts]
    found: dict[int, torch.Tensor] = {}
    try:
        for one in asked:
            found |= one.result()
    finally:
        for one in asked:
            one.cancel()
    return Given(plan.sizes, found, device)


def _processes(executor: Executor) -> int:
    """How many an executor has, as far as it says."""
    for name in ("workers", "_max_workers"):
        if isinstance(found := getattr(executor, name, None), int):
            return found
    return os.cpu_count() or 1
