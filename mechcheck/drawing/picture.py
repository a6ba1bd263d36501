"""A figure as one SVG that stands by itself: in a file, in a paper, in a notebook."""

from collections.abc import Callable
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechcheck.base.errors import MechcheckError
from mechcheck.drawing import charts, graph, heatmaps
from mechcheck.drawing.blocks import NOTHING, Block, below, beside, framed, plain, table, words
from mechcheck.drawing.grids import grid, key
from mechcheck.drawing.palette import on_paper
from mechcheck.drawing.svg import text
from mechcheck.drawing.text import visible, width

Json = dict[str, Any]

_MARGIN = 12
_WIDEST = 1000.0  # of several grids beside each other
_NAMED = 6  # edges without an effect that are told by name
_PAIR = 1500.0  # of heatmaps that are compared: two of twenty tokens fit
_TITLE = 560.0  # pixels that a title may have more than its picture
# What only a picture by itself has; the rest of its style is that of pictures on a page.
_OWN = """svg { height: auto; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
svg .heading { font-size: 12.5px; font-weight: 600; fill: var(--ink); }
svg .cell { fill: var(--ink); font-size: 10px; }
svg .on-dark { fill: #fff; font-size: 10px; }
svg .on-light { fill: #000; font-size: 10px; }
svg .paper { fill: var(--bg); }
svg .edge-of-picture { fill: none; stroke: var(--line); }
svg svg { overflow: visible; }
svg .value { fill: var(--s0); fill-opacity: .55; }
svg .pile { stroke: var(--s0); stroke-width: 5; opacity: .55; }
svg .mean { fill: var(--ink); }
"""


def picture(figure: Json) -> str:
    """The figure as SVG, on white.

    Raises:
        MechcheckError: a kind that only a newer version knows.
    """
    draw = _DRAWN.get(figure["kind"])
    if draw is None:
        raise MechcheckError(f"this version cannot draw a figure of the kind {figure['kind']!r}; it knows {', '.join(_DRAWN)}")
    drawn, title = draw(figure), plain(figure["title"])
    heading = words(title, "heading", max(drawn.width, _TITLE)) if title else NOTHING
    return sheet(title or figure["kind"], below([heading, drawn] if title else [drawn]))


def sheet(label: str, drawn: Block) -> str:
    """A picture on white paper, with its style."""
    wide, high = (round(size + 2 * _MARGIN) for size in (drawn.width, drawn.height))
    return visible(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" class="mechcheck" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" '
            'aria-label="{2}"><style>{3}</style><rect class="paper" width="{0}" height="{1}"/>{4}</svg>'
        ).format(wide, high, label, Markup(style()), drawn.at(_MARGIN, _MARGIN))
    )


@cache
def style() -> str:
    """The style of pictures, for those of ours alone: a style sheet in a picture holds for the whole page that it is put into."""
    rules = (Path(__file__).parent / "pictures.css").read_text(encoding="utf-8") + _OWN
    scoped = []
    for rule in on_paper(rules).split("}")[:-1]:
        selectors, _, what = rule.partition("{")
        ours = (".mechcheck " + s.strip().removeprefix("svg").strip() for s in selectors.split(","))
        scoped.append(f"{','.join(s.strip() for s in ours)}{{{what.strip()}}}")
    return "".join(scoped)


def _chart(view: charts.Chart) -> Block:
    samples = [_sample(mark, label) for mark, label in view.legend]
    picture_ = framed(view.svg)
    return below([picture_, beside(samples, picture_.width, gap=16)] if samples else [picture_], gap=6)


def _sample(mark: Markup, label: str) -> Block:
    return Block(34 + width(label), 16, mark + text(34, 10, plain(label), "cell first"))


def _search(figure: Json) -> Block:
    """The steps are told below the curve, since it is the sites that one wants to know."""
    view = charts.search(figure)
    numeric = [name not in charts.SITES and all(_is_number(row[i]) for row in view.table) for i, name in enumerate(view.head)]
    return below([_chart(view), table(view.head, view.table, numeric)])


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(charts.MISSING, "") or 0)
    except ValueError:
        return False
    return True


def _table(figure: Json) -> Block:
    view = charts.table(figure)
    return table(view.head, view.rows, view.numeric)


def _graph(figure: Json) -> Block:
    view = graph.graph(figure)
    told = f"the wider an edge, the more {view.unit}".rstrip() + "; dashed below zero"
    parts = [framed(view.svg), words(plain(told), "cell", _TITLE)]
    if view.nil:
        some = [*view.nil[:_NAMED], *([f"{len(view.nil) - _NAMED} more"] if len(view.nil) > _NAMED else [])]
        parts.append(words(plain(f"not drawn, as the effect is zero: {', '.join(some)}"), "cell", _TITLE))
    if view.inputs:
        parts.append(beside([words(f"read as {name}", f"cell edge {kind}", _TITLE) for kind, name in view.inputs], _TITLE))
    return below(parts, gap=4)


def _heatmap(figure: Json) -> Block:
    """By itself, or with others on one scale, which is told once."""
    if "others" not in figure["data"]:
        return grid(heatmaps.heatmap(figure))
    view = heatmaps.compared(figure)
    told = [key(view.grids[0]._replace(missing=view.missing)), words(view.scale, "cell", _TITLE)]
    return below([beside([grid(heat, titled=True, keyed=False) for heat in view.grids], _PAIR), beside(told, _PAIR, gap=16)])


def _lens(figure: Json) -> Block:
    """All that a page switches between, one run below the other, with one colour bar."""
    every = heatmaps.lens(figure).panes
    runs = [list(panes) for _, panes in groupby(every, lambda pane: pane.run)]
    drawn = [beside([grid(pane.map, titled=True, keyed=False) for pane in panes], _WIDEST) for panes in runs]
    return below([*drawn, key(every[0].map._replace(missing=any(pane.map.missing for pane in every)))], gap=16)


def _attention(figure: Json) -> Block:
    """Heads of a set have one scale, which is told once; of several prompts the first is drawn."""
    others = len(figure["data"].get("others", ()))
    told = f"{figure['data'].get('name', '')}, the first of {others + 1} prompts; a page (.html) has them all"
    sets = [words(plain(told), "cell", _TITLE)] if others else []
    for _, heats in groupby(heatmaps.attention(figure).grids, lambda heat: heat.unit):
        of_set = list(heats)
        sets.append(below([beside([grid(heat, titled=True, keyed=False) for heat in of_set], _WIDEST), key(of_set[0])]))
    return below(sets, gap=16)


_DRAWN: dict[str, Callable[[Json], Block]] = {
    "heatmap": _heatmap,
    "lens": _lens,
    "lines": lambda figure: _chart(charts.lines(figure)),
    "bars": lambda figure: _chart(charts.bars(figure)),
    "search": _search,
    "table": _table,
    "circuit": _graph,
    "attention": _attention,
}
