"""Charts as SVG: curves with bands, bars with intervals, a search's steps; each with its numbers as a table beside it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from mechcheck.base.text import shorten
from mechcheck.drawing.axis import Axis, padded
from mechcheck.drawing.numbers import MISSING, alike
from mechcheck.drawing.svg import path, svg, text
from mechcheck.drawing.text import width

Json = dict[str, Any]
Column = Sequence[float | None]

_SERIES = 6  # how many styles of line there are
_MARKED = 60  # points of a curve up to which each has a mark
_NOTED = 12  # steps of a search up to which each says at its point what it changed
SITES = ("added", "removed", "set")
"""Columns of a search's table that name sites, some of which look like numbers."""
_EXACT = 6  # digits of what stands at round numbers: ticks, and most values of x


class Chart(NamedTuple):
    """A chart ready for the template: its picture, its legend, and the same numbers as a table."""

    title: str
    svg: Markup
    legend: list[tuple[Markup, str]]
    head: list[str]
    table: list[list[str]]


def lines(figure: Json) -> Chart:
    """Curves; their styles differ in colour, dash and mark. A band of a series' own label has its colour, any other is grey."""
    data = figure["data"]
    xs = data["x"]
    series = [(s["label"], _fitted(s["y"], xs)) for s in data["series"]]
    bands = [(b["label"], _fitted(b["low"], xs), _fitted(b["high"], xs)) for b in data.get("bands", ())]
    picture = _curves(figure["title"], xs, series, bands, data["x_label"], data["y_label"])
    labels = [label for label, _ in series]
    legend = [(legend_mark(i), label) for i, label in enumerate(labels)]
    legend += [(_legend_band(), label) for label, _, _ in bands if label not in labels]
    columns = [column for _, column in series]
    head = [data["x_label"], *labels]
    for label, low, high in bands:
        head += [f"{label}, low", f"{label}, high"]
        columns += [low, high]
    across = len(columns)
    shown = alike([y for i in range(len(xs)) for y in (c[i] for c in columns)])  # all are on one axis
    table = [[x, *shown[i * across : (i + 1) * across]] for i, x in enumerate(alike(xs, _EXACT))]
    return Chart(figure["title"], picture, legend, head, table)


def search(figure: Json) -> Chart:
    """The score after each step of a search, and the steps as a table: what came and what went, where the search says so."""
    data = figure["data"]
    steps, goal, told = data["steps"], data["goal"], any("added" in step for step in data["steps"])
    begun = [] if data["start"] is None else [data["start"]]
    scores = [*begun, *(step["score"] for step in steps)]
    xs = [float(i + 1 - len(begun)) for i in range(len(scores))]
    *shown, aim = alike([*scores, goal])
    came, went, sites = (*([" ".join(step.get(way, ())) for step in steps] for way in ("added", "removed")), [s["site"] for s in steps])
    blank = [""] * len(begun)
    columns = [("added", ["(start)"] * len(begun) + (came if told else sites))]
    columns += [("removed", blank + went)] if any(went) else []
    columns += [("set", blank + sites)] if told else []
    columns.append((data["score_label"], shown))
    columns += [(column["label"], blank + _told(column["cells"])) for column in data["details"]]
    notes = [_note(a, b) for a, b in zip(came, went, strict=True)] if told and len(steps) <= _NOTED else []
    line = [(data["score_label"], scores)]
    picture = _curves(figure["title"], xs, line, [], "step", data["score_label"], goal, blank + notes)
    legend = [(svg("key", 28, 12, path("thr", "M1 6H27")), f"goal {aim}")] if goal is not None else []
    rows = [list(row) for row in zip([f"{x:g}" for x in xs], *(cells for _, cells in columns), strict=True)]
    return Chart(figure["title"], picture, legend, ["step", *(name for name, _ in columns)], rows)


def _note(came: str, went: str) -> str:
    """What a step changed, as it stands beside its point."""
    return shorten(" ".join([*(f"+{site}" for site in came.split()), *(f"\N{MINUS SIGN}{site}" for site in went.split())]), 20)


