"""Samples for tests of estimates."""

import numpy as np

from mechcheck.stats.measurement import Measurement


def measured(values, templates=None, ids=None, denominator=None, name="m") -> Measurement:
    """Values of different prompts, each its own unit unless templates are given."""
    n = len(values)
    return Measurement(
        np.asarray(values, float), tuple(ids or map(str, range(n))), tuple(map(str, templates or ["all"] * n)), name,
        denominator=None if denominator is None else np.asarray(denominator, float),
    )  # fmt: skip
