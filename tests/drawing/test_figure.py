"""Figures save and show themselves, and say why they cannot."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser
from steps import TOKENS, compared_figures, every_figure, needs_browser

from mechcheck import MechcheckError, RecordedFigure, head_heatmap
from mechcheck.measures.figures.charts import Table

FIGURE = head_heatmap("Direct effect <of heads>", np.array([[0.5, np.nan], [1.0, -0.25]]), "logits")


def test_a_figure_is_saved_as_its_ending_says(tmp_path) -> None:
    svg, html = FIGURE.save(tmp_path / "effect.svg"), FIGURE.save(str(tmp_path / "effect.HTML"))
    assert svg == tmp_path / "effect.svg"
    assert svg.read_text(encoding="utf-8") == FIGURE.svg()
    assert html.read_text(encoding="utf-8") == FIGURE.html()
    assert ElementTree.parse(svg).getroot().get("aria-label") == "Direct effect <of heads>"
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_page_has_the_figure_and_loads_nothing() -> None:
    page = FIGURE.html()
    assert "<title>Direct effect &lt;of heads&gt;</title>" in page
    assert "default-src &#39;none&#39;" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "<td class=b12>0.500" in page or "<td class=b12>0.50" in page


@pytest.mark.parametrize("name", ["effect.png", "effect.PDF"])
def test_what_is_no_svg_is_to_be_converted(tmp_path, name) -> None:
    with pytest.raises(MechcheckError, match=rf"'{name}': the name must end with \.svg or \.html; save an \.svg and convert it with rsvg"):
        FIGURE.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["effect", "effect.txt", ".svg"])
def test_another_ending_is_refused(tmp_path, name) -> None:
    with pytest.raises(MechcheckError, match=r"the name must end with \.svg or \.html$"):
        FIGURE.save(tmp_path / name)


def test_a_path_that_cannot_be_written_is_named(tmp_path) -> None:
    with pytest.raises(MechcheckError, match=r"cannot write the figure to .*none.effect\.svg: No such file or directory"):
        FIGURE.save(tmp_path / "none" / "effect.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(MechcheckError, match=r"cannot write the figure to .*folder\.svg"):
        FIGURE.save(tmp_path / "folder.svg")


@pytest.mark.parametrize("record", [*every_figure(), *compared_figures()], ids=lambda record: record["title"])
def test_a_recorded_figure_is_drawn_as_it_was(record) -> None:
    again = RecordedFigure(json.loads(json.dumps(record)))
    assert again.data() == record
    assert record["title"] in again.svg()
    assert record["title"] in again.html()
    assert repr(again) == f"RecordedFigure({record['kind']}, {record['title']!r})"
    assert again._repr_html_()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "this is no figure as the evidence has it .*KeyError: 'kind'"),
        ("figure.svg", "no figure .*TypeError"),
        (None, "no figure .*TypeError"),
        ({"kind": "heatmap", "title": "t", "data": {}}, "no figure .*KeyError: 'values'"),
        ({"kind": "heatmap", "title": 3, "data": FIGURE.data()["data"]}, "no figure .*its title is no text"),
        ({"kind": "bars", "title": "t", "data": {"labels": 3}}, "no figure"),
        ({"kind": "hologram", "title": "t", "data": {}}, "cannot draw a figure of the kind 'hologram'"),
    ],
)
def test_what_is_no_recorded_figure_is_refused(record, message) -> None:
    with pytest.raises(MechcheckError, match=message):
        RecordedFigure(record)


def test_a_notebook_shows_a_picture_or_a_table() -> None:
    assert FIGURE._repr_html_() == FIGURE.svg()
    html = Table("T <b>", ["name", "n"], [["<i>", 3], ["b", None]])._repr_html_()
    cells = [node.text for node in ElementTree.fromstring(html).iter() if node.tag in ("caption", "th", "td")]
    assert cells == ["T <b>", "name", "n", "<i>", "3", "b", "–"]
    sides = [node.get("style").split(";")[0] for node in ElementTree.fromstring(html).iter("td")]
    assert sides == ["text-align:left", "text-align:right"] * 2


def test_attention_is_a_page_within_the_notebook() -> None:
    attention = RecordedFigure(every_figure()[1])
    frame = ElementTree.fromstring(attention._repr_html_())
    assert frame.tag == "iframe"
    assert frame.get("srcdoc") == attention.html().replace("\n", " ")  # as XML reads an attribute
    assert frame.get("sandbox") == "allow-scripts allow-downloads"


@needs_browser
def test_a_saved_page_answers_to_its_reader(browser: Browser, tmp_path) -> None:
    heat, attention = (RecordedFigure(record) for record in every_figure()[:2])
    browser.open(attention.save(tmp_path / "attention.html"))
    assert browser.evaluate("document.querySelectorAll('figure.attention button.tok').length") == len(TOKENS)
    browser.evaluate("document.querySelectorAll('.head-button')[3].click()")
    assert browser.evaluate("document.querySelector('.which').textContent") == "mean of heads 0.0, 1.1"
    assert browser.evaluate("pngOf(document.querySelector('figure')).then((blob) => blob.type)") == "image/png"
    assert browser.problems() == []
    browser.open(heat.save(tmp_path / "heat.html"))
    browser.evaluate("document.querySelector('.grid').focus()")
    browser.press("ArrowRight")
    assert browser.evaluate("document.querySelector('.readout').textContent") == "layer \u20680\u2069, head \u20681\u2069: -0.25 logits"
    assert browser.evaluate("document.querySelectorAll('.save button').length") == 2
    assert browser.problems() == []


@needs_browser
def test_attention_answers_within_a_notebook(browser: Browser, tmp_path) -> None:
    html = RecordedFigure(every_figure()[1])._repr_html_()
    path = tmp_path / "notebook.html"
    for shut, there in ((True, None), (False, len(TOKENS))):  # shut in as it is, the frame can be looked into by nobody
        shown = html if shut else html.replace('sandbox="allow-scripts allow-downloads"', "")
        path.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{shown}", encoding="utf-8")
        browser.open(path)
        assert browser.evaluate("document.querySelector('iframe').contentDocument?.querySelectorAll('button.tok').length ?? null") == there
        assert browser.problems() == []
    inside = "document.querySelector('iframe').contentDocument.documentElement"
    assert browser.evaluate(f"{inside}.scrollHeight <= {inside}.clientHeight")


@needs_browser
@pytest.mark.parametrize("record", compared_figures()[1:3], ids=lambda record: record["title"])
def test_what_is_switched_fits_within_a_notebook(browser: Browser, tmp_path, record) -> None:
    html = RecordedFigure(record)._repr_html_().replace('sandbox="allow-scripts allow-downloads"', "")
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{html}", encoding="utf-8")
    browser.open(path)
    inside = "document.querySelector('iframe').contentDocument"
    assert browser.evaluate(f"{inside}.querySelectorAll('.choice:not([hidden]) input').length") == (5 if record["kind"] == "lens" else 2)
    assert browser.evaluate(f"{inside}.documentElement.scrollHeight <= {inside}.documentElement.clientHeight")
    assert browser.problems() == []