def bars(figure: Json) -> Chart:
    """A bar per label with its interval; what is below zero points left, in another colour."""
    data = figure["data"]
    labels, values = data["labels"], data["values"]
    lows, highs = (data[end] or [None] * len(values) for end in ("low", "high"))
    ends = [x for column in (values, lows, highs) for x in column if x is not None]
    edges = [0.0] if data["threshold"] is None else [0.0, data["threshold"]]
    gutter = min(240.0, 12 + max((width(shorten(label, _LONGEST)) for label in labels), default=0.0))
    row, span = 20, 340
    height = row * len(labels)
    axis = padded([*ends, *edges], gutter, gutter + span, 0.03)
    shown = alike([*values, *lows, *highs])
    told = zip(*(shown[i : i + len(values)] for i in range(0, len(shown), len(values) or 1)), strict=True)
    table = [[label, *cells] for label, cells in zip(labels, told, strict=True)]
    marks = axis.ticks()
    parts = [
        path("grid", f"M{axis(t)} 0V{height}") + text(axis(t), height + 15, said)
        for t, said in zip(marks, alike(marks, _EXACT), strict=True)
    ]
    for i, (label, value, low, high) in enumerate(zip(labels, values, lows, highs, strict=True)):
        parts.append(_bar(axis, i * row, row, label, value, low, high, shown[i]))
    parts.append(path("axis", f"M{axis(0)} 0V{height}"))
    if data["threshold"] is not None:
        parts.append(path("thr", f"M{axis(data['threshold'])} 0V{height}"))
    parts.append(text(round(gutter + span / 2, 1), height + 32, data["unit"], "label"))
    title = f"{figure['title']}: {len(labels)} values; the numbers are in the table below"
    picture = svg("chart ranking", round(gutter + span + 64), height + 38, *parts, label=title)
    head = ["", data["unit"] or "value", "low", "high"]
    if data["low"] is None:
        head, table = head[:2], [line[:2] for line in table]
    return Chart(figure["title"], picture, [], head, table)


_LONGEST = 34


def _bar(
    axis: Axis, top: float, row: float, label: str, value: float | None, low: float | None, high: float | None, shown: str,
) -> Markup:  # fmt: skip
    middle = round(top + row / 2, 1)
    named = text(axis.start - 6, middle + 3.5, shorten(label, _LONGEST), "y name")
    if value is None:
        return named + text(axis.end + 8, middle + 3.5, MISSING, "v")
    left, right = sorted((axis(0), axis(value)))
    drawn = Markup('<rect class="bar{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        " minus" if value < 0 else "", left, top + 3, round(max(right - left, 0.5), 1), row - 6
    )
    whisker = Markup("")
    if low is not None and high is not None:
        whisker = path("whisker", f"M{axis(low)} {middle}H{axis(high)}M{axis(low)} {middle - 3}v6M{axis(high)} {middle - 3}v6")
    return named + drawn + whisker + text(axis.end + 8, middle + 3.5, shown, "v")


def _fitted(ys: Column, xs: Sequence[float]) -> list[float | None]:
    """A series shorter than x goes on as missing."""
    return [*ys[: len(xs)], *([None] * (len(xs) - len(ys)))]


def _told(column: Sequence[Any]) -> list[str]:
    """The cells of a column in words; its numbers alike."""
    numbers = iter(alike([cell for cell in column if not isinstance(cell, (str, bool))]))
    return [("yes" if cell else "no") if isinstance(cell, bool) else cell if isinstance(cell, str) else next(numbers) for cell in column]


class Cells(NamedTuple):
    """A table as text."""

    head: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    """Columns that hold numbers, and nothing but numbers."""


def table(figure: Json) -> Cells:
    """A table's cells in words, and which of its columns are to be set as numbers."""
    head, rows = figure["data"]["columns"], figure["data"]["rows"]
    numeric = [_all_numbers([row[i] for row in rows]) for i in range(len(head))]
    columns = [_told([row[i] for row in rows]) for i in range(len(head))]
    return Cells(head, [list(cells) for cells in zip(*columns, strict=True)], numeric)


