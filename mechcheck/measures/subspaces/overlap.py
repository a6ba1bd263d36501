"""How far two subspaces lie in the same directions."""

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.codes import Linear


def overlap(one: Linear, other: Linear) -> float:
    """The mean squared cosine of the principal angles of two subspaces: 1 where the smaller lies in the larger, 0 where all are right.

    A random subspace of k of d dimensions has max(k, m) / d with one of m, on average.

    Raises:
        MechcheckError: subspaces of different spaces.
    """
    if one.size[1] != other.size[1]:
        raise MechcheckError(
            f"{one.name!r} lies among {one.size[1]} dimensions and {other.name!r} among {other.size[1]}: nothing to compare"
        )
    return min(1.0, float((one.basis @ other.basis.T).square().sum() / min(one.size[0], other.size[0])))
