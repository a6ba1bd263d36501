"""Grids of colour: heatmaps as tables or pictures, alone or several on one scale; the grids of a logit lens, the attention of heads."""

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

from mechcheck.drawing.numbers import MISSING, fixed, grid_decimals, short
from mechcheck.drawing.palette import Scale, png, ramp_colours, scale_for, step_class
from mechcheck.drawing.text import numbered, token, visible

Json = dict[str, Any]
Grid = list[list[float | None]]

LARGEST_TABLE = 20
_FINE = 2  # decimals of probabilities


class Heatmap(NamedTuple):
    """A heatmap ready for the template: cells are (CSS class, text); a grid too large for coloured cells has a `picture` (a data URI)."""

    title: str
    unit: str
    row_label: str
    col_label: str
    rows: list[str]
    cols: list[str]
    cells: list[list[tuple[str, str]]]
    exact: str
    """Every value with all digits that the evidence has, row by row; a dash where there is none."""
    picture: str | None
    ramp: str
    scale: str
    """For a script that colours the cells: kind of ramp, ends of the scale, decimals."""
    low: str
    middle: str
    high: str
    tall: bool
    missing: bool
    hints: list[list[str]]
    """What to read out of a cell in place of its number; empty where that is the number."""
    steps: list[list[int | None]]
    """Of the palette: each cell's."""

    @property
    def colours(self) -> list[str]:
        """The colour bar, from its low end to its high end."""
        return ramp_colours(self.ramp)


def heatmap(figure: Json) -> Heatmap:
    """Colours and texts of a heatmap."""
    data = figure["data"]
    grid = _filled(data["values"])
    return _drawn(figure["title"], data, grid, scale_for([x for line in grid for x in line if x is not None]))


class Group(NamedTuple):
    """Heatmaps on one scale."""

    title: str
    grids: list[Heatmap]

    @property
    def scale(self) -> str:
        """What is to be said of the scale, beside the one colour bar of all."""
        return f"one scale for all {len(self.grids)}" if len(self.grids) > 1 else ""

    @property
    def missing(self) -> bool:
        """Whether any of them has a cell without a value."""
        return any(one.missing for one in self.grids)


def compared(figure: Json) -> Group:
    """Heatmaps beside each other, on the scale and with the decimals of all their values together."""
    every = [figure["data"], *figure["data"]["others"]]
    grids = [_filled(data["values"]) for data in every]
    known = [x for grid in grids for line in grid for x in line if x is not None]
    scale, decimals = scale_for(known), grid_decimals(known)
    return Group(
        figure["title"], [_drawn(d.get("name", ""), d, grid, scale, decimals=decimals) for d, grid in zip(every, grids, strict=True)]
    )


_PROBABILITIES = Scale(0.0, 1.0, False)


class Pane(NamedTuple):
    """One of the grids between which a lens is switched."""

    run: str
    """Clean, or corrupted; empty where there is one run."""
    what: str
    map: Heatmap


class Lens(NamedTuple):
    """A logit lens: of each run a grid for the answer, one for the foil, one of the most probable tokens."""

    title: str
    panes: list[Pane]


def lens(figure: Json) -> Lens:
    """The grids of a logit lens, all on the scale from 0 to 1; the first of them is the one that is seen."""
    data = figure["data"]
    return Lens(figure["title"], [pane for one in (data, *data.get("others", ())) for pane in _panes(one)])


def _panes(data: Json) -> Iterator[Pane]:
    axes = {"rows": data["layers"], "cols": data["tokens"], "row_label": "layer", "col_label": "token", "unit": "probability"}
    run = data.get("name", "")
    for key, what in (("p_answer", "p(answer)"), ("p_foil", "p(foil)")):
        if data[key] is not None:
            yield Pane(run, what, _drawn(": ".join(filter(None, (run, what))), axes, _filled(data[key]), _PROBABILITIES, decimals=_FINE))
    if data["top"]:
        top = _top(axes, data["top"])
        yield Pane(run, top.title, top._replace(title=": ".join(filter(None, (run, top.title)))))


