"""When two numbers are the same but for rounding: what ends of intervals and thresholds are compared by."""

import math


def tied(a: float, b: float) -> bool:
    """Whether they differ by no more than rounding does."""
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=2e-11)
