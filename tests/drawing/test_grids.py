"""Heatmaps as SVG: each cell in its colour with its number, many cells as one picture."""

import base64
import re
import struct
import zlib
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mechcheck.drawing.grids import grid, key
from mechcheck.drawing.heatmaps import attention, heatmap
from mechcheck.drawing.palette import STEPS, colour, paints
from mechcheck.drawing.text import width

CELL = re.compile(
    r'<g><title>([^<]*)</title><rect fill="([^"]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>'
    r'<text class="([^"]+)" x="([\d.]+)" y="([\d.]+)">([^<]*)</text></g>'
)


def test_each_cell_has_its_colour_its_number_and_its_name(make: SimpleNamespace) -> None:
    heat = heatmap(make.heatmap(2, 2, values=[[-0.5, 1.0], [None, 0.123456]], rows=["L0", "<1>"], cols=["a", "b"]))
    cells = CELL.findall(grid(heat).drawn)
    assert [cell[0] for cell in cells] == [
        "layer L0, head a: -0.5", "layer L0, head b: 1", "layer &lt;1&gt;, head a: –", "layer &lt;1&gt;, head b: 0.123456",
    ]  # fmt: skip
    assert [cell[9] for cell in cells] == ["-0.50", "1.00", "–", "0.12"]
    assert [cell[1] for cell in cells] == [paints()[name][0] for name in ("o12", "b24", "nil", "b3")]
    assert [cell[6] for cell in cells] == ["on-light", "on-dark", "on-light", "on-light"]
    (x0, y0), (x1, _), (_, y2) = [(float(cell[2]), float(cell[3])) for cell in cells[:3]]
    assert x1 - x0 == float(cells[0][4]) >= width("-0.50", 10)
    assert y2 - y0 == float(cells[0][5])


def test_long_names_of_columns_stand_upright(make: SimpleNamespace) -> None:
    short, long = (grid(heatmap(make.heatmap(1, 2, values=[[1.0, 2.0]], cols=["b", name]))) for name in ("a", "a longer name"))
    assert "rotate(-90)" not in short.drawn
    assert long.drawn.count("rotate(-90)") == 2
    assert long.height - short.height == pytest.approx(1.1 * width("a longer name", 10) + 8 - 16)


def test_many_cells_are_one_picture_whose_cells_are_squares_of_pixels(make: SimpleNamespace) -> None:
    values = [[float(c - r) for c in range(30)] for r in range(25)]
    values[3][4] = None
    drawn = grid(heatmap(make.heatmap(25, 30, values=values))).drawn
    assert not CELL.findall(drawn)
    png = base64.b64decode(re.search(r'href="data:image/png;base64,([^"]+)"', drawn)[1])
    assert struct.unpack(">II", png[16:24]) == (30 * 12, 25 * 12)
    at = png.index(b"IDAT")
    (size,) = struct.unpack(">I", png[at - 4 : at])
    pixels = zlib.decompress(png[at + 4 : at + 4 + size])
    lines = [pixels[i * 361 + 1 : (i + 1) * 361] for i in range(300)]
    assert set(lines[0][:12]) == {STEPS}  # 0 is the middle of the palette
    assert set(lines[11][348:]) == {2 * STEPS}
    assert {line[4 * 12 + 6] for line in lines[3 * 12 : 4 * 12]} == {2 * STEPS + 1}  # not measured
    names = re.findall(r'<text class="y cell"[^>]*>([^<]*)<', drawn)
    assert names == [str(r) for r in range(25)]


def test_of_very_many_rows_every_so_many_is_named(make: SimpleNamespace) -> None:
    drawn = grid(heatmap(make.heatmap(200, 50, values=[[float(r)] * 50 for r in range(200)])))
    places = [float(y) for y in re.findall(r'<text class="y cell" x="[\d.]+" y="([\d.]+)"', drawn.drawn)]
    assert min(b - a for a, b in pairwise(places)) >= 11
    assert drawn.height < 700


def test_the_colour_bar_has_the_ends_of_the_scale(make: SimpleNamespace) -> None:
    bar = key(heatmap(make.heatmap(1, 2, values=[[-2.0, None]]))).drawn
    assert re.findall(">([^<]+)</text>", bar) == ["-2", "-2", "logits", "not measured"]
    both = key(heatmap(make.heatmap(1, 2, values=[[-2.0, 1.0]]))).drawn
    fills = re.findall('rect fill="([^"]+)"', both)
    assert len(fills) == 2 * STEPS + 1
    assert (fills[0], fills[-1]) == tuple("#" + "".join(f"{c:02x}" for c in colour(step)) for step in (-STEPS, STEPS))
    assert re.findall(">([^<]+)</text>", both) == ["-2", "0", "2", "logits"]
    assert "not measured" not in both


def test_no_cells_are_said_to_be_none(make: SimpleNamespace) -> None:
    assert "no cells" in grid(heatmap(make.heatmap(1, 1, values=[], rows=[], cols=[]))).drawn


def test_attention_is_on_one_scale_for_all_heads() -> None:
    def packed(head: str, high: float, low: float = 0.0) -> dict:
        return {"head": head, "low": low, "high": high, "values": base64.b64encode(bytes([255, 0, 51, 204])).decode()}

    data = {
        "tokens": ["a", "a"],
        "patterns": [packed("0.0", 1.0), packed("0.1", 0.5)],
        "weighted": [packed("0.0", 3.0, -2.0), packed("0.1", 1.0)],
    }
    first, second, third, fourth = attention({"kind": "attention", "title": "t", "data": data}).grids
    assert first.steps == [[STEPS, 0], [5, 19]]
    assert second.steps == [[STEPS // 2, 0], [2, 10]]
    assert [float(x) for x in first.exact.split()] == pytest.approx([1, 0, 0.2, 0.8])
    assert third.steps == [[STEPS, -16], [-8, 16]]  # from -3 to 3
    assert fourth.steps == [[8, 0], [2, 6]]
    assert (first.title, fourth.title, fourth.unit) == ("head 0.0", "head 0.1, value-weighted", "value-weighted attention")
    assert first.rows == first.cols == ["a_1", "a_2"]
