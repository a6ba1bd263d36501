"""The figures of a claim: heatmaps as tables or pictures, lines as SVG; each with its numbers readable without a script."""

from typing import Any, NamedTuple

from markupsafe import Markup

from mechcheck.report._axis import Axis, padded
from mechcheck.report._numbers import MISSING, fixed, grid_decimals, short
from mechcheck.report._palette import png, scale_for, step_class
from mechcheck.report._svg import path, svg, text

Json = dict[str, Any]

LARGEST_TABLE = 20
_SERIES = 6  # how many styles of line there are


class Heatmap(NamedTuple):
    """A heatmap ready for the template: cells are (CSS class, text); a grid too large for coloured cells has a `picture` (a data URI)."""

    title: str
    unit: str
    row_label: str
    col_label: str
    rows: list[str]
    cols: list[str]
    cells: list[list[tuple[str, str]]]
    picture: str | None
    ramp: str
    low: str
    middle: str
    high: str
    tall: bool
    missing: bool


def _names(given: list[str], n: int) -> list[str]:
    return given if len(given) == n else [str(i) for i in range(n)]


def heatmap(figure: Json) -> Heatmap:
    """Colours and texts of a heatmap."""
    data = figure["data"]
    values: list[list[float | None]] = data["values"]
    known = [x for line in values for x in line if x is not None]
    scale, decimals = scale_for(known), grid_decimals(known)
    # Lines of unequal length would shift what follows: the shorter ones are filled up as not measured.
    n_cols = max((len(line) for line in values), default=0)
    grid = [[*line, *([None] * (n_cols - len(line)))] for line in values]
    steps = [[scale.step(x) for x in line] for line in grid]
    large = n_cols > 0 and max(len(grid), n_cols) > LARGEST_TABLE
    texts = [[MISSING if x is None else fixed(x, decimals) for x in line] for line in grid]
    classes = [["" if large else step_class(s) for s in line] for line in steps]
    cols = _names(data["cols"], n_cols)
    return Heatmap(
        title=figure["title"],
        unit=data["unit"],
        row_label=data["row_label"],
        col_label=data["col_label"],
        rows=_names(data["rows"], len(grid)),
        cols=cols,
        cells=[list(zip(c, t, strict=True)) for c, t in zip(classes, texts, strict=True)],
        picture=png(steps) if large else None,
        ramp="div" if scale.diverging else "seq" if scale.low >= 0 else "neg",
        low=fixed(scale.low, decimals),
        middle="0" if scale.diverging else "",
        high=fixed(scale.high, decimals),
        tall=any(len(c) > 5 for c in cols),
        missing=any(x is None for line in grid for x in line),
    )


class Lines(NamedTuple):
    """A line chart ready for the template: its picture, and the same numbers as a table."""

    title: str
    svg: Markup
    x_label: str
    labels: list[str]
    table: list[tuple[str, list[str]]]


def _runs(points: list[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points in unbroken runs: a missing value breaks the line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]


_MARKS = (
    "M{x} {y}m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "M{x} {y}m-3-3h6v6h-6z",
    "M{x} {y}m0-4l4 7h-8z",
    "M{x} {y}m0-4l4 4-4 4-4-4z",
)


def _mark(shape: int, x: float, y: float) -> str:
    return _MARKS[shape % len(_MARKS)].format(x=x, y=y)


def _styled(index: int, line: str, marks: str) -> Markup:
    """A line and its marks, in the style of the series."""
    return Markup('<g class="s{}">{}{}</g>').format(index % _SERIES, path("line", line), path("mark", marks))


def _series(index: int, points: list[tuple[float, float | None]], across: Axis, up: Axis) -> Markup:
    runs = [[(across(x), up(y)) for x, y in run] for run in _runs(points)]
    line = "".join("M" + "L".join(f"{x} {y}" for x, y in run) for run in runs)
    marks = "".join(_mark(index, x, y) for run in runs for x, y in run) if len(points) <= 60 else ""
    return _styled(index, line, marks)


def _frame(across: Axis, up: Axis, x_label: str, y_label: str) -> Markup:
    parts = []
    for t in up.ticks():
        parts.append(path("grid", f"M{across.start} {up(t)}H{across.end}") + text(across.start - 6, up(t) + 3.5, short(t), "y"))
    for t in across.ticks(6):
        parts.append(path("tick", f"M{across(t)} {up.start}v4") + text(across(t), up.start + 16, short(t)))
    if up.low < 0 < up.high:
        parts.append(path("axis", f"M{across.start} {up(0)}H{across.end}"))
    parts.append(path("axis", f"M{across.start} {up.start}H{across.end}"))
    parts.append(text(round((across.start + across.end) / 2, 1), up.start + 34, x_label, "label"))
    parts.append(text(4, 12, y_label, "label first"))
    return Markup("").join(parts)


def lines(figure: Json) -> Lines:
    """A line chart; the styles of the lines differ in colour, dash and mark."""
    data = figure["data"]
    xs, series = data["x"], data["series"]
    # A series shorter than x goes on as missing.
    columns = [[*s["y"][: len(xs)], *([None] * (len(xs) - len(s["y"])))] for s in series]
    ys = [y for column in columns for y in column if y is not None]
    width, height = 460, 250
    across = Axis(min(xs, default=0.0), max(xs, default=1.0), 58, width - 14)
    up = padded(ys or [0.0], height - 44, 22)
    drawn = (_series(i, list(zip(xs, column, strict=True)), across, up) for i, column in enumerate(columns))
    label = f"{figure['title']}: {data['y_label']} against {data['x_label']}; the numbers are in the table below"
    picture = svg("chart", width, height, _frame(across, up, data["x_label"], data["y_label"]), *drawn, label=label)
    table = [(short(x), [MISSING if c[i] is None else short(c[i]) for c in columns]) for i, x in enumerate(xs)]
    return Lines(figure["title"], picture, data["x_label"], [s["label"] for s in series], table)


def legend_mark(index: int) -> Markup:
    """The sample of a line in the legend."""
    return svg("key", 28, 12, _styled(index, "M1 6H27", _mark(index, 14, 6)))
