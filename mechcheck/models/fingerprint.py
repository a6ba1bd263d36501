"""Is a model as it was? Enough of its state to see that weights or hooks were changed."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechcheck.base.device import has_float64
from mechcheck.base.errors import HookError

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Fingerprint:
    """Enough of a model's state to see that it was changed."""

    weights: tuple[float, ...]
    hooks: int


def fingerprint(model: "TransformerBridge") -> Fingerprint:
    """Weighted sums of every parameter and buffer, and the number of hooks that hang on the model's modules."""
    sums = tuple(s for tensor in itertools.chain(model.parameters(), model.buffers()) for s in _weighted_sums(tensor.detach()))
    points = {id(point): point for point in model.hook_dict.values()}.values()  # one point can have several names
    return Fingerprint(sums, sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in points) + _plain_hooks(model))


def _plain_hooks(model: "TransformerBridge") -> int:
    """Hooks registered with PyTorch itself, but for those that the libraries install when a model first runs."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = (hook for module in model.modules() for kind in kinds for hook in getattr(module, kind).values())
    return sum(not str(getattr(hook, "__module__", "")).startswith(("transformer_lens.", "transformers.", "torch.")) for hook in hooks)


def _weighted_sums(tensor: torch.Tensor) -> tuple[float, float]:
    """Rows and columns weighted by their number, so that two that change places are noticed."""
    flat = tensor.reshape(len(tensor), -1) if tensor.ndim else tensor.reshape(1, 1)
    exact = torch.float64 if has_float64(tensor.device) else torch.float32
    rows, columns = (flat.sum(dim, dtype=exact) for dim in (1, 0))
    weighted = (float(sums @ torch.arange(1, len(sums) + 1, dtype=exact, device=sums.device)) for sums in (rows, columns))
    return next(weighted), next(weighted)


def check_untouched(model: "TransformerBridge", before: Fingerprint) -> None:
    """Raise unless the model is as it was when `before` was taken."""
    after = fingerprint(model)
    if not np.array_equal(after.weights, before.weights, equal_nan=True):
        raise HookError("the model's weights were changed; models are shared and read-only: change a copy")
    if after.hooks != before.hooks:
        raise HookError(f"{after.hooks - before.hooks} hooks were left on the model; use run, capture or `with model.hooks(...)`")
