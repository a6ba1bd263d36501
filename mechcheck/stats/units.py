"""What an interval is clustered by: templates, or prompts where there is one template only."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from mechcheck.base.errors import MechcheckError
from mechcheck.stats.measurement import Measurement


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


def units_of(measured: Measurement) -> Units:
    templates = len(set(measured.templates)) > 1
    index = np.unique(measured.templates if templates else measured.ids, return_inverse=True)[1]
    if index.max(initial=0) < 1:
        raise MechcheckError("an interval needs at least 2 different prompts; one prompt shows nothing about others")
    repeated = len(set(measured.ids)) < len(measured)
    same = np.unique(measured.ids, return_inverse=True)[1] if repeated else None
    return Units(index, int(index.max()) + 1, "template" if templates else "prompt", same)


def with_a_pair(units: Units) -> tuple[Int[np.ndarray, " prompt"], Int[np.ndarray, " prompt"] | None]:
    """Units and identities with one prompt more that answered yes and then no, and one the other way round.

    Bonett and Price 2012, J. Educ. Behav. Stat. 37:479; without these two a handful of changed prompts, or none, look too sure.
    """
    same = None if units.same is None else np.append(units.same, units.same.max() + np.array([1, 2]))
    return np.append(units.index, [units.n, units.n + 1]), same
