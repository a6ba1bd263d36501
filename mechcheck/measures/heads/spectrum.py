"""Eigenvalues of a head's circuit, and what they say of its own token; none are made of what rounding left."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens import FactoredMatrix

# Eigenvalues that rounding of float32 weights may leave, in units of the sizes of the two factors.
_ROUNDING = 8 * torch.finfo(torch.float32).eps


def own_token_scores(matrix: "FactoredMatrix") -> Float[Tensor, "*leading"]:
    """Sum of the eigenvalues' real parts over the sum of their sizes; 0 where they are zero, NaN where the matrix is."""
    values, size = spectrum(matrix)
    return torch.where(size.isinf(), 0.0, values.real.sum(-1) / size)


def spectrum(matrix: "FactoredMatrix") -> tuple[Tensor, Float[Tensor, "*leading"]]:
    """The eigenvalues and the sum of their sizes: infinite where rounding of the weights may have made them, though the matrix is not zero.

    A matrix whose square is zero, say, writes one thing for another, and its eigenvalues are whatever rounding leaves.
    """
    values = matrix.eigenvalues
    size, factors = values.abs().sum(-1), matrix.A.norm(dim=(-2, -1)) * matrix.B.norm(dim=(-2, -1))
    return values, torch.where((size <= _ROUNDING * factors) & (factors > 0), torch.inf, size)
