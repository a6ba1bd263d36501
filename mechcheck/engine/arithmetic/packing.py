"""Weights laid out once as the processor reads them, so that products with few rows are as fast as those with many."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

# What one model's copies may take; a larger model does without, and takes no more than its weights and its joint queries, keys and values.
PACKED_BYTES = 2**29
# Elements from which on a layout of its own pays; smaller weights stay in the cache as they are (measured from 64 to 3072 a side).
_LARGE = 2**18


def packs(weights: Iterable[Tensor]) -> bool:
    """Whether oneDNN is there to multiply with these, and their copies are not too large."""
    some = list(weights)
    suited = all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in some)
    return suited and _available() and sum(weight.nbytes for weight in some) <= PACKED_BYTES


def pack(weight: Float[Tensor, "d_in d_out"]) -> Tensor | None:
    """The weights in oneDNN's layout; None where they are so small that it does not pay."""
    if weight.numel() < _LARGE:
        return None
    return torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), None)


def multiply(
    x: Float[Tensor, "row d_in"], packed: Tensor, bias: Float[Tensor, " d_out"] | None, then: tuple[str, str] = ("none", "")
) -> Float[Tensor, "row d_out"]:
    """x @ weight + bias, and the function of it that oneDNN calls by these two names. It has no gradient."""
    function, variety = then
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, function, [], variety)


def _available() -> bool:
    """torch's compiler multiplies with these operators; they are no promise to others, so that a torch without them is served as well."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
