"""Glyphs, strips of controls and the axis, for inputs whose places can be worked out by hand."""

import re
from types import SimpleNamespace

import pytest

from mechcheck.drawing.axis import Axis
from mechcheck.report._glyphs import control_strip, control_text, effect_plot, forest, interval_glyph, threshold_text


def numbers(pattern: str, svg: str) -> list[float]:
    """The numbers that the groups of the pattern find, of every match."""
    return [float(x) for m in re.findall(pattern, svg) for x in (m if isinstance(m, tuple) else [m])]


def test_glyph_of_a_supported_claim(make: SimpleNamespace) -> None:
    # Threshold 0 in the middle (64); the furthest end, 2, stands at 1/1.1 of the 60 pixels to the right of it.
    svg = interval_glyph(make.expectation(1.0, 0.5, 2.0), "supported")
    assert numbers(r'class="thr" d="M([\d.]+)', svg) == [64.0]
    assert numbers(r'class="ci" d="M([\d.]+) 10H([\d.]+)', svg) == [77.6, 118.5]
    assert numbers(r'class="dot" cx="([\d.]+)"', svg) == [91.3]
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', svg) == [64.0, 60.0]
    assert 'aria-label="claimed &gt; 0 logits"' in svg


def test_glyph_of_a_claim_below_is_tinted_on_the_left(make: SimpleNamespace) -> None:
    svg = interval_glyph(make.expectation(1.0, 0.5, 2.0, kind="below"), "refuted")
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', svg) == [4.0, 60.0]
    assert 'class="glyph v-refuted"' in svg


@pytest.mark.parametrize(
    "changes", [{"kind": "between", "threshold": [-1.0, 1.0]}, {"kind": "equivalent", "threshold": 0.0, "margin": 1.0}]
)
def test_glyph_of_a_band(make: SimpleNamespace, changes: dict) -> None:
    svg = interval_glyph(make.expectation(0.5, 0.0, 2.0, **changes), "inconclusive")
    assert numbers(r'class="thr" d="M([\d.]+)', svg) == [36.7, 91.3]
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', svg) == [36.7, 54.6]


def test_the_direction_is_that_of_the_evidence_and_not_of_the_kind(make: SimpleNamespace) -> None:
    """A rate may be claimed to be below its threshold."""
    rate = make.expectation(0.1, 0.05, 0.15, kind="rate", threshold=0.2, region=[None, 0.2], unit="share")
    svg = interval_glyph(rate, "supported")
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', svg) == [4.0, 60.0]
    assert 'aria-label="claimed &lt; 0.2 share"' in svg
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', interval_glyph(rate | {"region": [0.2, None]}, "refuted")) == [
        64.0,
        60.0,
    ]
    assert ", claimed &lt; 0.2 share" in effect_plot(rate, "supported", [], "decoys")
    strip = rate | {"kind": "beats_random", "control": controls(effect=1.25)}
    assert control_text(strip) == "3 of 4 are at or below the claim's own value"


def test_a_side_that_nobody_recorded_is_not_tinted(make: SimpleNamespace) -> None:
    rate = make.expectation(0.1, 0.05, 0.15, kind="rate", threshold=0.2, region=[None, None], unit="share")
    for svg in (interval_glyph(rate, "inconclusive"), effect_plot(rate, "inconclusive", [], "decoys"), forest(rate, "inconclusive").svg):
        assert 'class="side"' not in svg
        assert svg.count('class="thr"') == 1
    assert threshold_text(rate) == "above or below 0.2 share, it is not recorded which"


def test_what_is_not_defined_is_not_drawn(make: SimpleNamespace) -> None:
    nothing = make.expectation(estimate=make.estimate(None, None, None), verdict="undefined")
    beside = [("a decoy", 2.0)]
    for svg in (
        interval_glyph(nothing, "undefined"),
        effect_plot(nothing, "undefined", beside, "decoys"),
        forest(nothing, "undefined").svg,
    ):
        assert 'class="ci"' not in svg
        assert 'class="dot"' not in svg
        assert svg.count('class="thr"') == 1
    assert "effect undefined, interval undefined to undefined" in effect_plot(nothing, "undefined", beside, "decoys")
    # An open end reaches to the end of the axis.
    svg = interval_glyph(make.expectation(1.0, 0.5, None), "supported")
    assert numbers(r'class="ci" d="M([\d.]+) 10H([\d.]+)', svg)[1] == 124.0


