"""What an interval is clustered by: templates, or prompts where there is one template only."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Int

from mechcheck.base.errors import MechcheckError
from mechcheck.stats.measurement import Measurement

_ADDED = 0.7
"""Of a template's prompts, as yes and as no each, before the agreement within templates is judged (`python benchmarks/coverage.py`)."""


@dataclass(frozen=True)
class Units:
    """What an interval is clustered by."""

    index: Int[np.ndarray, " prompt"]
    """The unit of each prompt."""
    n: int
    noun: str
    """What a unit is: a template, or a prompt where there is one template only."""
    same: Int[np.ndarray, " prompt"] | None
    """Which are one prompt, given several times; None where all differ."""

    @property
    def different(self) -> int:
        """How many prompts there are, whatever times each is given."""
        return len(self.index) if self.same is None else int(self.same.max()) + 1


def units_of(measured: Measurement) -> Units:
    templates = len(set(measured.templates)) > 1
    index = np.unique(measured.templates if templates else measured.ids, return_inverse=True)[1]
    if index.max(initial=0) < 1:
        raise MechcheckError("an interval needs at least 2 different prompts; one prompt shows nothing about others")
    repeated = len(set(measured.ids)) < len(measured)
    same = np.unique(measured.ids, return_inverse=True)[1] if repeated else None
    return Units(index, int(index.max()) + 1, "template" if templates else "prompt", same)


class WithAPair(NamedTuple):
    """Units and identities with two prompts more."""

    units: Int[np.ndarray, " prompt"]
    same: Int[np.ndarray, " prompt"] | None
    times: int
    """How often each of the two is given: as often as the others are, on average and rounded up, so that it counts as much as one."""


def with_a_pair(units: Units) -> WithAPair:
    """Units and identities with one prompt more that answered yes and then no, and one the other way round.

    Bonett and Price 2012, J. Educ. Behav. Stat. 37:479; without these two a handful of changed prompts, or none, look too sure.
    """
    if units.same is None:
        return WithAPair(np.append(units.index, [units.n, units.n + 1]), None, 1)
    different = units.different
    times = math.ceil(len(units.same) / different)
    index = np.append(units.index, np.repeat([units.n, units.n + 1], times))
    return WithAPair(index, np.append(units.same, np.repeat([different, different + 1], times)), times)


def effective_prompts(values: Float[np.ndarray, " prompt"], units: Units, level: float) -> float:
    """Prompts divided by the design effect of the templates, and fewer still where that was estimated from few of them.

    What is given several times is worth no more than the different prompts that there are.
    """
    n, different, sizes = len(values), units.different, np.bincount(units.index)
    if len(sizes) == n:
        return float(different)
    effective_units = min(n**2 / float((sizes**2).sum()), float(different))
    if values.min() == values.max():
        return effective_units
    added = _ADDED * n / effective_units
    sizes = np.append(sizes, [added, added])
    yes = np.append(np.bincount(units.index, values), [added, 0.0])
    total = float(sizes.sum())
    rate, share = float(yes.sum()) / total, sizes / total
    variance = float(((yes - rate * sizes) ** 2 / (1 - share)).sum()) / total**2
    design = max(n / different, variance / (rate * (1 - rate) / (total - 1)))
    few = scipy.special.stdtrit(n - 1, (1 + level) / 2) / scipy.special.stdtrit(effective_units + 1, (1 + level) / 2)
    return float(min(different, max(n / design * few**2, effective_units)))
