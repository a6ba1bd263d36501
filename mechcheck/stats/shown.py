"""What a notebook shows of a measurement: its mean with its interval, its prompts, and each value as a dot."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.drawing.estimates import estimate_facts, prompts_text
from mechcheck.drawing.notebook import facts
from mechcheck.drawing.numbers import short, with_unit
from mechcheck.drawing.picture import sheet
from mechcheck.drawing.strips import strip
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement


def measurement_html(measured: "Measurement") -> str:
    """The table and the picture; where there is no interval, the reason for it."""
    estimate, reason = _estimate(measured)
    told = [*_facts(measured, estimate, reason), *_spread(measured)]
    finite = np.isfinite(measured.values)
    if measured.denominator is not None or finite.sum() < 2:
        return facts(measured.name, told)
    values, names = measured.values[finite].tolist(), [name for name, there in zip(measured.ids, finite, strict=True) if there]
    middle, low, high = map(_end, (estimate.value, estimate.low, estimate.high)) if estimate else (None, None, None)
    return facts(measured.name, told, sheet(measured.name or "values", strip(values, names, middle, low, high)))


def _estimate(measured: "Measurement") -> tuple[Estimate | None, str]:
    try:
        return estimate_mean(measured, Confidence()).estimate, ""
    except (MechcheckError, NonFiniteError) as error:
        return None, str(error)


def _facts(measured: "Measurement", estimate: Estimate | None, reason: str) -> list[tuple[str, str]]:
    name = "mean" if measured.denominator is None else "ratio of means"
    if estimate is not None:
        return estimate_facts(asdict(estimate), measured.unit, name)
    mean = "NaN" if np.isnan(measured.mean) else with_unit(short(measured.mean), measured.unit)
    return [(name, mean), ("interval", f"none: {reason}"), ("prompts", prompts_text(len(measured), len(set(measured.templates))))]


def _spread(measured: "Measurement") -> Iterator[tuple[str, str]]:
    """Where the values lie, and how many of them are no numbers."""
    finite = measured.values[np.isfinite(measured.values)]
    if measured.denominator is None and len(finite):
        yield "values", f"from {short(float(finite.min()))} to {short(float(finite.max()))}"
    if missing := len(measured) - len(finite):
        yield "not finite", f"{missing:,} of {len(measured):,} values"


def _end(end: float) -> float | None:
    return end if np.isfinite(end) else None
