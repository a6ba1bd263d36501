"""Figures: data in the evidence, drawn by the report. Charts and tables here, what tokens and circuits need in `model`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.drawing.figure import Figure

# Digits kept in the evidence: enough to read off, few enough to keep the file small.
_DIGITS = 5


@dataclass(frozen=True)
class Heatmap(Figure):
    """A matrix with labelled rows and columns."""

    title: str
    values: Float[np.ndarray, "row col"]
    rows: Sequence[str]
    cols: Sequence[str]
    row_label: str
    col_label: str
    unit: str

    def __post_init__(self) -> None:
        if np.shape(self.values) != (len(self.rows), len(self.cols)):
            raise MechcheckError(f"a heatmap of shape {np.shape(self.values)} with {len(self.rows)} row and {len(self.cols)} column labels")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        return {
            "kind": "heatmap",
            "title": self.title,
            "data": {
                "values": matrix(self.values),
                "rows": list(self.rows),
                "cols": list(self.cols),
                "row_label": self.row_label,
                "col_label": self.col_label,
                "unit": self.unit,
            },
        }


@dataclass(frozen=True)
class Lines(Figure):
    """One or more curves over a common x axis, with bands around them or beside them."""

    title: str
    x: Sequence[float]
    series: Mapping[str, Sequence[float]]
    x_label: str
    y_label: str
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    """Label -> (low, high) at each x: the interval of the series of that label, or, under a label of its own, a control distribution."""

    def __post_init__(self) -> None:
        for label, (low, high) in self.bands.items():
            if not len(low) == len(high) == len(self.x):
                raise MechcheckError(f"the band {label!r} has {len(low)} lower and {len(high)} upper ends for {len(self.x)} values of x")
            if np.any(np.asarray(low, dtype=float) > np.asarray(high, dtype=float)):
                raise MechcheckError(f"the band {label!r} has a lower end above its upper end; give (low, high)")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        found: dict[str, Any] = {
            "x": numbers(self.x),
            "series": [{"label": label, "y": numbers(y)} for label, y in self.series.items()],
            "x_label": self.x_label,
            "y_label": self.y_label,
        }
        if self.bands:
            found["bands"] = [{"label": label, "low": numbers(low), "high": numbers(high)} for label, (low, high) in self.bands.items()]
        return {"kind": "lines", "title": self.title, "data": found}


@dataclass(frozen=True)
class Bars(Figure):
    """A value per label in the order given, with intervals: a ranking of heads, a comparison of circuits."""

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    unit: str = ""
    threshold: float | None = None
    """Where a line is drawn across all bars."""

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise MechcheckError("bars need both ends of their intervals, or neither: give low= and high=")
        for name, given in (("values", self.values), ("lower ends", self.low), ("upper ends", self.high)):
            if given is not None and len(given) != len(self.labels):
                raise MechcheckError(f"bars with {len(self.labels)} labels and {len(given)} {name}")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        found = {
            "labels": list(self.labels),
            "values": numbers(self.values),
            "low": None if self.low is None else numbers(self.low),
            "high": None if self.high is None else numbers(self.high),
            "unit": self.unit,
            "threshold": None if self.threshold is None else number(self.threshold),
        }
        return {"kind": "bars", "title": self.title, "data": found}


Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Table(Figure):
    """A small table: calibration, precision and recall, whatever has no picture."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise MechcheckError(f"row {i} of the table {self.title!r} has {len(row)} cells for {len(self.columns)} columns")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        return {"kind": "table", "title": self.title, "data": {"columns": list(self.columns), "rows": [cells(row) for row in self.rows]}}


def head_heatmap(title: str, values: Float[np.ndarray, "layer head"], unit: str) -> Heatmap:
    """A value per layer and head."""
    layers, heads = np.shape(values)
    return Heatmap(title, np.asarray(values), [str(i) for i in range(layers)], [str(i) for i in range(heads)], "layer", "head", unit)


def number(value: Any) -> float | None:
    """A number as the evidence keeps it; None where it is not finite, which the report shows as not measured."""
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def numbers(values: Any) -> list[float | None]:
    """Each number as the evidence keeps it."""
    return [number(v) for v in np.asarray(values, dtype=float)]


def matrix(values: Any) -> list[list[float | None]]:
    """Rows of numbers as the evidence keeps them."""
    return [numbers(row) for row in np.asarray(values)]


def cells(row: Sequence[Any]) -> list[str | float | int | bool | None]:
    """The cells of a table: text, truth values and whole numbers as they are, other numbers rounded."""
    return [_cell(value) for value in row]


def _cell(value: Any) -> str | float | int | bool | None:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    try:
        return number(float(value))
    except (TypeError, ValueError):
        raise MechcheckError(f"a cell of a table is text, a number, True, False or None, not {type(value).__name__}") from None
