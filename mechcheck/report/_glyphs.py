"""Small SVG pictures of an effect: its interval against the threshold, among its controls, and template by template."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from mechcheck.report._axis import Axis, padded
from mechcheck.report._claims import Region, region
from mechcheck.report._numbers import short, with_unit
from mechcheck.report._svg import circle, path, svg, text

Json = dict[str, Any]

WIDTH, HEIGHT = 128, 20
_MARGIN = 4


def threshold_text(expectation: Json) -> str:
    """What was claimed, e.g. `> 0.5 logits` or `between 0.2 and 0.4`."""
    low, high = region(expectation)
    if low is not None and high is not None:
        return with_unit(f"between {short(low)} and {short(high)}", expectation["unit"])
    return with_unit(f"> {short(low)}" if low is not None else f"< {short(high or 0.0)}", expectation["unit"])


def centred_axis(claimed: Region, low: float, high: float, width: float = WIDTH) -> Axis:
    """An axis with the threshold in its middle, so that in a column of glyphs every threshold stands in one line."""
    edges = claimed.edges
    middle = sum(edges) / len(edges)
    reach = 1.1 * max(abs(x - middle) for x in (low, high, *edges)) or 1.0
    return Axis(middle - reach, middle + reach, _MARGIN, width - _MARGIN)


def _claimed_side(axis: Axis, claimed: Region, height: float) -> Markup:
    """A tint over the claimed side and a dashed line at each threshold."""
    left = axis.start if claimed.low is None else axis(claimed.low)
    right = axis.end if claimed.high is None else axis(claimed.high)
    tint = Markup('<rect class="side" x="{}" y="0" width="{}" height="{}"/>').format(left, round(right - left, 1), height)
    return tint + Markup("").join(path("thr", f"M{axis(edge)} 0V{height}") for edge in claimed.edges)


def _whisker(axis: Axis, estimate: Json, y: float) -> Markup:
    """The interval as a line, the effect as a dot on it."""
    return path("ci", f"M{axis(estimate['low'])} {y}H{axis(estimate['high'])}") + circle("dot", axis(estimate["value"]), y)


def interval_glyph(expectation: Json, verdict: str) -> Markup:
    """The interval of the effect against the threshold; the claimed side is tinted."""
    e, claimed = expectation["estimate"], region(expectation)
    axis = centred_axis(claimed, min(e["low"], e["value"]), max(e["high"], e["value"]))
    label = f"{short(e['value'])}, interval {short(e['low'])} to {short(e['high'])}, claimed {threshold_text(expectation)}"
    parts = _claimed_side(axis, claimed, HEIGHT), _whisker(axis, e, HEIGHT / 2)
    return svg(f"glyph v-{verdict}", WIDTH, HEIGHT, *parts, label=label)


def _stacked(axis: Axis, values: Sequence[float], floor: float, room: float) -> list[tuple[float, float]]:
    """A place per value: dots that would overlap are stacked upwards, closer together where the pile would be too high."""
    piles: dict[int, int] = {}
    levels = []
    for v in values:
        column = round(axis(v) / 6)
        levels.append(piles.get(column, 0))
        piles[column] = levels[-1] + 1
    rise = min(6.0, room / max(piles.values(), default=1))
    return [(axis(v), round(floor - rise * level, 1)) for v, level in zip(values, levels, strict=True)]


def _ticks(axis: Axis, y: float) -> Markup:
    marks = (path("tick", f"M{axis(t)} {y}v4") + text(axis(t), y + 15, short(t)) for t in axis.ticks(4))
    return path("axis", f"M{axis.start} {y}H{axis.end}") + Markup("").join(marks)


def control_strip(expectation: Json, verdict: str) -> Markup:
    """The control values as a pile of dots, with the claim's effect and threshold on the same axis."""
    values, e, claimed = expectation["control"]["values"], expectation["estimate"], region(expectation)
    width, height, floor, top = 460, 96, 72, 14
    axis = padded([*values, e["low"], e["high"], e["value"], *claimed.edges], 14, width - 14)
    places = _stacked(axis, values, floor - 5, floor - 40)
    dots = (circle("ctl", x, y, 3, title=f"{label}: {short(v)}") for (x, y), (label, v) in zip(places, controls(expectation), strict=True))
    guide = path("guide", f"M{axis(e['value'])} {top}V{floor}")
    label = f"{len(values)} control values from {short(min(values))} to {short(max(values))}; effect {short(e['value'])}"
    parts = _claimed_side(axis, claimed, floor), *dots, guide, _whisker(axis, e, top), _ticks(axis, floor)
    return svg(f"strip v-{verdict}", width, height, *parts, label=label)


def controls(expectation: Json) -> list[tuple[str, float]]:
    """Label and value of each control."""
    values, labels = expectation["control"]["values"], expectation["control"]["labels"]
    if len(labels) != len(values):
        labels = [f"control {i + 1}" for i in range(len(values))]
    return list(zip(labels, values, strict=True))


def control_text(expectation: Json) -> str:
    """Where the effect stands among its controls, counted on the claimed side."""
    values, effect = expectation["control"]["values"], expectation["estimate"]["value"]
    if region(expectation).low is None:
        return f"{sum(v <= effect for v in values)} of {len(values)} controls are at or below the effect"
    return f"{sum(v >= effect for v in values)} of {len(values)} controls are at or above the effect"


def forest_axis(expectation: Json) -> Axis:
    """One axis for every row of a forest, so that its dots compare."""
    e = expectation["estimate"]
    values = [t["value"] for t in expectation["by_template"].values()]
    return padded([*values, e["low"], e["high"], e["value"], *region(expectation).edges], 6, 234)


def forest_row(expectation: Json, axis: Axis, verdict: str, value: float | None = None) -> Markup:
    """One row: a template's dot, or the whole estimate with its interval when no value is given."""
    mark = _whisker(axis, expectation["estimate"], 9) if value is None else circle("tpl", axis(value), 9)
    return svg(f"track v-{verdict}", 240, 18, _claimed_side(axis, region(expectation), 18), mark)


def forest_scale(axis: Axis) -> Markup:
    """The axis below a forest."""
    return svg("track", 240, 22, _ticks(axis, 1))