def attention(figure: Json) -> Group:
    """A grid per head, from each token (row) to each token (column), and below them the same weighted by values; on the first prompt.

    Each of the two sets has one scale: attention reaches to 1, other weights to the largest of any head.
    """
    data = figure["data"]
    labels = numbered(data["tokens"])
    axes = {"rows": labels, "cols": labels, "row_label": "from", "col_label": "to"}
    grids = []
    for unit, heads in (("attention", data["patterns"]), ("value-weighted attention", data["weighted"] or ())):
        low = min((head["low"] for head in heads), default=0.0)
        most = max((max(abs(head["low"]), abs(head["high"])) for head in heads), default=0.0) or 1.0
        scale = Scale(-most, most, True) if low < 0 else Scale(0.0, 1.0 if unit == "attention" and most <= 1 else most, False)
        of = "" if unit == "attention" else ", value-weighted"
        grids += [
            _drawn(f"head {head['head']}{of}", axes | {"unit": unit}, _filled(unpacked(head, len(labels))), scale, largest=0)
            for head in heads
        ]
    return Group(figure["title"], grids)


def unpacked(head: Json, n: int) -> list[list[float | None]]:
    """The weights of a head that the evidence keeps as bytes, a row for each of the `n` tokens."""
    steps = base64.b64decode(head["values"])
    scale = (head["high"] - head["low"]) / 255
    return [[head["low"] + scale * step for step in steps[i * n : (i + 1) * n]] for i in range(n)]


def _top(axes: Json, top: list[list[list[Json]]]) -> Heatmap:
    first: Grid = [[cell[0]["p"] if cell else None for cell in line] for line in top]
    drawn = _drawn("most probable token", axes, first, _PROBABILITIES, largest=10_000)
    named = [
        [(css_class, token(cell[0]["token"]) if cell else MISSING) for (css_class, _), cell in zip(classes, line, strict=True)]
        for classes, line in zip(drawn.cells, top, strict=True)
    ]
    hints = [
        [", ".join(f"{token(t['token'])} {MISSING if t['p'] is None else short(t['p'])}" for t in cell) for cell in line] for line in top
    ]
    return drawn._replace(cells=named, hints=hints)


def _filled(values: Grid) -> Grid:
    """Lines of unequal length would shift what follows: the shorter ones are filled up as not measured."""
    n_cols = max((len(line) for line in values), default=0)
    return [[*line, *([None] * (n_cols - len(line)))] for line in values]


def _names(given: list[str], n: int) -> list[str]:
    return [visible(token(name)) for name in given] if len(given) == n else [str(i) for i in range(n)]


def _drawn(title: str, axes: Json, grid: Grid, scale: Scale, largest: int = LARGEST_TABLE, decimals: int | None = None) -> Heatmap:
    n_cols = len(grid[0]) if grid else 0
    if decimals is None:
        decimals = grid_decimals([scale.low, scale.high, *(x for line in grid for x in line if x is not None)])
    steps = [[scale.step(x) for x in line] for line in grid]
    large = n_cols > 0 and max(len(grid), n_cols) > largest
    cols = _names(axes["cols"], n_cols)
    ramp = "div" if scale.diverging else "seq" if scale.low >= 0 else "neg"
    return Heatmap(
        title=title,
        unit=axes["unit"],
        row_label=axes["row_label"],
        col_label=axes["col_label"],
        rows=_names(axes["rows"], len(grid)),
        cols=cols,
        cells=[] if large else [[(step_class(scale.step(x)), MISSING if x is None else fixed(x, decimals)) for x in line] for line in grid],
        exact=" ".join(MISSING if x is None else f"{x:g}" for line in grid for x in line),
        picture=png(steps) if large else None,
        ramp=ramp,
        scale=f"{ramp} {scale.low!r} {scale.high!r} {decimals}",
        low=fixed(scale.low, decimals),
        middle="0" if scale.diverging else "",
        high=fixed(scale.high, decimals),
        tall=any(len(c) > 5 for c in cols),
        missing=any(x is None for line in grid for x in line),
        hints=[],
        steps=steps,
    )
