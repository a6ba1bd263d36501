"""A figure as SVG by itself: valid, in its own colours, styling nothing but itself, with no text cut off."""

import json
import re
from xml.etree import ElementTree

import pytest
from browser import Browser
from steps import compared_figures, every_figure, needs_browser

from mechcheck.base.errors import MechcheckError
from mechcheck.drawing.picture import picture, style

HOSTILE = "</style><script>alert(1)</script> & \"quotes\" 'too' \x00\x1b\u202e ]]> שלום a long title that goes on and on"
FIGURES = every_figure()
MORE = [*FIGURES, *compared_figures()]
SVG = "{http://www.w3.org/2000/svg}"


def named(value: object, name: str) -> object:
    """The same with this in the place of every text that is not a number or packed bytes."""
    if isinstance(value, dict):
        return {
            key: v if key in ("kind", "values", "head", "label", "source", "target", "reads") else named(v, name)
            for key, v in value.items()
        }
    return [named(v, name) for v in value] if isinstance(value, list) else name if isinstance(value, str) else value


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("figure", MORE, ids=lambda figure: figure["title"])
def test_every_kind_is_an_svg_that_needs_nothing(figure: dict) -> None:
    svg = picture(figure)
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label") == figure["title"]
    assert texts(svg)[0] == figure["title"]
    assert "var(" not in svg
    assert "currentColor" not in re.sub(r"<style>.*?</style>", "", svg)
    assert not re.search(r"(?:href|src)=\"(?!data:image/png)", svg.replace("xmlns=", ""))
    paper = next(iter(root.iter(f"{SVG}rect")))
    assert (paper.get("class"), paper.get("width")) == ("paper", root.get("width"))


@pytest.mark.parametrize("figure", MORE, ids=lambda figure: figure["title"])
def test_text_from_outside_stays_text(figure: dict) -> None:
    svg = picture(named(figure, HOSTILE))
    root = ElementTree.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert len(list(root.iter(f"{SVG}style"))) == 1
    assert "</style><script>" in " ".join(texts(svg))
    assert "\\u0000\\u001b\\u202e" in root.get("aria-label")


def test_what_the_figures_say_is_in_the_pictures() -> None:
    said = {figure["kind"]: texts(picture(figure)) for figure in FIGURES}
    assert {"0.50", "-0.25", "layer ↓", "head →", "logits"} <= set(said["heatmap"])
    assert {"head 0.0", "head 1.1, value-weighted", "John_1", "from ↓"} <= set(said["attention"])
    assert {"p(answer)", "p(foil)", "most probable token"} <= set(said["lens"])
    assert (said["lens"].count(" Mary"), said["lens"].count("Mary")) == (3 * 14, 3)  # cells, and a column of each grid
    assert {"scale", "logit difference", "name", "random"} <= set(said["lines"])
    assert {"0.1", "S-inhibition", "name mover", "2", "-1"} <= set(said["circuit"])
    assert {"goal 0.2", "(start)", "added", "p(answer)"} <= set(said["search"])
    assert {"detector", "variance", "0.8", "–"} <= set(said["table"])
    assert {"logits", "-1", "2"} <= set(said["bars"])


def test_numbers_among_a_searchs_details_stand_at_the_right() -> None:
    data = {"steps": [{"site": "0.3", "score": 0.5}], "score_label": "p", "start": None, "goal": None,
            "details": [{"label": "sets", "cells": [12]}, {"label": "how", "cells": ["pair"]}]}  # fmt: skip
    root = ElementTree.fromstring(picture({"kind": "search", "title": "t", "data": data}))
    sides = {node.text: node.get("class").split()[0] for node in root.iter(f"{SVG}text") if node.get("class")}
    assert (sides["12"], sides["sets"], sides["0.3"], sides["pair"]) == ("y", "y", "first", "first")


def test_its_style_is_for_its_own_parts() -> None:
    for selectors in re.findall(r"([^{}]+)\{", style()):
        assert all(selector.startswith(".mechcheck") for selector in selectors.split(",")), selectors
    assert ".mechcheck path{fill: none; stroke: currentColor;}" in style()
    assert ".mechcheck .s0{color: #0b62b8;}" in style()


def test_a_kind_of_a_newer_version_is_refused() -> None:
    with pytest.raises(MechcheckError, match="cannot draw a figure of the kind 'hologram'; it knows heatmap, lens"):
        picture({"kind": "hologram", "title": "", "data": {}})


@needs_browser
def test_no_text_is_cut_off_in_a_browser(browser: Browser, tmp_path) -> None:
    long = "some label that is rather long, longer than its picture is wide, and goes on further"
    figures = [*MORE, *(named(figure, long) for figure in MORE)]
    cut = """(() => { const svg = document.documentElement, all = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()])
        .filter(([, b]) => b.width && (b.left < all.left || b.right > all.right || b.top < all.top || b.bottom > all.bottom))
        .map(([t, b]) => [t, b.left, b.right, all.right]); })()"""
    for i, figure in enumerate(figures):
        path = tmp_path / f"{i}.svg"
        path.write_text(picture(figure), encoding="utf-8")
        browser.open(path, dark=True)
        assert browser.evaluate("document.querySelectorAll('text').length") > 3
        assert browser.evaluate(cut) == [], (figure["kind"], i)
        # On white, even where the system is dark.
        assert browser.evaluate("getComputedStyle(document.querySelector('.paper')).fill") == "rgb(255, 255, 255)"
        assert browser.problems() == []


@needs_browser
def test_a_picture_does_not_style_the_page_around_it(browser: Browser, tmp_path) -> None:
    beside = '<svg><path class="line" d="M0 0H9"/><text class="name y">t</text></svg><p class="s1 grid label">text</p>'
    looks = """[...document.querySelectorAll('#own *')].map((node) => { const style = getComputedStyle(node);
      return JSON.stringify(Object.fromEntries([...style].map((name) => [name, style.getPropertyValue(name)]))); })"""
    seen = []
    for i, before in enumerate(["", "".join(map(picture, MORE))]):
        path = tmp_path / f"{i}.html"
        path.write_text(f'<!DOCTYPE html><meta charset="utf-8"><div id="own" style="width:300px;height:100px">{beside}</div>{before}')
        browser.open(path)
        seen.append(browser.evaluate(looks))
    assert json.loads(seen[0][0])["display"] == "inline"
    assert seen[0] == seen[1]
