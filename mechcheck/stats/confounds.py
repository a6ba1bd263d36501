"""Is an effect one of a property of the prompts? Its slope on each property, with all others held fixed, and the effect by strata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import TOLERANCE

Property = Sequence[float] | Sequence[str] | np.ndarray
"""A number, or a word (a category), for each prompt."""
_FEW = 4
"""So many different values at most are a stratum each; of more there are two, on either side of the median."""
_ALIKE = 1e-8


@dataclass(frozen=True)
class Explained:
    """What a property of the prompts explains of an effect."""

    name: str
    """Of the property."""
    slope: Measurement
    """By how much the effect changes with one standard deviation of the property, all other properties held fixed. Each prompt's value is
    what it adds to the least-squares slope, so that the mean is the slope, and its interval that of the sandwich estimator, clustered by
    template (Liang and Zeger 1986, Biometrika 73:13)."""
    interval: Interval
    """Of the slope: a symmetric t interval, as a correction for the skewness of what a few prompts far out add would do harm."""
    share: float
    """Of the effect's variance over prompts, that this property explains by itself (R squared)."""

    @property
    def estimate(self) -> Estimate:
        """The slope with its interval."""
        return self.interval.estimate


@dataclass(frozen=True)
class Stratum:
    """The prompts with some values of a property."""

    words: str
    """Which, in words."""
    effect: Measurement
    """On these prompts."""


def explained_by(measured: Measurement, by: Mapping[str, Property], confidence: Confidence | None = None) -> list[Explained]:
    """The slopes of an effect on properties of its prompts: one multiple regression, each property in units of its standard deviation.

    A slope that is not told from zero is no sign that there is none: compare its interval with a margin, as `check.unconfounded` does.

    Args:
        measured: one value per prompt; of a ratio, what each prompt adds to it.
        by: property -> a number for each prompt. Words have no slope; see `strata_of`.
        confidence: of each side.

    Raises:
        MechcheckError: no property with numbers, one that is the same on all prompts or follows from the others, or too few prompts.
        NonFiniteError: a value that is not finite.
    """
    effect = _values(measured)
    numbers = {name: values for name, given in by.items() if not _words(values := _checked(name, given, len(measured)))}
    if not numbers:
        raise MechcheckError("explained_by needs a property with a number for each prompt, {name: numbers}")
    if len(measured) < len(numbers) + 3:
        raise MechcheckError(f"{len(measured)} prompts are too few for {len(numbers)} properties")
    table = np.stack([_standardised(name, values) for name, values in numbers.items()], 1)
    y, n = effect.values - effect.values.mean(), len(effect)
    largest = float(np.abs(y).max())
    shape = y / largest if largest > TOLERANCE * float(np.abs(effect.values).max()) else np.ones(n)  # of rounding nothing is explained
    left = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
    found = []
    for place, name in enumerate(numbers):
        others = np.delete(table, place, 1)
        alone = table[:, place] - (others @ np.linalg.lstsq(others, table[:, place], rcond=None)[0] if others.size else 0.0)
        square = float(alone @ alone)
        if square <= _ALIKE * n:
            raise MechcheckError(f"{name!r} follows from the other properties, so that nothing can be told of it alone: leave one out")
        values = float(alone @ y) / square + n * alone * left / square
        unit = f"{measured.unit} per SD".strip()
        slope = Measurement(values, effect.ids, effect.templates, f"slope of {measured.name or 'the effect'} on {name}", unit, scale="real")
        own = min(1.0, float(table[:, place] @ shape) ** 2 / (n * float(shape @ shape)))  # the property has a variance of 1
        found.append(Explained(name, slope, estimate_mean(slope, confidence or Confidence(), symmetric=True), own))
    return found


def strata_of(measured: Measurement, name: str, values: Property) -> list[Stratum]:
    """The effect with a property held fixed: on the prompts of each of its values where these are few, else below and above its median.

    Args:
        measured: one value per prompt.
        name: of the property.
        values: its value for each prompt, numbers or words.

    Raises:
        MechcheckError: another number of values, all the same, or one that a single prompt has.
    """
    known = _checked(name, values, len(measured))
    different = np.unique(known)
    if len(different) < 2:
        raise MechcheckError(f"{name!r} is the same on all prompts, so that it explains nothing and holds fixed nothing: leave it out")
    if len(different) <= _FEW or _words(known):
        found = [Stratum(f"{name} is {one if _words(known) else f'{one:g}'}", _some(measured, known == one)) for one in different]
        if single := [stratum.words for stratum in found if len(set(stratum.effect.ids)) < 2]:
            raise MechcheckError(f"{single[0]} on one prompt alone, which shows nothing about others: group such values")
        return found
    middle = float(np.median(known))
    low = known <= middle if middle < known.max() else known < middle
    return [Stratum(f"{name} is low", _some(measured, low)), Stratum(f"{name} is high", _some(measured, ~low))]


def _some(measured: Measurement, chosen: Bool[np.ndarray, " prompt"]) -> Measurement:
    rows = np.flatnonzero(chosen)
    below = None if measured.denominator is None else measured.denominator[rows]
    ids, templates = (tuple(told[i] for i in rows) for told in (measured.ids, measured.templates))
    ended = None if measured.ended is None else tuple(measured.ended[i] for i in rows)
    return replace(
        measured, values=measured.values[rows], ids=ids, templates=templates, denominator=below, compared=None, ended=ended, operands=()
    )


def _values(measured: Measurement) -> Measurement:
    measured.check_finite()
    return measured.linearised()


def _words(values: np.ndarray) -> bool:
    return values.dtype.kind in "US"


def _checked(name: str, given: Property, n: int) -> np.ndarray:
    values = np.asarray(given)
    if values.dtype == object and all(isinstance(one, str) for one in values.flat):  # a column of words of a table
        values = values.astype(str)
    if values.shape != (n,):
        raise MechcheckError(f"{name!r} has values of shape {values.shape} for {n} prompts; give one for each")
    if _words(values):
        return values
    if values.dtype.kind not in "biuf":
        raise MechcheckError(f"{name!r} has a number or a word for each prompt, not {values.dtype}")
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{name!r} is not finite on {int((~np.isfinite(values)).sum())} of {n} prompts")
    return values.astype(np.float64)


def _standardised(name: str, values: Float[np.ndarray, " prompt"]) -> Float[np.ndarray, " prompt"]:
    spread = float(values.std())
    if spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        raise MechcheckError(f"{name!r} is the same on all prompts, so that it can explain nothing: leave it out")
    standardised: Float[np.ndarray, " prompt"] = (values - values.mean()) / spread
    return standardised
