"""Small SVG pictures of an effect: its interval against the threshold, among its controls, and template by template."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from mechcheck.base.text import side_text
from mechcheck.drawing.axis import Axis, padded
from mechcheck.drawing.numbers import UNDEFINED, chosen, short, with_unit
from mechcheck.drawing.strips import stacked, ticks
from mechcheck.drawing.svg import circle, path, svg, text
from mechcheck.report._claims import edges, region

Json = dict[str, Any]

WIDTH, HEIGHT = 128, 20
_MARGIN = 4


def threshold_text(expectation: Json) -> str:
    """What was claimed, e.g. `> 0.5 logits` or `between 0.2 and 0.4`."""
    if expectation["kind"] == "for_all":
        return "of every example"
    low, high = region(expectation)
    if low is None and high is None:
        (threshold,) = edges(expectation)
        return f"{with_unit(f'above or below {chosen(threshold)}', expectation['unit'])}, it is not recorded which"
    return with_unit(side_text(low, high, chosen), expectation["unit"])


def centred_axis(claimed: Sequence[float], shown: Sequence[float], width: float = WIDTH) -> Axis:
    """An axis with the threshold in its middle, so that in a column of glyphs every threshold stands in one line."""
    middle = sum(claimed) / len(claimed)
    reach = 1.1 * max(abs(x - middle) for x in (*shown, *claimed)) or 1.0
    return Axis(middle - reach, middle + reach, _MARGIN, width - _MARGIN)


def _claimed_side(axis: Axis, expectation: Json, height: float) -> Markup:
    """A tint over the claimed side, where it is known, and a dashed line at each threshold."""
    claimed = region(expectation)
    left = axis.start if claimed.low is None else axis(claimed.low)
    right = axis.end if claimed.high is None else axis(claimed.high)
    tint = Markup('<rect class="side" x="{}" y="0" width="{}" height="{}"/>').format(left, f"{right - left:.4g}", height)
    lines = Markup("").join(path("thr", f"M{axis(edge)} 0V{height}") for edge in edges(expectation))
    return tint + lines if claimed.edges else lines


def _known(estimate: Json) -> list[float]:
    """The numbers of an estimate that is there to be drawn."""
    return [estimate[part] for part in ("low", "value", "high") if estimate[part] is not None]


def _whisker(axis: Axis, estimate: Json, y: float) -> Markup:
    """The interval as a line, to the end of the axis where it is open, the effect as a dot on it; nothing where there is neither."""
    low, value, high = estimate["low"], estimate["value"], estimate["high"]
    dot = Markup("") if value is None else circle("dot", axis(value), y)
    if low is None and high is None:
        return dot
    return path("ci", f"M{axis.start if low is None else axis(low)} {y}H{axis.end if high is None else axis(high)}") + dot


def interval_glyph(expectation: Json, verdict: str, among: Sequence[Json] = ()) -> Markup:
    """The interval of the effect against the threshold; the claimed side is tinted. The effect stands beside it in words.

    Args:
        expectation: what is drawn.
        verdict: in whose colour.
        among: others with the same threshold that are drawn on the same axis.
    """
    e = expectation["estimate"]
    axis = centred_axis(edges(expectation), [x for one in (expectation, *among) for x in _known(one["estimate"])])
    parts = _claimed_side(axis, expectation, HEIGHT), _whisker(axis, e, HEIGHT // 2)
    return svg(f"glyph v-{verdict}", WIDTH, HEIGHT, *parts, label=f"claimed {threshold_text(expectation)}", sized=False)


_GUTTER, _WIDE = 78, 480


def effect_plot(expectation: Json, verdict: str, beside: Sequence[tuple[str, float]], name: str) -> Markup:
    """The effect with its interval against the threshold and, on the same axis, what its decoys gave."""
    e = expectation["estimate"]
    values = [value for _, value in beside]
    floor = 60 if beside else 30
    axis = padded([*values, *_known(e), *edges(expectation)], _GUTTER, _WIDE - 14)
    parts = [_claimed_side(axis, expectation, floor), text(_GUTTER - 8, 19, "effect", "y")]
    if beside:
        guide = [] if e["value"] is None else [path("guide", f"M{axis(e['value'])} 15V{floor}")]
        parts += [*guide, text(_GUTTER - 8, floor - 6, name, "y"), *_dots("dec", axis, beside, floor, 30)]
    told = f"; {len(values)} {name} from {short(min(values))} to {short(max(values))}" if values else ""
    effect, low, high = (UNDEFINED if e[part] is None else short(e[part]) for part in ("value", "low", "high"))
    label = f"effect {effect}, interval {low} to {high}, claimed {threshold_text(expectation)}{told}"
    return svg(f"strip v-{verdict}", _WIDE, floor + 22, *parts, _whisker(axis, e, 15), ticks(axis, floor), label=label)


def control_strip(expectation: Json, verdict: str) -> Markup:
    """The control values as a pile of dots, with what the claim's own sites gave on the same axis."""
    values, effect = expectation["control"]["values"], expectation["control"].get("effect")
    floor = 78 if len(values) > 12 else 50
    axis = padded(values if effect is None else [*values, effect], _GUTTER, _WIDE - 14)
    parts = [text(_GUTTER - 8, floor - 6, "controls", "y"), *_dots("ctl", axis, controls(expectation), floor, floor - 22)]
    label = f"{len(values)} control values from {short(min(values))} to {short(max(values))}"
    if effect is not None:
        own = (circle("dot", axis(effect), 12), text(_GUTTER - 8, 16, "the claim's", "y"))
        parts += [path("guide", f"M{axis(effect)} 12V{floor}"), *own]
        label += f"; the claim's own sites {short(effect)}"
    return svg(f"strip v-{verdict}", _WIDE, floor + 22, *parts, ticks(axis, floor), label=label)