def _all_numbers(column: Sequence[Any]) -> bool:
    known = [cell for cell in column if cell is not None]
    return bool(known) and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in known)


def _curves(
    title: str, xs: Sequence[float], series: Sequence[tuple[str, Column]], bands: Sequence[tuple[str, Column, Column]],
    x_label: str, y_label: str, goal: float | None = None, notes: Sequence[str] = (),
) -> Markup:  # fmt: skip
    known = [y for column in (*(c for _, c in series), *(c for _, *ends in bands for c in ends)) for y in column if y is not None]
    known += [] if goal is None else [goal]
    wide, high = 460, 250
    across = Axis(min(xs, default=0.0), max(xs, default=1.0), 58, wide - 14)
    up = padded(known or [0.0], high - 44, 22)
    labels = [label for label, _ in series]
    # Between layers and between steps there is nothing, so nothing is marked there.
    counted = all(float(x).is_integer() for x in xs)
    parts = [_frame(across, up, x_label, y_label, counted)]
    for label, low, top in bands:
        style = f"s{labels.index(label) % _SERIES}" if label in labels else "others"
        parts.append(Markup('<g class="{}">{}</g>').format(style, _band(xs, low, top, across, up)))
    parts += [_series(i, list(zip(xs, column, strict=True)), across, up) for i, (_, column) in enumerate(series)]
    if goal is not None:
        parts.append(path("thr", f"M{across.start} {up(goal)}H{across.end}"))
    for x, y, note in zip(xs, series[0][1] if notes else (), notes, strict=False):
        if note and y is not None:
            # At the ends a note would reach beyond the picture.
            side = " first" if across(x) < wide / 4 else " y" if across(x) > 3 * wide / 4 else ""
            parts.append(text(across(x), round(up(y) - 8, 1), note, f"note{side}"))
    return svg("chart curves", wide, high, *parts, label=f"{title}: {y_label} against {x_label}; the numbers are in the table below")


def _band(xs: Sequence[float], low: Column, high: Column, across: Axis, up: Axis) -> Markup:
    """The area between two curves, wherever both are known."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    for x, a, b in zip(xs, low, high, strict=True):
        if a is None or b is None:
            runs.append([])
        else:
            runs[-1].append((across(x), up(a), up(b)))
    outline = ""
    for run in filter(None, runs):
        forth = "L".join(f"{x} {b}" for x, _, b in run)
        back = "L".join(f"{x} {a}" for x, a, _ in reversed(run))
        outline += f"M{forth}L{back}Z"
    return path("band", outline)


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
    marks = "".join(_mark(index, x, y) for run in runs for x, y in run) if len(points) <= _MARKED else ""
    return _styled(index, line, marks)


def _frame(across: Axis, up: Axis, x_label: str, y_label: str, counted: bool) -> Markup:
    parts = []
    heights, places = up.ticks(), [t for t in across.ticks(6) if t.is_integer() or not counted]
    for t, said in zip(heights, alike(heights, _EXACT), strict=True):
        parts.append(path("grid", f"M{across.start} {up(t)}H{across.end}") + text(across.start - 6, up(t) + 3.5, said, "y"))
    for t, said in zip(places, alike(places, _EXACT), strict=True):
        parts.append(path("tick", f"M{across(t)} {up.start}v4") + text(across(t), up.start + 16, said))
    if up.low < 0 < up.high:
        parts.append(path("axis", f"M{across.start} {up(0)}H{across.end}"))
    parts.append(path("axis", f"M{across.start} {up.start}H{across.end}"))
    parts.append(text(round((across.start + across.end) / 2, 1), up.start + 34, x_label, "label"))
    parts.append(text(4, 12, y_label, "label first"))
    return Markup("").join(parts)


def legend_mark(index: int) -> Markup:
    """The sample of a line in the legend."""
    return svg("key", 28, 12, _styled(index, "M1 6H27", _mark(index, 14, 6)))


def _legend_band() -> Markup:
    return svg("key", 28, 12, Markup('<g class="others">{}</g>').format(path("band", "M1 1H27V11H1Z")))
