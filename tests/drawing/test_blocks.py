"""Parts of a picture know their size: what is set below, beside or around them does not overlap, and nothing is cut off."""

import re

import pytest
from markupsafe import Markup

from mechcheck.drawing.blocks import Block, below, beside, framed, table, words
from mechcheck.drawing.svg import svg, text
from mechcheck.drawing.text import width


def square(side: float) -> Block:
    return Block(side, side, Markup('<rect width="{0}" height="{0}"/>').format(side))


def moved(block: Block) -> list[tuple[float, float]]:
    """Where the innermost groups of a block stand, when all that they are in is added up."""
    places, at = [], [(0.0, 0.0)]
    for tag in re.finditer(r'<g transform="translate\(([\d.]+) ([\d.]+)\)">|<rect|</g>', block.drawn):
        if tag[0] == "</g>":
            at.pop()
        elif tag[0] == "<rect":
            places.append(at[-1])
        else:
            at.append((at[-1][0] + float(tag[1]), at[-1][1] + float(tag[2])))
    return places


def test_below_each_other() -> None:
    whole = below([square(10), square(30), square(20)], gap=5)
    assert moved(whole) == [(0, 0), (0, 15), (0, 50)]
    assert whole[:2] == (30, 70)
    assert below([])[:2] == (0, 0)


def test_beside_each_other_until_the_row_is_full() -> None:
    whole = beside([square(40), square(40), square(30), square(200)], most=100, gap=10)
    assert moved(whole) == [(0, 0), (50, 0), (0, 52), (0, 94)]
    assert whole[:2] == (200, 294)  # what is wider than a row has one of its own


def test_a_long_text_is_broken_where_it_is_too_wide() -> None:
    told = "one two three four five"
    assert words(told, "label", 1000).drawn.count("<text") == 1
    narrow = words(told, "label", width("three four", 11.5))
    assert re.findall(">([^<]+)</text>", narrow.drawn) == ["one two", "three four", "five"]
    assert narrow.width == pytest.approx(width("three four", 11.5))
    assert narrow.height > 2.5 * words("one", "label", 1000).height
    assert words("a-word-that-is-wider", "label", 10).width > 10  # and cannot be broken


def test_a_frame_has_room_for_texts_that_reach_beyond_their_picture() -> None:
    inside = framed(svg("chart", 100, 20, text(50, 10, "in", "label")))
    assert inside[:2] == (100, 20)
    long = "a label of the axis"
    right = framed(svg("chart", 100, 20, text(60, 10, long, "label first")))
    assert right.width == pytest.approx(60 + width(long, 11.5))
    left = framed(svg("chart", 100, 20, text(30, 10, long, "y")))
    assert left.width == pytest.approx(100 + width(long) - 30)
    (shift,) = re.findall(r"translate\(([\d.]+) 0\)", left.drawn)
    assert float(shift) == pytest.approx(width(long) - 30, abs=0.1)
    both = framed(svg("chart", 40, 20, text(20, 10, long)))
    assert both.width == pytest.approx(width(long))


def test_numbers_of_a_table_end_where_their_column_ends() -> None:
    drawn = table(["name", "n"], [["a & b", "1"], ["c", "1000"]], [False, True])
    places = re.findall(r'<text class="(\w+)[^"]*" x="([\d.]+)" y="(\d+)">([^<]+)<', drawn.drawn)
    assert [place[3] for place in places] == ["name", "a &amp; b", "c", "n", "1", "1000"]
    assert {(place[0], place[1]) for place in places[:3]} == {("first", "0.0")}
    edge = width("a & b") + 18 + width("1000")
    assert {(place[0], float(place[1])) for place in places[3:]} == {("y", round(edge, 1))}
    assert [place[2] for place in places[:3]] == ["12", "29", "46"]
    assert drawn[:2] == (pytest.approx(edge), 51)