def test_threshold_in_words(make: SimpleNamespace) -> None:
    assert threshold_text(make.expectation(threshold=0.5)) == "> 0.5 logits"
    assert threshold_text(make.expectation(threshold=-1.0, kind="below", unit="")) == "< -1"
    assert threshold_text(make.expectation(threshold=[0.2, 0.4], kind="between", unit="%")) == "between 0.2 and 0.4%"
    assert threshold_text(make.expectation(threshold=0.1, margin=0.05, kind="equivalent", unit="")) == "between 0.05 and 0.15"


def controls(**changes: object) -> dict:
    """Four controls."""
    return {"kind": "random heads", "n": 4, "values": [-1.0, 0.5, 1.25, 3.0], "labels": ["a", "b", "<c>", "d"]} | changes


def test_controls_are_counted_on_the_claimed_side(make: SimpleNamespace) -> None:
    # The estimate is another number (the distance to one of the controls): it must not be counted among them.
    assert control_text(make.expectation(9.0, 8.0, 10.0, control=controls(effect=1.25))) == "2 of 4 are at or above the claim's own value"
    below = make.expectation(-9.0, -10.0, -8.0, control=controls(effect=0.5), kind="below")
    assert control_text(below) == "2 of 4 are at or below the claim's own value"
    assert control_text(make.expectation(control=controls())) == "from -1 to 3"


def test_control_strip_stacks_equal_values_and_marks_the_claims_own(make: SimpleNamespace) -> None:
    equal = controls(n=3, values=[0.0, 0.0, 1.0], labels=["a", "b", "<c>"], effect=1.0)
    svg = control_strip(make.expectation(7.0, 6.0, 8.0, control=equal), "supported")
    (x0, y0, x1, y1, x2, y2) = numbers(r'class="ctl" cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert x0 == x1 < x2
    assert (y0, y1, y2) == (44.0, 38.0, 44.0)
    assert numbers(r'class="dot" cx="([\d.]+)"', svg) == [x2]
    assert "&lt;c&gt;: 1" in svg
    assert 'class="dot"' not in control_strip(make.expectation(control=controls()), "supported")


def test_the_effect_stands_on_one_axis_with_its_decoys(make: SimpleNamespace) -> None:
    svg = effect_plot(make.expectation(1.0, 0.5, 1.5), "supported", [("a", 0.0), ("<b>", 1.0)], "decoys")
    decoys = numbers(r'class="dec" cx="([\d.]+)"', svg)
    assert decoys == [*numbers(r'class="thr" d="M([\d.]+)', svg), *numbers(r'class="dot" cx="([\d.]+)"', svg)]
    assert "2 decoys from 0 to 1" in svg
    assert "&lt;b&gt;: 1" in svg


def test_a_forest_has_one_axis(make: SimpleNamespace) -> None:
    e = make.expectation(1.0, 0.5, 1.5, by_template={"t1": {"value": -1.0, "n": 3}, "t2": {"value": 3.0, "n": 4}})
    drawn = forest(e, "supported")
    assert drawn.rows == [("t1", 3, -1.0), ("t2", 4, 3.0)]
    (x1, y1, x2, y2) = numbers(r"M([\d.]+) ([\d.]+)h0", drawn.svg)
    assert (y1, y2) == (9, 27)
    assert x1 < numbers(r'class="thr" d="M([\d.]+)', drawn.svg)[0] < numbers(r'class="dot" cx="([\d.]+)"', drawn.svg)[0] < x2
    assert numbers(r'class="dot" cx="([\d.]+)"', drawn.svg) == [pytest.approx((x1 + x2) / 2)]
    assert "h0" not in forest(e, "supported", dotted=False).svg


def test_ticks_are_round_numbers() -> None:
    assert Axis(-0.35, 0.62, 0, 100).ticks(5) == [-0.2, 0.0, 0.2, 0.4, 0.6]
    assert Axis(0, 10, 0, 100).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Axis(3, 3, 0, 100).ticks() == [3]
    assert Axis(0, 10, 100, 0)(2.5) == 75.0  # an axis that points up
