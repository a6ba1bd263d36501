"""What a difference, a ratio or a comparison was made of: the clean value and the one under an intervention, for readers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Operand(NamedTuple):
    """One of the values, for each prompt, that a measurement was calculated from."""

    name: str
    """What it is called."""
    unit: str
    values: Float[np.ndarray, " prompt"]
    sign: int
    """1 where a larger one makes the result larger, -1 where it makes it smaller, 0 where neither can be said."""


def subtracted(a: Operand, b: Operand) -> tuple[Operand, ...]:
    """Of a - b."""
    return a._replace(sign=1), b._replace(sign=-1)


def divided(a: Operand, made_of: tuple[Operand, ...], b: Operand) -> tuple[Operand, ...]:
    """Of a / b: what `a` itself was made of, where it was a difference, else `a`; and `b`, unless it is one of these."""
    above = made_of or (a._replace(sign=1),)
    known = any(np.array_equal(one.values, b.values) for one in above)
    return above if known else (*above, b._replace(sign=0))


def compared_with(a: Operand, made_of: tuple[Operand, ...], sign: int) -> tuple[Operand, ...]:
    """Of a > 0 (sign 1) or a < 0 (sign -1): `a`, and what it was made of."""
    return a._replace(sign=sign), *(one._replace(sign=sign * one.sign) for one in made_of)
