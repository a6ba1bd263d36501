"""An effect, its slopes on properties of the prompts, and its strata."""

import math
from collections.abc import Mapping

import numpy as np

from mechcheck.base.errors import ClaimError
from mechcheck.stats.confounds import Explained, Property, Stratum, explained_by, strata_of
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.collected import number_of


def confounded(
    measured: Measurement, by: Mapping[str, Property], margin: float, confidence: Confidence
) -> tuple[list[Explained], list[Stratum]]:
    """The slopes on all properties with numbers, and the strata of all properties.

    Raises:
        ClaimError, MechcheckError, NonFiniteError: as `Check.unconfounded` says.
    """
    if not isinstance(measured, Measurement):
        raise ClaimError(f"unconfounded takes a Measurement (one value per prompt), got {type(measured).__name__}")
    if not isinstance(by, Mapping) or not by:
        raise ClaimError("unconfounded takes properties of the prompts, {name: a number or a word for each prompt}")
    if not 0 < number_of("unconfounded(margin=...)", margin) < math.inf:
        raise ClaimError(f"unconfounded(margin={margin}): above 0, in the units of the measurement")
    strata = [stratum for name, values in by.items() for stratum in strata_of(measured, name, values)]
    numbers = {name: values for name, values in by.items() if not isinstance(np.asarray(values).flat[0], str)}
    return explained_by(measured, numbers, confidence) if numbers else [], strata
