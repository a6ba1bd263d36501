"""How many floating-point operations the products of matrices take, from their shapes, for whoever counts them.

2 for each multiply-add; norms, activation functions, softmax and what metrics make of logits are not counted. A product that a gradient
goes back through counts twice: once for what it gives, once for the gradient of what it read (weights have none).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechcheck.base.shape import shape_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(eq=False)
class Work:
    """What was counted."""

    operations: int = 0
    """Floating-point operations."""


_counted: list[Work] = []


@contextmanager
def counting() -> Iterator[Work]:
    """Within this context the engine's products are counted."""
    work = Work()
    _counted.append(work)
    try:
        yield work
    finally:
        _counted.remove(work)


def multiplied(operations: int, x: Tensor) -> None:
    """Products of so many operations were made of `x`."""
    if _counted:
        gradient = torch.is_grad_enabled() and x.requires_grad
        for work in _counted:
            work.operations += operations * (1 + gradient)


def attended(q: Tensor, k: Tensor) -> None:
    """Queries [row, head, query, d_head] met keys [row, kv_head, key, d_head], and what they weighted were values of the same width."""
    multiplied(4 * q.numel() * k.shape[-2], q)


def passed(model: "TransformerBridge", rows: int, width: int, columns: int, layers: int | None = None, *, gradient: bool = False) -> None:
    """The model itself ran on `rows` sequences of `width` tokens, and made logits at `columns` positions; through some layers, or all."""
    if _counted:
        operations = shape_of(model).operations(rows, width, columns, layers)
        for work in _counted:
            work.operations += operations * (1 + gradient)
