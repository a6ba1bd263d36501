"""Caveat of normalised effects: what is called a share of a whole, and is none."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.evidence.caveats.known import MILLER

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.verdict import Expectation

_BEYOND = 0.01
"""So far beyond 0 or 1 an interval must lie: less is rounding, or nothing to speak of."""
_FAR = 0.25
"""So far beyond 0 or 1 a prompt's own share is more than its noise."""
_MANY = 0.25
"""Of the prompts, so many that a mean between 0 and 1 speaks for few of them."""
_SMALL = 0.1
"""Of the mean size of the whole: below that a prompt has no share to speak of."""


def beyond_whole(expectations: "Sequence[Expectation]", samples: "Sequence[Measurement]") -> Iterator[str]:
    """Ratios of means whose interval lies above 1 or below 0, or a good part of whose prompts lie far outside.

    A ratio that is claimed to lie outside is no share, nor is one that may lie as far below 0 as above: a gap.
    """
    for expectation, measured in zip(expectations, samples, strict=False):
        low, high = expectation.region
        share = measured.denominator is not None and measured.unit == "share" and measured.scale != "quotient"
        if expectation.role != "claim" or not share or not _is_share(low, high):
            continue
        e = expectation.estimate
        if e.low > 1 + _BEYOND or e.high < -_BEYOND:
            yield (
                f"{expectation.label}: the share is {e.value:.3g} [{e.low:.3g}, {e.high:.3g}], {'above 1' if e.low > 1 else 'below 0'}: "
                f"what it leaves out works against it, and the number depends on how that was taken away ({MILLER})"
            )
            continue
        assert measured.denominator is not None
        size = np.abs(measured.denominator)
        own = measured.values[told := size > _SMALL * size.mean()] / measured.denominator[told]
        outside = int(((own > 1 + _FAR) | (own < -_FAR)).sum())
        if len(own) and outside > _MANY * len(own):
            yield (
                f"{expectation.label}: the share of {outside} of {len(own)} prompts lies above {1 + _FAR:g} or below {-_FAR:g}: the mean, "
                f"{e.value:.3g}, does not show that ({MILLER})"
            )


def _is_share(low: float, high: float) -> bool:
    """Whether something that is claimed to lie between these can be a share of a whole."""
    return low < 1 and high > 0 and not -np.inf < low < 0
