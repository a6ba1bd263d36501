"""Looking at a growing sample several times, and still deciding wrongly no more often than promised: alpha spending.

Lan and DeMets (1983, Biometrika 70:659): by the time that a part t of the sample has been seen, a part of the level has been spent,
here alpha t^3 (Kim and DeMets 1987, Biometrika 74:149), which is close to what O'Brien and Fleming's boundaries spend: what is decided at
the first look is decided beyond doubt, and the last one has nearly the whole level left. The p-value at which a look decides
follows from the joint distribution of what the looks see, independent increments (Armitage, McPherson and Rowe 1969); it is applied
to p-values of t and exact tests as it stands ("significance levels", Jennison and Turnbull 2000, section 3.3). Part of the sample is
its part of the prompts. Where early looks know more than that of what the last one knows, as where prompts of a template agree, their
results are more alike, and the chance that any of them is wrong is smaller still (Slepian 1962); so it is where a look is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from jaxtyping import Float

from mechcheck.stats.estimates import Confidence

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_FAR = 9.0
"""Standard deviations beyond which nothing is expected."""
_UNRESOLVED = 0.01
"""What a look sees more than the last one is too little for the sums to be told apart on so many nodes."""
_LEVELS = np.exp(np.linspace(math.log(1e-12), math.log(0.5), 48))


def spent(alpha: float, part: float) -> float:
    """Of the level, what may have been spent when a part of the sample has been seen."""
    return alpha * part**3


@lru_cache(maxsize=512)
def levels(alpha: float, parts: tuple[float, ...]) -> tuple[float, ...]:
    """The one-sided p-value at or below which each look decides.

    Args:
        alpha: the chance that is taken of deciding wrongly at any of them.
        parts: of the sample, seen at each; rising to 1.
    """
    found: list[float] = []
    state: tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]] | None = None  # sums seen, and how likely they go on
    before, used = 0.0, 0.0
    for part in parts:
        step, new = math.sqrt(part - before), spent(alpha, part) - used
        if state is not None and part - before < _UNRESOLVED * part:  # as if it saw nothing of what the looks before it did (Bonferroni)
            found.append(new)
            used += new
            continue
        edge = -float(scipy.special.ndtri(new)) * step if state is None else _edge(state, step, new, math.sqrt(part))
        low = -_FAR * math.sqrt(part)
        sums = low + (edge - low) * (_NODES + 1) / 2
        weights = _WEIGHTS * (edge - low) / 2
        arrived = _density(sums / step) / step if state is None else (_density((sums[:, None] - state[0]) / step) / step) @ state[1]
        state = sums, arrived * weights
        found.append(float(scipy.special.ndtr(-edge / math.sqrt(part))))
        before, used = part, used + new
    return tuple(found)


def _edge(state: tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]], step: float, new: float, deviation: float) -> float:
    """The sum that is exceeded, for the first time, with a given chance."""
    sums, weights = state

    def beyond(edge: float) -> float:
        return math.log(max(float(scipy.special.ndtr((sums - edge) / step) @ weights), 1e-300)) - math.log(new)

    return float(scipy.optimize.brentq(beyond, -_FAR * deviation, _FAR * deviation, xtol=1e-10))


def _density(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class AtLook(Confidence):
    """How sure a decision must be at one of several looks; `side` and the level of intervals are of this look.

    Made by `at_look`.
    """

    parts: tuple[float, ...] = (1.0,)
    """Of the sample, seen at each look."""
    number: int = 0
    """Of this look, from 0."""
    all_looks: float = 0.025
    """The chance that is taken of deciding wrongly at any."""

    @property
    def overall(self) -> float:
        return self.all_looks

    def over_looks(self, p: float) -> float:
        """The repeated p-value (Jennison and Turnbull 2000, section 9.2): the smallest level at which this look decides on p."""
        overall, here = _table(self.parts, self.number, self.all_looks)
        if p < here[0]:
            new = spent(1.0, self.parts[self.number]) - (spent(1.0, self.parts[self.number - 1]) if self.number else 0.0)
            return p / new  # beyond what was tabulated: no look decides on less than what it newly spends
        return min(1.0, math.exp(float(np.interp(math.log(p), np.log(here), np.log(overall)))) if p <= here[-1] else 1.0)


@lru_cache(maxsize=64)
def _table(parts: tuple[float, ...], number: int, alpha: float) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Levels over all looks, `alpha` among them, and the p-value at which a look decides at each."""
    overall = np.sort(np.append(_LEVELS, alpha))
    return overall, np.array([levels(float(one), parts)[number] for one in overall])


def at_look(confidence: Confidence, parts: Sequence[float], number: int) -> AtLook:
    """What a look at part of a sample must be sure of, so that all looks together are as sure as a single one would have to be."""
    parts = tuple(parts)
    return AtLook(1 - levels(confidence.alpha, parts)[number], parts, number, confidence.alpha)
