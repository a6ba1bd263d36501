"""Where things stand in the pictures, for inputs whose places can be worked out by hand."""

import base64
import re
import struct
import zlib
from types import SimpleNamespace

import pytest

from mechcheck.drawing import attention
from mechcheck.drawing.charts import bars, lines, search, table
from mechcheck.drawing.graph import graph
from mechcheck.drawing.heatmaps import heatmap, lens
from mechcheck.drawing.palette import STEPS, css, scale_for, step_class
from mechcheck.drawing.text import numbered


def numbers(pattern: str, svg: str) -> list[float]:
    """The numbers that the groups of the pattern find, of every match."""
    return [float(x) for m in re.findall(pattern, svg) for x in (m if isinstance(m, tuple) else [m])]


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
        assert (light + 0.05) / (dark + 0.05) > 4.5


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
    assert drawn.cells == []
    assert drawn.exact.split()[24 * 30 + 29] == "5"


def test_a_missing_value_breaks_the_line(make: SimpleNamespace) -> None:
    drawn = lines(make.lines())
    paths = re.findall(r'class="line" d="([^"]*)"', drawn.svg)
    assert [p.count("M") for p in paths] == [1, 2, 1]
    assert drawn.table[3] == ["2.0", "-3.5", "–", "4.4"]  # x is 0.5 elsewhere
    # x runs from 58 to 446 pixels over 0..8; a greater y is further up.
    first = [float(x) for x in re.findall(r"[ML]([\d.]+) ", paths[0])]
    assert (first[0], first[2], first[-1]) == (58.0, 106.5, 446.0)
    ys = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", paths[0])]
    assert ys == sorted(ys)


def test_a_band_has_the_colour_of_its_series_or_none(make: SimpleNamespace) -> None:
    figure = make.lines()
    low, high = [5.0, 2.0, -1.0, -4.0, -6.0, -7.0], [7.0, 4.0, 1.0, None, -4.0, -5.0]
    figure["data"]["bands"] = [{"label": name, "low": low, "high": high} for name in ("other name", "90% of random <directions>")]
    drawn = lines(figure)
    own, others = re.findall(r'<g class="(\w+)"><path class="band" d="([^"]*)"', drawn.svg)
    assert (own[0], others[0]) == ("s2", "others")
    assert own[1] == others[1]
    assert own[1].count("M") == own[1].count("Z") == 2  # the missing end parts it
    first = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", own[1].split("Z")[0])]
    xs = [x for x, _ in first]
    assert xs == [58.0, 82.2, 106.5, 106.5, 82.2, 58.0]  # forth along the upper ends, back along the lower
    assert all(upper < lower for (_, upper), (_, lower) in zip(first[:3], first[:2:-1], strict=True))
    assert [label for _, label in drawn.legend][-1] == "90% of random <directions>"
    assert drawn.head[-4:] == ["other name, low", "other name, high", "90% of random <directions>, low", "90% of random <directions>, high"]
    assert drawn.table[3][-2:] == ["-4.0", "–"]  # on the axis of 6.1


