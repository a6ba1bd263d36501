"""Rotary positions as a function of tensors."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotate(x: Float[Tensor, "... pos head d_head"], tables: tuple[Tensor, Tensor] | None, *, neighbours: bool = False) -> Tensor:
    """Rotary embedding of the first components, by tables of cosines and sines [..., pos, 1, rotary]; None: none."""
    if tables is None:
        return x
    cos, sin = tables
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    if neighbours:
        across = torch.stack([-turned[..., 1::2], turned[..., 0::2]], dim=-1).flatten(-2)
    else:
        first, second = turned.chunk(2, dim=-1)
        across = torch.cat([-second, first], dim=-1)
    turned = turned * cos + across * sin
    return torch.cat([turned, rest], dim=-1) if rest.shape[-1] else turned
