"""Measurements: one number per prompt, which remembers its prompts so that intervals cluster and runs pair."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Optional, Union

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError, TextError
from mechcheck.stats.arrays import LikeArray, check_finite
from mechcheck.stats.formulas import compared, minus, negative, over, plus, times
from mechcheck.stats.operands import Operand, compared_with, divided, subtracted

Number = int | float
Scale = Literal["yes/no", "difference", "quotient", "real"]
"""1 and 0 per prompt; the difference of two such, prompt by prompt; the ratio of their means; anything else."""


@dataclass(frozen=True, eq=False)
class Measurement(LikeArray):
    """One value per prompt. Arithmetic keeps the prompts and refuses to mix different ones.

    Dividing one measurement by another gives a ratio of means (sum of values over sum of denominators), not a mean of
    ratios, so that prompts with a tiny denominator do not decide the result.

    To numpy it is its values: `np.asarray(measured)`, `np.abs(measured)` and `measured[3]` are plain arrays and numbers.
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
    scale: Scale | None = None
    """None where nobody said: then ones and zeros without a unit, or as a share of prompts, are taken for yes and no."""
    worth: tuple[float, float] = (0.0, 1.0)
    """What a no and a yes count, after 1 - accuracy or 100 * accuracy; for a difference of two such, no change and a change upwards."""
    size: float = 0.0
    """The largest value that went into these by addition and subtraction: far smaller differences are rounding."""
    ended: tuple[str, ...] | None = None
    """Set for a measurement of generated text: how each prompt's text ended. Texts that ended otherwise are not compared with it."""
    note: str = ""
    """What a reader must know of these values: it becomes a caveat of whatever is decided on them."""
    under: str = ""
    """What the model was under: "untouched", "mean ablation"; empty where nobody said, and for what was calculated from others."""
    operands: tuple[Operand, ...] = ()
    """Set for a difference, a ratio of means or a comparison: what it was made of. Scaling and shifting keep it, a sum has none."""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.shape != (len(self.ids),) or len(self.templates) != len(self.ids):
            raise MechcheckError(f"{values.shape} values for {len(self.ids)} prompts and {len(self.templates)} template ids")
        object.__setattr__(self, "values", values)
        if any(operand.values.shape != values.shape for operand in self.operands):  # prompts were chosen
            object.__setattr__(self, "operands", ())

    def __len__(self) -> int:
        return len(self.ids)

    def _array(self) -> Float[np.ndarray, " prompt"]:
        return self._plain()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # A numpy number is a number: what Python's own would give. Whatever else numpy does is done to the values.
        if method == "__call__" and not kwargs and len(inputs) == 2 and ufunc in _REFLECTED and np.ndim(inputs[0]) == 0:
            return _REFLECTED[ufunc](float(inputs[0]), self)
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    @property
    def mean(self) -> float:
        """The mean over prompts, or the ratio of means."""
        below = float(len(self)) if self.denominator is None else float(self.denominator.sum())
        return float(self.values.sum() / below) if below else float("nan")

    @property
    def by_template(self) -> dict[str, tuple[float, int]]:
        """Template -> (mean, prompts), where there are several, without those in which a share is of nothing."""
        below = np.ones(len(self)) if self.denominator is None else self.denominator
        parts: dict[str, list[int]] = defaultdict(list)
        for row, template in enumerate(self.templates):
            parts[template].append(row)
        if len(parts) < 2:
            return {}
        return {t: (float(self.values[r].sum() / below[r].sum()), len(r)) for t, r in parts.items() if below[r].sum() != 0}

    @property
    def is_yes_no(self) -> bool:
        """Whether the mean is a rate, or follows from one."""
        unit = self.unit in ("", "share of prompts") if self.scale is None else self.scale == "yes/no"
        return unit and self.denominator is None and bool(np.isin(self.values, self.worth).all())

    def check_finite(self, name: str = "") -> None:
        """Raise `NonFiniteError` where a value, or what it is a share of, is NaN, infinite or too large to be calculated with."""
        parts = [self.values] if self.denominator is None else [self.values, self.denominator]
        check_finite(np.stack(parts), self.ids, name or self.name or "the measurement")

    def linearised(self) -> "Measurement":
        """What each prompt adds to the mean; for a ratio of means to first order, so that the ratio is their mean.

        Raises:
            MechcheckError: a ratio whose denominator sums to zero.
        """
        if self.denominator is None:
            return replace(self, scale="real")
        below = float(self.denominator.mean())
        if abs(below) <= 1e-12 * float(np.abs(self.denominator).mean()):
            raise MechcheckError(f"{self.name or 'the share'} is of nothing: its denominator sums to zero")
        values = self.mean + (self.values - self.mean * self.denominator) / below
        return replace(self, values=values, denominator=None, scale="real")

    def named(self, name: str, unit: str | None = None) -> "Measurement":
        """The same values under another name and unit, as the report will show them."""
        return replace(self, name=name, unit=self.unit if unit is None else unit)

    def _repr_html_(self) -> str:
        from mechcheck.stats.shown import measurement_html  # it stands above: what is shown is estimated from measurements

        return measurement_html(self)

    def __bool__(self) -> bool:
        raise MechcheckError(
            f"{self.name or 'a measurement'} has a value for each prompt, so as a whole it is neither true nor false: let `check` decide "
            "on it, as in check.rate(m > 0, above=0.9); of a chain, 0 < m < 1, each half takes a check of its own"
        )

    def __add__(self, other: Union["Measurement", Number]) -> "Measurement":
        return self._combine(other, np.add, plus)

    def __sub__(self, other: Union["Measurement", Number]) -> "Measurement":
        found = self._combine(other, np.subtract, minus)
        return replace(found, operands=subtracted(self._operand, other._operand)) if isinstance(other, Measurement) else found

    def __radd__(self, other: Number) -> "Measurement":
        return self if type(other) is int and other == 0 else self + other  # which is where `sum` begins

    def __rsub__(self, other: Number) -> "Measurement":
        return (-self + other).named(minus(f"{other}", self.name))

    def __mul__(self, factor: Number) -> "Measurement":
        return self._scaled(np.multiply, float(factor), times(f"{factor}", self.name))

    def __rmul__(self, factor: Number) -> "Measurement":
        return self * factor

    def __neg__(self) -> "Measurement":
        return self._scaled(np.multiply, -1.0, negative(self.name))

    def __truediv__(self, other: Union["Measurement", Number]) -> "Measurement":
        if not isinstance(other, Measurement):
            return self._scaled(np.divide, float(other), over(self.name, f"{other}"))
        texts = self._paired_with(other)
        plain = self.is_yes_no and other.is_yes_no and self.worth == other.worth == (0.0, 1.0)
        scale: Scale = "quotient" if plain else "real"
        name = over(self.name, other.name)
        values, below = self._plain(), other._plain()
        made_of = divided(self._operand, self.operands, other._operand)
        return replace(self, values=values, denominator=below, scale=scale, name=name, unit="share", under="", operands=made_of, **texts)

    def __gt__(self, other: Union["Measurement", Number]) -> "Measurement":
        if isinstance(other, Measurement):  # prompt by prompt
            return replace((self - other) > 0, name=compared(self.name, ">", other.name))
        return self._compare(self._plain() > other, compared(self.name, ">", f"{other}"), 1)

    def __lt__(self, other: Union["Measurement", Number]) -> "Measurement":
        if isinstance(other, Measurement):
            return replace((self - other) < 0, name=compared(self.name, "<", other.name))
        return self._compare(self._plain() < other, compared(self.name, "<", f"{other}"), -1)

    def _plain(self) -> Float[np.ndarray, " prompt"]:
        if self.denominator is not None:
            raise MechcheckError("a ratio of means has no value for a single prompt; compare its parts instead")
        return self.values

    @property
    def _operand(self) -> Operand:
        """These as what something else is made of."""
        return Operand(", ".join(filter(None, [self.name, self.under])), self.unit, self.values, 1)

    def _compare(self, holds: Bool[np.ndarray, " prompt"], name: str, sign: int) -> "Measurement":
        if not np.isfinite(self.values).all():
            holds = np.where(np.isfinite(self.values), holds, np.nan)
        values, unit, made_of = holds.astype(np.float64), "share of prompts", compared_with(self._operand, self.operands, sign)
        return replace(self, values=values, name=name, unit=unit, compared=self, scale="yes/no", worth=(0.0, 1.0), operands=made_of)

    def _scaled(self, how: Callable, by: float, name: str) -> "Measurement":
        scale, worth = self._kept(how, by)
        made_of = tuple(one._replace(sign=-one.sign) for one in self.operands) if by < 0 else self.operands
        size = abs(float(how(self.size, by)))
        return replace(self, values=how(self.values, by), scale=scale, worth=worth, size=size, name=name, operands=made_of)

    def _kept(self, how: Callable, number: float) -> tuple[Scale, tuple[float, float]]:
        """The scale, and what no and yes count, after a calculation that all values undergo."""
        no, yes = (float(how(value, number)) for value in self.worth)
        scale: Scale | None = "yes/no" if self.is_yes_no else self.scale
        return (scale, (no, yes)) if scale in ("yes/no", "difference", "quotient") and no != yes else ("real", (0.0, 1.0))

    def _combine(self, other: Union["Measurement", Number], how: Callable, named: Callable[[str, str], str]) -> "Measurement":
        scale: Scale
        if isinstance(other, Measurement):
            texts = self._paired_with(other)
            size, name = max(self._largest(), other._largest()), named(self.name, other.name)
            scale, worth = "real", (0.0, 1.0)
            if self.is_yes_no and other.is_yes_no:
                (no, yes), (other_no, other_yes) = self.worth, other.worth
                unchanged = float(how(no, other_no))
                if math.isclose(unchanged, float(how(yes, other_yes)), abs_tol=1e-12 * size):  # where both answer alike they cancel
                    scale, worth = "difference", (unchanged, unchanged + yes - no)
            values = how(self._plain(), other._plain())
            alone: dict[str, Any] = {"compared": None, "under": "", "operands": ()}
            return replace(self, values=values, scale=scale, worth=worth, size=size, name=name, **alone, **texts)
        number = float(other)
        size, name = max(self._largest(), abs(number)), named(self.name, f"{other}")
        scale, worth = self._kept(how, number)
        return replace(self, values=how(self._plain(), number), scale=scale, worth=worth, size=size, compared=None, name=name)

    def _largest(self) -> float:
        """The largest value, of these and of what went into them."""
        return max(self.size, float(np.abs(self.values).max(initial=0.0)))

    def _paired_with(self, other: "Measurement") -> dict[str, Any]:
        """What is known of the texts behind a calculation with another measurement; an error where the two cannot be paired."""
        if self.ids != other.ids:
            raise MechcheckError("these measurements are of different prompts, so they cannot be paired")
        if self.ended is None or other.ended is None or self.ended == other.ended:
            note = "; ".join(dict.fromkeys(filter(None, [self.note, other.note])))
            return {"ended": self.ended if other.ended is None else other.ended, "note": note}
        pairs = Counter(pair for pair in zip(self.ended, other.ended, strict=True) if pair[0] != pair[1])
        said = ", ".join(f"{n}: {one} here, {two} there" for (one, two), n in pairs.most_common(3))
        raise TextError(
            f"{self.name or 'one'} and {other.name or 'the other'} are of texts that ended otherwise on {pairs.total()} of {len(self)} "
            f"prompts ({said}), so they are not compared: generate both alike, or allow it by measuring both with "
            'stops="any", which the evidence then tells'
        )


_REFLECTED = {
    np.add: lambda number, measured: number + measured,
    np.subtract: lambda number, measured: number - measured,
    np.multiply: lambda number, measured: number * measured,
    np.greater: lambda number, measured: measured < number,
    np.less: lambda number, measured: measured > number,
}
"""What a numpy number does to a measurement on its right."""
