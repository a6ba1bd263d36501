"""Measurements: one number per prompt, which remembers its prompts so that intervals cluster and runs pair."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Optional, Union

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError
from mechcheck.stats.formulas import compared, minus, negative, over, plus, times

Number = int | float


@dataclass(frozen=True, eq=False)
class Measurement:
    """One value per prompt. Arithmetic keeps the prompts and refuses to mix different ones.

    Dividing one measurement by another gives a ratio of means (sum of values over sum of denominators), not a mean of
    ratios, so that prompts with a tiny denominator do not decide the result.
    """

    values: Float[np.ndarray, " prompt"]
    ids: tuple[str, ...]
    templates: tuple[str, ...]
    name: str = ""
    unit: str = ""
    denominator: Float[np.ndarray, " prompt"] | None = None
    """Set for a ratio of means."""
    compared: Optional["Measurement"] = None
    """Set for a yes or no per prompt: what was compared with a threshold."""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.shape != (len(self.ids),) or len(self.templates) != len(self.ids):
            raise MechcheckError(f"{values.shape} values for {len(self.ids)} prompts and {len(self.templates)} template ids")
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mean(self) -> float:
        """The mean over prompts, or the ratio of means."""
        below = float(len(self)) if self.denominator is None else float(self.denominator.sum())
        return float(self.values.sum() / below) if below else float("nan")

    def named(self, name: str, unit: str | None = None) -> "Measurement":
        """The same values under another name and unit, as the report will show them."""
        return replace(self, name=name, unit=self.unit if unit is None else unit)

    def __add__(self, other: Union["Measurement", Number]) -> "Measurement":
        return self._combine(other, np.add, plus)

    def __sub__(self, other: Union["Measurement", Number]) -> "Measurement":
        return self._combine(other, np.subtract, minus)

    def __mul__(self, factor: Number) -> "Measurement":
        return replace(self, values=self.values * float(factor), name=times(f"{factor}", self.name))

    def __rmul__(self, factor: Number) -> "Measurement":
        return self * factor

    def __neg__(self) -> "Measurement":
        return replace(self, values=-self.values, name=negative(self.name))

    def __truediv__(self, other: Union["Measurement", Number]) -> "Measurement":
        if not isinstance(other, Measurement):
            return replace(self, values=self.values / float(other), name=over(self.name, f"{other}"))
        self._check_same_prompts(other)
        return replace(self, values=self._plain(), denominator=other._plain(), name=over(self.name, other.name), unit="share")

    def __gt__(self, threshold: Number) -> "Measurement":
        return self._compare(self._plain() > threshold, compared(self.name, ">", f"{threshold}"))

    def __lt__(self, threshold: Number) -> "Measurement":
        return self._compare(self._plain() < threshold, compared(self.name, "<", f"{threshold}"))

    def _plain(self) -> Float[np.ndarray, " prompt"]:
        if self.denominator is not None:
            raise MechcheckError("a ratio of means has no value for a single prompt; compare its parts instead")
        return self.values

    def _compare(self, holds: Bool[np.ndarray, " prompt"], name: str) -> "Measurement":
        if not np.isfinite(self.values).all():
            holds = np.where(np.isfinite(self.values), holds, np.nan)
        return replace(self, values=holds.astype(np.float64), name=name, unit="share of prompts", compared=self)

    def _combine(self, other: Union["Measurement", Number], how: Callable, named: Callable[[str, str], str]) -> "Measurement":
        if isinstance(other, Measurement):
            self._check_same_prompts(other)
            return replace(self, values=how(self._plain(), other._plain()), name=named(self.name, other.name))
        return replace(self, values=how(self._plain(), float(other)), name=named(self.name, f"{other}"))

    def _check_same_prompts(self, other: "Measurement") -> None:
        if self.ids != other.ids:
            raise MechcheckError("these measurements are of different prompts, so they cannot be paired")