def test_bars_start_at_zero_and_have_their_intervals(make: SimpleNamespace) -> None:
    data = {"labels": ["a", "<b>", "c"], "values": [2.0, -1.0, None], "low": [1.0, -2.0, None], "high": [4.0, 0.0, None],
            "unit": "logits", "threshold": 1.0}  # fmt: skip
    drawn = bars({"kind": "bars", "title": "t", "data": data})
    (x_a, w_a), (x_b, w_b) = [
        tuple(map(float, m)) for m in re.findall(r'class="bar[^"]*" x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn.svg)
    ]
    assert x_a == pytest.approx(x_b + w_b)  # both touch zero
    assert w_a == pytest.approx(2 * w_b, abs=0.2)
    assert 'class="bar minus"' in drawn.svg
    whiskers = re.findall(r'class="whisker" d="M([\d.]+) \S+H([\d.]+)', drawn.svg)
    assert float(whiskers[0][1]) == pytest.approx(x_a + 2 * w_a, abs=0.2)
    (threshold,) = numbers(r'class="thr" d="M([\d.]+)', drawn.svg)
    assert threshold == pytest.approx(x_a + w_a / 2, abs=0.2)
    assert "&lt;b&gt;" in drawn.svg
    assert drawn.table == [["a", "2", "1", "4"], ["<b>", "-1", "-2", "0"], ["c", "–", "–", "–"]]
    plain = bars({"kind": "bars", "title": "t", "data": data | {"low": None, "high": None, "threshold": None}})
    assert (plain.head, plain.table[0]) == (["", "logits"], ["a", "2"])


def test_a_search_is_a_curve_and_a_table_of_its_steps() -> None:
    data = {"steps": [{"site": "0.3", "score": 0.5}, {"site": "1.0", "score": None}], "score_label": "p", "start": 0.9, "goal": 0.25,
            "details": [{"label": "flipped", "cells": [False, True]}]}  # fmt: skip
    drawn = search({"kind": "search", "title": "t", "data": data})
    assert drawn.head == ["step", "added", "p", "flipped"]
    assert drawn.table == [["0", "(start)", "0.90", ""], ["1", "0.3", "0.50", "no"], ["2", "1.0", "–", "yes"]]
    assert [label for _, label in drawn.legend] == ["goal 0.25"]
    (line,) = re.findall(r'class="line" d="([^"]*)"', drawn.svg)
    assert numbers(r"[ML]([\d.]+) ", line) == [58.0, 252.0]
    ticks = re.findall(r'class="tick" d="M[^"]*"/><text x="[\d.]+" y="[\d.]+">([^<]*)<', drawn.svg)
    assert ticks == ["0", "1", "2"]  # half a step there is not
    assert search({"kind": "search", "title": "t", "data": data | {"start": None, "goal": None}}).table[0][0] == "1"


def test_columns_of_numbers_are_known() -> None:
    rows = [["a", 0.5, None, True, 1], ["b", None, None, False, "x"]]
    drawn = table({"kind": "table", "title": "t", "data": {"columns": list("abcde"), "rows": rows}})
    assert drawn.numeric == [False, True, False, False, False]
    assert drawn.rows == [["a", "0.5", "–", "yes", "1"], ["b", "–", "–", "no", "x"]]


def test_a_graph_has_columns_by_layer_and_edges_as_wide_as_their_weights() -> None:
    nodes = [{"label": name, "layer": layer, "role": "<r>"} for name, layer in [("in", -1), ("0.1", 0), ("0.2", 0), ("1.0", 1)]]
    edges = [{"source": a, "target": b, "weight": w} for a, b, w in [("in", "0.1", 1.0), ("0.1", "1.0", -4.0), ("0.1", "0.2", 2.0)]]
    drawn = graph({"kind": "circuit", "title": "t", "data": {"nodes": nodes, "edges": edges, "unit": "logits"}})
    boxes = {
        name: tuple(map(float, place))
        for name, *place in re.findall(r'<title>(\S+) [^<]*</title><rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', drawn.svg)
    }
    (x_in, _, w_in), (x1, y1, w1), (x2, y2, _), (x3, _, _) = (boxes[n["label"]] for n in nodes)
    assert x_in + w_in < x1 == x2 < x3
    assert x1 + w1 < x3
    assert abs(y1 - y2) >= 34
    widths = dict(zip([t for _, t in re.findall(r'(edge[^"]*)" stroke-width="([\d.]+)"', drawn.svg)], "abc", strict=False))
    assert list(widths) == ["6.0", "3.5", "2.2"]
    assert drawn.svg.count('class="edge minus"') == 1
    assert "0.1 → 1.0: -4 logits" in drawn.svg
    assert drawn.edges == [("0.1", "1.0", "-4"), ("0.1", "0.2", "2"), ("in", "0.1", "1")]
    assert "&lt;r&gt;" in drawn.svg
    for text in ("input", "layer 0", "layer 1"):
        assert f">{text}</text>" in drawn.svg
    assert graph({"kind": "circuit", "title": "t", "data": {"nodes": [], "edges": [], "unit": ""}}).edges == []


def test_an_edge_does_not_run_through_the_box_of_another_part() -> None:
    """Three parts in a row, and one edge that skips the middle one: it goes round below, and the picture is higher for it."""
    nodes = [{"label": name, "layer": layer, "role": ""} for layer, name in enumerate(["a", "b", "c", "d"])]

    def drawn(*pairs: str) -> tuple[dict[str, list[float]], float]:
        edges = [{"source": a, "target": b, "weight": 1.0} for a, b in pairs]
        picture = graph({"kind": "circuit", "title": "t", "data": {"nodes": nodes, "edges": edges, "unit": ""}}).svg
        paths = re.findall(r"<title>(\w) → (\w): 1</title><path class=\"line\" d=\"([^\"]+)\"", picture)
        numbers = {a + b: [float(x) for x in re.findall(r"[\d.]+", path)] for a, b, path in paths}
        return numbers, float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', picture)[1])

    plain, low = drawn("ab", "bc")
    assert {len(set(path[1::2])) for path in plain.values()} == {1}  # straight
    around, high = drawn("ab", "ac", "ad", "bd")
    assert around["ab"] == plain["ab"]
    lanes = {pair: around[pair][5] for pair in ("ac", "ad", "bd")}
    assert lanes["ad"] == lanes["bd"] != lanes["ac"]  # one for each target
    bottom = plain["ab"][1] + 34 / 2
    assert bottom < min(lanes.values()) < max(lanes.values()) < high
    assert low < high


def test_queries_keys_and_values_arrive_at_places_of_their_own() -> None:
    nodes = [{"label": name, "layer": layer, "role": ""} for layer, name in enumerate(["a", "b", "logits"])]
    ends = [("a", "b", "q"), ("a", "b", "k"), ("a", "b", "v"), ("b", "logits", "")]
    edges = [{"source": a, "target": b, "weight": 1.0, "low": 0.5, "high": None} | ({"reads": r} if r else {}) for a, b, r in ends]
    edges[1]["at"] = "S2"
    drawn = graph({"kind": "circuit", "title": "t", "data": {"nodes": nodes, "edges": edges, "unit": "logits", "level": 0.95}})
    ways = re.findall(r'class="edge (\w)"[^>]*><title>[^<]*</title><path class="line" d="[^"]* ([\d.]+)"', drawn.svg)
    arrives = {kind: float(y) for kind, y in ways}
    assert arrives["q"] < arrives["k"] < arrives["v"]
    assert re.findall(r'class="port (\w)"', drawn.svg) == ["q", "k", "v"]
    assert drawn.inputs == [("q", "query"), ("k", "key"), ("v", "value"), ("o", "other")]
    assert drawn.head == ["from", "to", "read as", "logits", "95% interval"]
    assert ("a", "b", "key @S2", "1.0", "–") in drawn.edges
    assert "a → b (key @S2): 1.0 logits, 95% interval –" in drawn.svg
    plain = graph({"kind": "circuit", "title": "t", "data": {"nodes": nodes, "edges": [edges[3]], "unit": ""}})
    assert (plain.inputs, plain.head) == ([], ["from", "to", "weight"])
    assert "port" not in plain.svg


def test_a_lens_is_on_the_scale_of_probabilities(make: SimpleNamespace) -> None:
    top = [[[{"token": "Mary\n", "p": 0.75}, {"token": "b", "p": None}], []]]
    data = {"tokens": ["x", "y"], "layers": ["7"], "p_answer": [[0.5, 0.0]], "p_foil": [[0.25, None]], "top": top}
    answer, foil, best = (pane.map for pane in lens({"kind": "lens", "title": "t", "data": data}).panes)
    assert answer.cells == [[("b12", "0.50"), ("b0", "0.00")]]
    assert foil.cells == [[("b6", "0.25"), ("nil", "–")]]
    assert (answer.low, answer.high, answer.rows, answer.cols) == ("0.00", "1.00", ["7"], ["x", "y"])
    assert best.cells == [[("b18", "Mary⏎"), ("nil", "–")]]
    assert best.hints == [["Mary⏎ 0.75, b –", ""]]
    assert len(lens({"kind": "lens", "title": "t", "data": data | {"p_foil": None, "top": None}}).panes) == 1


def test_repeated_tokens_are_numbered() -> None:
    assert numbered([" John", " gave", "John", "\n", "", "\u202e"]) == ["John_1", "gave", "John_2", "⏎", "∅", "\\u202e"]


def test_the_strongest_links_of_a_head_are_told_without_the_resting_place() -> None:
    steps = bytes([255, 0, 0, 200, 55, 0, 250, 5, 128])
    packed = {"head": "0.3", "low": 0.0, "high": 0.5, "values": base64.b64encode(steps).decode()}
    many = [packed | {"head": f"1.{h}"} for h in range(30)]
    drawn = attention.view(
        {"kind": "attention", "title": "t", "data": {"tokens": ["a", "b", "a"], "patterns": [packed, *many], "weighted": None}}
    )
    assert drawn.links[:3] == [("0.3", "a_2", "a_2", "0.25"), ("0.3", "b", "b", "0.11"), ("0.3", "a_2", "b", "0.01")]
    assert (len(drawn.data), drawn.data[0]["labels"], drawn.first) == (1, ["a_1", "b", "a_2"], "")
    assert drawn.left_out == 7


def test_an_empty_figure_is_still_drawn(make: SimpleNamespace) -> None:
    figure = make.lines()
    figure["data"] |= {"x": [], "series": []}
    assert lines(figure).table == []
    assert lines(figure).head == ["steering strength"]
    assert heatmap(make.heatmap(1, 1, values=[], rows=[], cols=[])).cells == []
