"""Figures: data in the evidence, drawn by the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from mechcheck._errors import MechcheckError

# Digits kept in the evidence: enough to read off, few enough to keep the file small.
_DIGITS = 5


@dataclass(frozen=True)
class Heatmap:
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
                "values": [_numbers(row) for row in np.asarray(self.values)],
                "rows": list(self.rows),
                "cols": list(self.cols),
                "row_label": self.row_label,
                "col_label": self.col_label,
                "unit": self.unit,
            },
        }


@dataclass(frozen=True)
class Lines:
    """One or more curves over a common x axis."""

    title: str
    x: Sequence[float]
    series: Mapping[str, Sequence[float]]
    x_label: str
    y_label: str

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        return {
            "kind": "lines",
            "title": self.title,
            "data": {
                "x": _numbers(self.x),
                "series": [{"label": label, "y": _numbers(y)} for label, y in self.series.items()],
                "x_label": self.x_label,
                "y_label": self.y_label,
            },
        }


def head_heatmap(title: str, values: Float[np.ndarray, "layer head"], unit: str) -> Heatmap:
    """A value per layer and head."""
    layers, heads = np.shape(values)
    return Heatmap(title, np.asarray(values), [str(i) for i in range(layers)], [str(i) for i in range(heads)], "layer", "head", unit)


def _numbers(values: Any) -> list[float | None]:
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]
