"""Yes and no compared, where every prompt gives the same: exact, as there is no spread from which an error could be told.

If the true value were t, a prompt would say what all of them say with at most some chance c(t). That k templates, which may agree
within themselves, all say it has a chance of at most c(t)^k: each counts once, as in the rate of a unanimous sample.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from mechcheck.stats.pivot import SMALLEST
from mechcheck.stats.units import Units


@dataclass(frozen=True)
class Unanimous:
    """What all prompts say: no change (0) or a change (1, -1) of a difference; 0 or 1 of a quotient of rates."""

    value: float
    quotient: bool
    units: float
    """Templates that these are worth, were they alike in size (Kish)."""

    def p_above(self, threshold: float) -> float:
        """One-sided p-value against a true value at or below the threshold."""
        return max(SMALLEST, self._chance(threshold) ** self.units) if threshold < self.value else 1.0

    def p_below(self, threshold: float) -> float:
        """One-sided p-value against a true value at or above the threshold."""
        return max(SMALLEST, self._chance(threshold) ** self.units) if threshold > self.value else 1.0

    def interval(self, alpha: float) -> tuple[float, float]:
        """The thresholds that neither p-value excludes at alpha."""
        c = alpha ** (1 / self.units)
        if self.quotient:
            return (c, 1 / c) if self.value else (0.0, 1 / c - 1)
        return {0.0: (c - 1, 1 - c), 1.0: (2 * c - 1, 1.0), -1.0: (-1.0, 1 - 2 * c)}[self.value]

    def error(self, alpha: float) -> float:
        """The standard error with which a t interval would reach as far, on the side where it is nearer."""
        low, high = self.interval(alpha)
        reach = min(side for side in (high - self.value, self.value - low) if side > 0)
        return reach / float(scipy.special.stdtrit(self.df, 1 - alpha))

    @property
    def df(self) -> float:
        """Of that t interval."""
        return max(1.0, self.units - 1)

    def _chance(self, true: float) -> float:
        """The largest that a prompt's saying this can have."""
        if self.quotient:
            return 0.0 if true <= 0 else min(true, 1 / true) if self.value else 1 / (1 + true)
        if abs(true) > 1:  # no difference of two rates is
            return 0.0
        return 1 - abs(true) if self.value == 0 else (1 + self.value * true) / 2


def unanimous(values: np.ndarray, below: np.ndarray | None, worth: tuple[float, float], units: Units) -> Unanimous | None:
    """What a difference, or a quotient, of yes and no comes to where every prompt gives the same; None where they do not."""
    if np.ptp(values) > 0 or (below is not None and np.ptp(below) > 0):
        return None
    sizes = np.bincount(units.index)
    effective = min(len(values) ** 2 / float((sizes**2).sum()), float(units.different))
    no, yes = worth
    return Unanimous(float(round((values[0] - no) / (yes - no))), below is not None, effective)
