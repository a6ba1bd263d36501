"""Pseudo-inverses of weights: what rounding alone has put into a matrix is not inverted, and the result says how well it is determined."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import MechcheckError

# How large a singular value must be to be more than what rounding of the weights leaves, in units of the last place of the largest.
# Folding multiplies and centres weights, which rounds each three times or so, and a matrix of such errors has no larger values.
_UNITS = 8


class PseudoInverse(NamedTuple):
    """The inverse of a matrix on the part of the space that it reaches."""

    matrix: Float[Tensor, "columns rows"]
    condition: float
    """The largest over the smallest of the singular values that were inverted: by how much an error may grow."""


def pseudo_inverse(matrix: Float[Tensor, "rows columns"], dtype: torch.dtype, what: str) -> PseudoInverse:
    """Moore and Penrose's inverse, without the singular values that are rounding errors of the weights.

    Args:
        matrix: in float64.
        dtype: what the weights it is made of were computed in; float32 at best, as models are folded in that.
        what: it is called in the error.

    Raises:
        MechcheckError: it is not finite, or zero everywhere.
    """
    if not torch.isfinite(matrix).all():
        raise MechcheckError(f"{what} is not finite, so it cannot be inverted")
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    if not len(sizes) or float(sizes[0]) == 0.0:
        raise MechcheckError(f"{what} is zero everywhere, so there is nothing to invert")
    precision = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    kept = sizes > _UNITS * precision * sizes[0]
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    return PseudoInverse((right.T / sizes) @ left.T, float(sizes[0] / sizes[-1]))
