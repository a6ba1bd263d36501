"""Where things stand in the pictures, for inputs whose places can be worked out by hand."""

import base64
import re
import struct
import zlib
from types import SimpleNamespace

import pytest

from mechcheck.report._axis import Axis
from mechcheck.report._figures import heatmap, lines
from mechcheck.report._glyphs import control_strip, control_text, forest_axis, forest_row, interval_glyph, threshold_text
from mechcheck.report._palette import STEPS, css, scale_for, step_class


def numbers(pattern: str, svg: str) -> list[float]:
    """The numbers that the groups of the pattern find, of every match."""
    return [float(x) for m in re.findall(pattern, svg) for x in (m if isinstance(m, tuple) else [m])]


def test_glyph_of_a_supported_claim(make: SimpleNamespace) -> None:
    # Threshold 0 in the middle (64); the furthest end, 2, stands at 1/1.1 of the 60 pixels to the right of it.
    svg = interval_glyph(make.expectation(1.0, 0.5, 2.0), "supported")
    assert numbers(r'class="thr" d="M([\d.]+)', svg) == [64.0]
    assert numbers(r'class="ci" d="M([\d.]+) 10.0H([\d.]+)', svg) == [77.6, 118.5]
    assert numbers(r'class="dot" cx="([\d.]+)"', svg) == [91.3]
    assert numbers(r'class="side" x="([\d.]+)" y="0" width="([\d.]+)"', svg) == [64.0, 60.0]
    assert 'aria-label="1, interval 0.5 to 2, claimed &gt; 0 logits"' in svg


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


def test_threshold_in_words(make: SimpleNamespace) -> None:
    assert threshold_text(make.expectation(threshold=0.5)) == "> 0.5 logits"
    assert threshold_text(make.expectation(threshold=-1.0, kind="below", unit="")) == "< -1"
    assert threshold_text(make.expectation(threshold=[0.2, 0.4], kind="between", unit="%")) == "between 0.2 and 0.4%"
    assert threshold_text(make.expectation(threshold=0.1, margin=0.05, kind="equivalent", unit="")) == "between 0.05 and 0.15"


def test_controls_are_counted_on_the_claimed_side(make: SimpleNamespace) -> None:
    control = {"kind": "random heads", "n": 4, "values": [-1.0, 0.5, 1.25, 3.0], "labels": ["a", "b", "c", "d"]}
    assert control_text(make.expectation(1.25, 1.0, 1.5, control=control)) == "2 of 4 controls are at or above the effect"
    assert control_text(make.expectation(0.5, 0, 1.0, control=control, kind="below")) == "2 of 4 controls are at or below the effect"


