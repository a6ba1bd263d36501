"""Many decisions at once: what share of them is false, and p-values adjusted for their number."""

from collections.abc import Sequence

import numpy as np


def adjust(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values (1995): those below q are a list of which a share q is false, on average."""
    # scipy.stats has it, and takes longer to import than a small claim to measure; every run adjusts.
    order, m = np.argsort(p_values, kind="stable")[::-1], len(p_values)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum.accumulate(np.asarray(p_values, float)[order] * m / np.arange(m, 0, -1)).clip(max=1.0)
    return [float(p) for p in adjusted]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979): the chance that any of those below alpha is false is at most alpha."""
    m, adjusted, largest = len(p_values), [1.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (m - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def share_of_nulls(p_values: Sequence[float], beyond: float = 0.5) -> float:
    """Of the hypotheses, those in which there is nothing to find: twice the ones with a p-value beyond 1/2.

    Storey 2002, J. R. Statist. Soc. B 64:479.
    """
    return min(1.0, (1 + sum(p > beyond for p in p_values)) / (len(p_values) * (1 - beyond))) if p_values else 1.0
