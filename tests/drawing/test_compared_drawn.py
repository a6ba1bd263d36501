"""What is compared is drawn on one scale; what is switched has its first position open; what changes nothing is not drawn."""

import re
from xml.etree import ElementTree

import pytest
from steps import TOKENS, compared_figures

from mechcheck import RecordedFigure
from mechcheck.drawing import attention, charts, graph
from mechcheck.drawing.heatmaps import compared, heatmap, lens
from mechcheck.drawing.palette import STEPS
from mechcheck.drawing.picture import picture

HEATS, PROMPTS, RUNS, SEARCH, INPUTS = compared_figures()


def test_heatmaps_that_are_compared_have_one_scale_and_one_format() -> None:
    view = compared(HEATS)
    assert [one.title for one in view.grids] == ["clean", "ablated"]
    assert {(one.low, one.high, one.scale) for one in view.grids} == {("-2.00", "2.00", "div -2.0 2.0 2")}
    clean, ablated = (one.steps[0] for one in view.grids)
    assert (clean, ablated) == ([STEPS // 4, STEPS // 8], [-STEPS, STEPS // 2])
    assert [shown for _, shown in view.grids[1].cells[0]] == ["-2.00", "1.00"]
    # By itself the first would have had a scale of its own.
    alone = heatmap({"kind": "heatmap", "title": "t", "data": HEATS["data"]})
    assert (alone.low, alone.high) == ("0.25", "0.50")


@pytest.mark.parametrize("drawn", [lambda figure: RecordedFigure(figure).html(), picture], ids=["page", "picture"])
def test_the_common_scale_is_told_once(drawn) -> None:
    assert drawn(HEATS).count("one scale for all 2") == 1
    assert drawn(HEATS | {"data": HEATS["data"] | {"others": []}}).count("one scale") == 0


def test_a_lens_is_one_grid_with_its_first_position_open() -> None:
    page = RecordedFigure(RUNS).html()
    panes = re.findall(r'<details class="plain pane" data-run="([^"]*)" data-what="([^"]*)"( open)?><summary>([^<]*)<', page)
    assert [pane[:2] for pane in panes] == [
        (run, what) for run in ("clean", "corrupted") for what in ("p(answer)", "p(foil)", "most probable token")
    ]
    assert [bool(pane[2]) for pane in panes] == [True, False, False, False, False, False]
    assert panes[4][3] == "corrupted: p(foil)"
    assert [pane.map.cells[0][0][1] for pane in lens(RUNS).panes] == ["0.75", "0.25", " clean", "0.12", "0.88", " corrupted"]
    # A lens of an earlier version, which has one run, has fewer positions.
    earlier = {"kind": "lens", "title": "t", "data": {key: RUNS["data"][key] for key in ("tokens", "layers", "p_answer", "p_foil", "top")}}
    assert [(pane.run, pane.map.title) for pane in lens(earlier).panes] == [("", "p(answer)"), ("", "p(foil)"), ("", "most probable token")]


def test_attention_on_several_prompts_tells_the_links_of_the_first() -> None:
    view = attention.view(PROMPTS)
    assert [len(one["labels"]) for one in view.data] == [len(TOKENS), 3]
    assert view.data[1]["said"] == "prompt 1: <s> When Mary"
    assert view.first == "prompt 0: <s> When Mary and John went to the store , John gave it to"  # the second John is no John_2
    assert {link.head for link in view.links} == {"0.0", "0.1"}
    assert "prompt 0, the first of 2 prompts; a page (.html) has them all" in picture(PROMPTS)


def test_a_search_tells_what_came_and_what_went() -> None:
    drawn = charts.search(SEARCH)
    assert drawn.head == ["step", "added", "removed", "set", "p(answer)"]
    assert drawn.table == [
        ["0", "(start)", "", "", "0.000"], ["1", "0.1", "", "0.1", "0.500"], ["2", "0.0 1.0", "0.1", "0.0 1.0", "0.875"],
        ["3", "", "0.0", "1.0", "0.750"],
    ]  # fmt: skip
    notes = re.findall(r'<text class="note[^"]*" x="([\d.]+)"[^>]*>([^<]*)<', drawn.svg)
    assert [note for _, note in notes] == ["+0.1", "+0.0 +1.0 −0.1", "−0.0"]
    assert [float(x) for x, _ in notes] == sorted(float(x) for x, _ in notes)
    many = SEARCH["data"] | {"steps": SEARCH["data"]["steps"] * 5}
    assert 'class="note' not in charts.search(SEARCH | {"data": many}).svg


def test_an_edge_of_no_effect_is_told_and_not_drawn() -> None:
    drawn = graph.graph(INPUTS)
    assert drawn.nil == ["0.1 → logits"]
    assert drawn.edges == [("0.1", "1.0", "query", "2"), ("0.1", "1.0", "key", "1"), ("1.0", "logits", "", "-1")]
    assert drawn.svg.count('class="line"') == 3
    assert "<summary>1 not drawn, as the effect is zero</summary>" in RecordedFigure(INPUTS).html()
    told = [text.text for text in ElementTree.fromstring(picture(INPUTS)).iter() if (text.text or "").startswith("not drawn")]
    assert told == ["not drawn, as the effect is zero: 0.1 → logits"]
    # Where all are as small, they are no zeros.
    small = [edge | {"weight": edge["weight"] * 1e-8} for edge in INPUTS["data"]["edges"]]
    assert len(graph.graph(INPUTS | {"data": INPUTS["data"] | {"edges": small[:3]}}).edges) == 3


def test_a_box_of_several_inputs_has_room_between_them() -> None:
    high = dict(re.findall(r'data-label="([^"]+)"><title>[^<]*</title><rect [^>]*height="(\d+)"', graph.graph(INPUTS).svg))
    assert (high["0.1"], high["1.0"], high["logits"]) == ("34", "54", "34")
    ends = [
        float(y)
        for y in re.findall(r'class="edge [qk]"[^>]*><title>[^<]*</title><path class="line" d="[^"]* ([\d.]+)"', graph.graph(INPUTS).svg)
    ]
    assert abs(ends[0] - ends[1]) == 20
