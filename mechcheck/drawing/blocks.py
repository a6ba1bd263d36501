"""Parts of a picture that know their size, set below and beside each other, so that nothing is cut off."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from mechcheck.base.text import shorten
from mechcheck.drawing.svg import text
from mechcheck.drawing.text import visible, width

Cells = Sequence[Sequence[str]]

_LINE = 1.35  # of the size of the letters
_CELL = 60  # letters of a cell
_SIZES = {"label": 11.5, "name": 12.0, "heading": 12.5}
"""Class of a text -> size of its letters, where that is not the usual one."""
_USUAL = 10.5


class Block(NamedTuple):
    """Something drawn, from (0, 0) to (width, height) in pixels."""

    width: float
    height: float
    drawn: Markup

    def at(self, x: float, y: float) -> Markup:
        """Itself, moved there."""
        return Markup('<g transform="translate({} {})">{}</g>').format(round(x, 1), round(y, 1), self.drawn)


NOTHING = Block(0, 0, Markup(""))


def below(blocks: Sequence[Block], gap: float = 10) -> Block:
    """One below the other."""
    placed, y = [], 0.0
    for block in blocks:
        placed.append(block.at(0, y))
        y += block.height + gap
    return Block(max((b.width for b in blocks), default=0), max(0.0, y - gap), Markup("").join(placed))


def beside(blocks: Sequence[Block], most: float, gap: float = 24) -> Block:
    """One beside the other, in a new row where a row would be wider than `most`."""
    rows: list[list[Block]] = [[]]
    for block in blocks:
        if rows[-1] and sum(b.width + gap for b in rows[-1]) + block.width > most:
            rows.append([])
        rows[-1].append(block)
    return below([_row(row, gap) for row in rows], gap=12)


def _row(blocks: Sequence[Block], gap: float) -> Block:
    placed, x = [], 0.0
    for block in blocks:
        placed.append(block.at(x, 0))
        x += block.width + gap
    return Block(max(0.0, x - gap), max((b.height for b in blocks), default=0), Markup("").join(placed))


def words(content: str, css_class: str, most: float) -> Block:
    """A text, broken into lines of at most about `most` pixels."""
    size = _SIZES.get(css_class, _USUAL)
    lines = [""]
    for word in content.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width(longer, size) > most:
            lines.append(word)
        else:
            lines[-1] = longer
    drawn = [text(0, round(size * (1 + _LINE * i), 1), line, f"{css_class} first") for i, line in enumerate(lines)]
    return Block(max(width(line, size) for line in lines), size * (0.3 + _LINE * len(lines)), Markup("").join(drawn))


def table(head: Sequence[str], rows: Cells, numeric: Sequence[bool]) -> Block:
    """A table as text; its numbers stand at the right of their columns."""
    cells = [[shorten(cell, _CELL) for cell in row] for row in (head, *rows)]
    wide = [max(width(row[i]) for row in cells) for i in range(len(head))]
    placed, x = [], 0.0
    for i, right in enumerate(numeric):
        edge, css_class = (x + wide[i], "y") if right else (x, "first")
        for line, row in enumerate(cells):
            placed.append(text(round(edge, 1), 12 + 17 * line, row[i], f"{css_class}{' cell' if line else ''}"))
        x += wide[i] + 18
    across = max(0.0, x - 18)
    rules = "".join(f"M0 {17 * (i + 1) - 0.5}H{across:.1f}" for i in range(len(cells) - 1))
    lines = Markup('<path class="grid" d="{}"/>').format(rules) if rules else Markup("")
    return Block(across, 17 * len(cells), lines + Markup("").join(placed))


def framed(picture: Markup) -> Block:
    """A picture with room for those of its texts that reach beyond it."""
    root = ElementTree.fromstring(visible(picture))
    wide, high = float(root.get("width", 0)), float(root.get("height", 0))
    ends = [end for node in root.iter("text") for end in _ends(node)]
    left, right = min([0.0, *ends]), max([wide, *ends])
    return Block(right - left, high, Markup('<g transform="translate({} 0)">{}</g>').format(round(-left, 1), picture))


def _ends(node: ElementTree.Element) -> tuple[float, float]:
    """Where a text begins and ends, about."""
    classes = node.get("class", "").split()
    size = next((_SIZES[name] for name in classes if name in _SIZES), _USUAL)
    long, x = width(node.text or "", size), float(node.get("x", 0))
    start = x if {"first", "v"} & set(classes) else x - long if "y" in classes else x - long / 2
    return start, start + long


def plain(content: str) -> str:
    """A text on one line."""
    return re.sub(r"\s+", " ", content).strip()