def _dots(css_class: str, axis: Axis, labelled: Sequence[tuple[str, float]], floor: float, room: float) -> list[Markup]:
    places = stacked(axis, [value for _, value in labelled], floor - 6, room)
    return [circle(css_class, x, y, 3, f"{label}: {short(v)}") for (x, y), (label, v) in zip(places, labelled, strict=True)]


def controls(expectation: Json) -> list[tuple[str, float]]:
    """Label and value of each control."""
    values, labels = expectation["control"]["values"], expectation["control"]["labels"]
    if len(labels) != len(values):
        labels = [f"control {i + 1}" for i in range(len(values))]
    return list(zip(labels, values, strict=True))


def control_text(expectation: Json) -> str:
    """Where the claim's own value stands among the controls, counted on the claimed side."""
    values, effect = expectation["control"]["values"], expectation["control"].get("effect")
    if effect is None:
        return f"from {short(min(values))} to {short(max(values))}"
    if region(expectation).low is None:
        return f"{sum(v <= effect for v in values)} of {len(values)} are at or below the claim's own value"
    return f"{sum(v >= effect for v in values)} of {len(values)} are at or above the claim's own value"


_FOREST_ROW = 18


class Forest(NamedTuple):
    """An effect template by template: the picture stands beside the rows of a table, each 18 pixels high."""

    rows: list[tuple[str, int, float]]
    """Name, number of prompts, effect."""
    svg: Markup
    scale: Markup
    axis: Axis


def forest(expectation: Json, verdict: str, dotted: bool = True) -> Forest:
    """A dot per template on one axis, and below them the whole effect with its interval; not `dotted`, a script sets the dots."""
    e = expectation["estimate"]
    rows = [(name, t["n"], t["value"]) for name, t in expectation["by_template"].items()]
    axis = padded([*(value for _, _, value in rows), *_known(e), *edges(expectation)], 6, 234)
    height = _FOREST_ROW * (len(rows) + 1)
    dots = path("tpl", "".join(f"M{axis(value)} {_FOREST_ROW * i + 9}h0" for i, (_, _, value) in enumerate(rows)) if dotted else "")
    whole = _whisker(axis, e, height - 9)
    picture = svg(f"track v-{verdict}", 240, height, _claimed_side(axis, expectation, height), dots, whole)
    return Forest(rows, picture, svg("track", 240, 22, ticks(axis, 1)), axis)
