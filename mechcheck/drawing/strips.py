"""Single numbers on a line: piles of dots above an axis."""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from mechcheck.drawing.axis import Axis, padded
from mechcheck.drawing.blocks import Block, framed
from mechcheck.drawing.numbers import alike, short
from mechcheck.drawing.svg import circle, path, svg, text

_WIDE, _ROOM, _MARGIN = 460, 54, 14
_COLUMN = 6  # pixels within which values stand in one pile
_DOTS = 300  # up to which each value is a dot that says what it is


def stacked(axis: Axis, values: Sequence[float], floor: float, room: float) -> list[tuple[float, float]]:
    """A place per value: dots that would overlap are stacked upwards, closer together where the pile would be too high."""
    piles: dict[int, int] = {}
    levels = []
    for v in values:
        column = round(axis(v) / _COLUMN)
        levels.append(piles.get(column, 0))
        piles[column] = levels[-1] + 1
    rise = min(6.0, room / max(piles.values(), default=1))
    return [(axis(v), round(floor - rise * level, 1)) for v, level in zip(values, levels, strict=True)]


def ticks(axis: Axis, y: float) -> Markup:
    """The axis at a height, with its numbers below."""
    marks = (
        path("tick", f"M{axis(t)} {y}v4") + text(axis(t), y + 15, said)
        for t, said in zip(axis.ticks(4), alike(axis.ticks(4), 6), strict=True)
    )
    return path("axis", f"M{axis.start} {y}H{axis.end}") + Markup("").join(marks)


def strip(values: Sequence[float], names: Sequence[str], middle: float | None, low: float | None, high: float | None) -> Block:
    """Each value as a dot in a pile, or, where there are many, the piles alone; below them the mean and its interval, if there are."""
    ends = [x for x in (middle, low, high) if x is not None]
    axis = padded([*values, *ends], _MARGIN, _WIDE - _MARGIN)
    piles = _dots(axis, values, names) if len(values) <= _DOTS else _columns(axis, values)
    line = _ROOM + 14
    whisker = path("whisker", f"M{axis(low)} {line}H{axis(high)}") if low is not None and high is not None else Markup("")
    dot = circle("mean", axis(middle), line, 3.6) if middle is not None else Markup("")
    label = f"{len(values)} values from {short(min(values))} to {short(max(values))}"
    return framed(svg("strip", _WIDE, line + 30, piles, whisker, dot, ticks(axis, line + 8), label=label))


def _dots(axis: Axis, values: Sequence[float], names: Sequence[str]) -> Markup:
    places = stacked(axis, values, _ROOM, _ROOM - 6)
    told = [f"{name}: {short(value)}" for name, value in zip(names, values, strict=True)]
    return Markup("").join(circle("value", x, y, 2.6, title) for (x, y), title in zip(places, told, strict=True))


def _columns(axis: Axis, values: Sequence[float]) -> Markup:
    """As high as the values in each are many."""
    many = Counter(round(axis(value) / _COLUMN) for value in values)
    high = (_ROOM - 6) / max(many.values())
    return path("pile", "".join(f"M{_COLUMN * x} {_ROOM + 3}v{-high * n:.1f}" for x, n in sorted(many.items())))