def test_control_strip_stacks_equal_values_and_marks_the_effect(make: SimpleNamespace) -> None:
    control = {"kind": "random heads", "n": 3, "values": [0.0, 0.0, 1.0], "labels": ["a", "b", "<c>"]}
    svg = control_strip(make.expectation(1.0, 1.0, 1.0, control=control), "supported")
    (x0, y0, x1, y1, x2, y2) = numbers(r'class="ctl" cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert x0 == x1 < x2
    assert (y0, y1, y2) == (67.0, 61.0, 67.0)
    assert numbers(r'class="dot" cx="([\d.]+)"', svg) == [x2]
    assert "&lt;c&gt;: 1" in svg


def test_a_forest_has_one_axis(make: SimpleNamespace) -> None:
    e = make.expectation(1.0, 0.5, 1.5, by_template={"t1": {"value": -1.0, "n": 3}, "t2": {"value": 3.0, "n": 4}})
    axis = forest_axis(e)
    places = [numbers(r'class="tpl" cx="([\d.]+)"', forest_row(e, axis, "supported", v))[0] for v in (-1.0, 3.0)]
    whole = forest_row(e, axis, "supported")
    assert places[0] < numbers(r'class="thr" d="M([\d.]+)', whole)[0] < numbers(r'class="dot" cx="([\d.]+)"', whole)[0] < places[1]
    assert numbers(r'class="dot" cx="([\d.]+)"', whole) == [pytest.approx(sum(places) / 2)]


def test_ticks_are_round_numbers() -> None:
    assert Axis(-0.35, 0.62, 0, 100).ticks(5) == [-0.2, 0.0, 0.2, 0.4, 0.6]
    assert Axis(0, 10, 0, 100).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Axis(3, 3, 0, 100).ticks() == [3]
    assert Axis(0, 10, 100, 0)(2.5) == 75.0  # an axis that points up


def test_colours_diverge_about_zero_only_when_both_signs_occur() -> None:
    diverging = scale_for([-1.0, 4.0])
    assert [diverging.step(x) for x in (-4.0, -1.0, 0.0, 4.0, None)] == [-STEPS, -6, 0, STEPS, None]
    positive = scale_for([1.0, 3.0])
    assert [positive.step(x) for x in (1.0, 2.0, 3.0)] == [0, STEPS // 2, STEPS]
    negative = scale_for([-3.0, -1.0])
    assert [negative.step(x) for x in (-3.0, -1.0)] == [-STEPS, 0]
    assert scale_for([2.0, 2.0]).step(2.0) == 0
    assert [step_class(s) for s in (-3, 0, 5, None)] == ["o3", "b0", "b5", "nil"]


def test_ink_stands_out_from_every_colour() -> None:
    def luminance(colour: str) -> float:
        digits = colour * 2 if len(colour) == 3 else colour
        c = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in c]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    rules = re.findall(r"\.[bo]\d+\{background:#(\w+);color:#(\w+)\}", css())
    assert len(rules) == 2 * STEPS + 1
    for background, ink in rules:
        light, dark = sorted((luminance(background), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4


def test_a_small_heatmap_is_a_table_of_its_values(make: SimpleNamespace) -> None:
    drawn = heatmap(make.heatmap(2, 2, values=[[-0.5, 1.0], [None, 0.25]], rows=["L0", "L1"], cols=["H0", "long name"]))
    assert drawn.picture is None
    assert drawn.cells == [[("o12", "-0.50"), ("b24", "1.00")], [("nil", "–"), ("b6", "0.25")]]
    assert (drawn.low, drawn.middle, drawn.high, drawn.ramp) == ("-1.00", "0", "1.00", "div")
    assert drawn.tall
    assert drawn.missing


def test_rows_of_unequal_length_and_wrong_names_do_not_shift_the_grid(make: SimpleNamespace) -> None:
    drawn = heatmap(make.heatmap(2, 2, values=[[1.0], [2.0, 3.0]], cols=["only one"]))
    assert [len(line) for line in drawn.cells] == [2, 2]
    assert drawn.cols == ["0", "1"]


def test_a_large_heatmap_is_a_picture_with_a_pixel_per_cell(make: SimpleNamespace) -> None:
    values = [[float(c - r) for c in range(30)] for r in range(25)]
    drawn = heatmap(make.heatmap(25, 30, values=values))
    assert drawn.picture is not None
    png = base64.b64decode(drawn.picture.removeprefix("data:image/png;base64,"))
    assert struct.unpack(">II", png[16:24]) == (30, 25)
    at = png.index(b"IDAT")
    (size,) = struct.unpack(">I", png[at - 4 : at])
    pixels = zlib.decompress(png[at + 4 : at + 4 + size])
    assert len(pixels) == 25 * 31
    assert pixels[1] == STEPS  # the value 0 is the middle of the palette
    assert pixels[30] == 2 * STEPS  # the greatest value is its end
    assert drawn.cells[24][29] == ("", "5.0")


def test_a_missing_value_breaks_the_line(make: SimpleNamespace) -> None:
    drawn = lines(make.lines())
    paths = re.findall(r'class="line" d="([^"]*)"', drawn.svg)
    assert [p.count("M") for p in paths] == [1, 2, 1]
    assert drawn.table[3] == ("2", ["-3.5", "–", "4.4"])
    # x runs from 58 to 446 pixels over 0..8; a greater y is further up.
    first = [float(x) for x in re.findall(r"[ML]([\d.]+) ", paths[0])]
    assert (first[0], first[2], first[-1]) == (58.0, 106.5, 446.0)
    ys = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", paths[0])]
    assert ys == sorted(ys)


def test_an_empty_figure_is_still_drawn(make: SimpleNamespace) -> None:
    figure = make.lines()
    figure["data"] |= {"x": [], "series": []}
    assert lines(figure).table == []
    assert heatmap(make.heatmap(1, 1, values=[], rows=[], cols=[])).cells == []
