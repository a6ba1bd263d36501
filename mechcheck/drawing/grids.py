"""Heatmaps as SVG: cells with their numbers, or one picture where there are many."""

from collections.abc import Sequence

from markupsafe import Markup

from mechcheck.base.text import shorten
from mechcheck.drawing.blocks import NOTHING, Block, below, plain, words
from mechcheck.drawing.heatmaps import Heatmap
from mechcheck.drawing.palette import paints, png
from mechcheck.drawing.svg import text
from mechcheck.drawing.text import width

_LONGEST = 28
_ROW = 19.0
_LARGE = 520.0  # pixels that a large grid is wide or high
_SMALLEST = 11.0  # between two names
_FINE = 1600  # pixels of a picture, of which each cell gets a whole number: a viewer that blurs it then blurs no cell
_RAMP = 144.0


def grid(heat: Heatmap, *, titled: bool = False, keyed: bool = True) -> Block:
    """A heatmap with the names of its rows and columns, its colour bar, and, if `titled`, its title."""
    head = [words(plain(heat.title), "label", 480)] if titled and heat.title else []
    return below([*head, _body(heat), *([key(heat)] if keyed else [])], gap=6)


def _body(heat: Heatmap) -> Block:
    rows, cols = ([shorten(plain(name) or name, _LONGEST) for name in names] for names in (heat.rows, heat.cols))
    if not rows or not cols:
        return words("no cells", "label", 480)
    if heat.picture:
        wide = high = min(14.0, max(_LARGE / max(len(rows), len(cols)), 1.0))
    else:
        shown = max(width(cell, 10) for line in heat.cells for _, cell in line)
        wide, high = max(24.0, shown + 8, *([] if heat.tall else [width(name, 10) + 4 for name in cols])), _ROW
    upright = heat.tall or bool(heat.picture)
    corner = f"{heat.row_label} ↓" if heat.row_label else ""
    left = max(width(corner), *(width(name, 10) for name in rows)) + 7
    over = 1.1 * max(width(name, 10) for name in cols) + 8 if upright else 16.0  # capitals are wider than the usual letter
    top = over + (14 if heat.col_label else 0)
    parts = [text(left, 10, f"{heat.col_label} →", "first")] if heat.col_label else []
    parts += [text(left - 7, top - 5, corner, "y")] if corner else []
    for i in range(0, len(rows), _every(high)):
        parts.append(text(round(left - 7, 1), round(top + (i + 0.5) * high + 3.5, 1), rows[i], "y cell"))
    for i in range(0, len(cols), _every(wide)):
        parts.append(_over(cols[i], round(left + (i + 0.5) * wide, 1), round(top - 5, 1), upright))
    parts.append(_picture(heat, left, top, wide, high) if heat.picture else _cells(heat, left, top, wide))
    # A caption may be wider than the few columns that it stands over.
    return Block(left + max(len(cols) * wide, width(f"{heat.col_label} →")), top + len(rows) * high, Markup("").join(parts))


def _every(step: float) -> int:
    """Which names are written, that they do not overlap: each, every second..."""
    return max(1, -int(-_SMALLEST // step))


def _over(name: str, x: float, y: float, upright: bool) -> Markup:
    if not upright:
        return text(x, y, name, "cell")
    return Markup('<text class="first cell" transform="translate({} {}) rotate(-90)">{}</text>').format(round(x + 3.5, 1), y, name)


def _cells(heat: Heatmap, left: float, top: float, wide: float) -> Markup:
    parts, exact, across = [], heat.exact.split(" "), len(heat.cols)
    for r, line in enumerate(heat.cells):
        for c, (css_class, shown) in enumerate(line):
            fill, ink = paints()[css_class]
            told = heat.hints[r][c] if heat.hints else exact[r * across + c]
            named = f"{heat.row_label} {heat.rows[r]}, {heat.col_label} {heat.cols[c]}: {told}".strip()
            x, y = round(left + c * wide, 1), round(top + r * _ROW, 1)
            drawn = Markup('<rect fill="{}" x="{}" y="{}" width="{}" height="{}"/>').format(fill, x, y, round(wide, 1), _ROW)
            parts.append(Markup("<g><title>{}</title>{}{}</g>").format(named, drawn, text(round(x + wide / 2, 1), y + 13, shown, ink)))
    return Markup("").join(parts)


def _picture(heat: Heatmap, left: float, top: float, wide: float, high: float) -> Markup:
    rows, cols = len(heat.rows), len(heat.cols)
    data = png(_enlarged(heat.steps, max(1, min(12, _FINE // max(rows, cols)))))
    return Markup(
        '<image x="{0}" y="{1}" width="{2}" height="{3}" preserveAspectRatio="none" style="image-rendering:pixelated" href="{4}"/>'
        '<rect class="edge-of-picture" x="{0}" y="{1}" width="{2}" height="{3}"/>'
    ).format(round(left, 1), round(top, 1), round(cols * wide, 1), round(rows * high, 1), data)


def _enlarged(steps: Sequence[Sequence[int | None]], by: int) -> list[list[int | None]]:
    return [line for given in steps for line in [[step for step in given for _ in range(by)]] * by]


def key(heat: Heatmap) -> Block:
    """The colour bar between the ends of the scale, the unit, and what is grey."""
    shown, x = [], 0.0
    if heat.low or heat.high:
        x = width(heat.low) + 6
        shown += [text(0, 11, heat.low, "first"), _ramp(heat, x), text(round(x + _RAMP + 6, 1), 11, heat.high, "first")]
        x += _RAMP + 12 + width(heat.high)
    if heat.unit:
        shown.append(text(round(x + 6, 1), 11, heat.unit, "first"))
        x += 12 + width(heat.unit)
    if heat.missing:
        fill, _ = paints()["nil"]
        shown.append(Markup('<rect fill="{}" x="{}" y="2" width="16" height="12"/>').format(fill, round(x + 6, 1)))
        shown.append(text(round(x + 27, 1), 11, "not measured", "first"))
        x += 27 + width("not measured")
    return Block(x, 15, Markup("").join(shown)) if shown else NOTHING


def _ramp(heat: Heatmap, x: float) -> Markup:
    colours = heat.colours
    wide = _RAMP / len(colours)
    strips = [
        Markup('<rect fill="{}" x="{}" y="2" width="{}" height="12"/>').format(fill, round(x + i * wide, 2), round(wide + 0.3, 2))
        for i, fill in enumerate(colours)
    ]
    middle = text(round(x + _RAMP / 2, 1), 12, heat.middle, "on-light") if heat.middle else Markup("")
    return Markup("").join(strips) + middle
