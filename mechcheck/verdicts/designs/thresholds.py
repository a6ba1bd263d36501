"""A claimed side of a threshold, as designs are told it."""

import math

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.collected import number_of
from mechcheck.verdicts.verdict import Region


def one_sided(method: str, above: float | None, below: float | None) -> tuple[Region, float, str]:
    """The region, the threshold and the sign of above=... or below=....

    Raises:
        ClaimError: none of them, both, or a threshold that is not finite.
    """
    if (above is None) == (below is None):
        raise ClaimError(f"{method} needs one threshold: above=... or below=...")
    threshold = number_of(f"{method}({'above' if above is not None else 'below'}=...)", above if above is not None else below)
    if not math.isfinite(threshold):
        raise ClaimError(f"{method} needs a finite threshold, got {threshold}")
    return ((threshold, math.inf), threshold, ">") if above is not None else ((-math.inf, threshold), threshold, "<")
