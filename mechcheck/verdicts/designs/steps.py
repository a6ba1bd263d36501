"""A curve, dose by dose."""

import itertools
import math
from collections.abc import Iterator

from mechcheck.base.errors import ClaimError
from mechcheck.measures.stream.curves import SteeringCurve
from mechcheck.stats.arrays import check_finite
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.collected import number_of

_FEWEST = 3


def check_monotone(curve: SteeringCurve, rises: float | None, falls: float | None, tolerance: float) -> tuple[int, float]:
    """The sign of the claimed direction, and by how much it goes there in all.

    Raises:
        ClaimError, NonFiniteError: as `Check.monotone` says.
    """
    if not isinstance(curve, SteeringCurve):
        raise ClaimError(f"monotone takes a curve, as dose_curve(...) or steering_curve(...) gives it, got {type(curve).__name__}")
    if (rises is None) == (falls is None):
        raise ClaimError("monotone needs one direction: rises=... or falls=..., by how much in all")
    word = "rises" if rises is not None else "falls"
    least = number_of(f"monotone({word}=...)", rises if rises is not None else falls)
    for name, given in ((word, least), ("tolerance", number_of("monotone(tolerance=...)", tolerance))):
        if not 0 <= given < math.inf:
            raise ClaimError(f"monotone({name}={given}): 0 or more, in the metric's unit")
    doses = len(set(curve.scales))
    if doses < _FEWEST or doses < len(curve.scales):
        raise ClaimError(
            f"monotone takes {_FEWEST} or more doses, all different, got {len(curve.scales)}: two are a comparison, check.greater"
        )
    check_finite(curve.values, curve.ids, curve.name)
    return (1 if rises is not None else -1), least


def steps(curve: SteeringCurve, sign: int) -> Iterator[tuple[float, float, Measurement, Measurement]]:
    """Neighbouring doses, smaller and larger, and the metric at each, turned so that the claimed way is up."""
    for before, after in itertools.pairwise(sorted(curve.scales)):
        yield before, after, sign * curve.at(before), sign * curve.at(after)
