"""Draws the house: the rooms of the package, floor by floor, and which of them imports which.

    python docs/house.py        writes docs/house.svg

Floors come from the contract in pyproject.toml, what a room is for from its docstring, imports from
the code.
"""

import ast
import tomllib
from html import escape
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "house.svg"
ROW, CELL, LEFT, NAME, ABOUT, TOP = 26, 26, 12, 110, 530, 96
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600 } .about { fill: #59636e } .head { font-size: 12px }
.floor { fill: #f6f8fa } .dot { fill: #0969da } .own { fill: #d1d9e0 } .rule { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .about { fill: #9198a1 } .floor { fill: #151b23 } .dot { fill: #4493f8 }
.own { fill: #3d444d } .rule { stroke: #3d444d }
}
"""


class Room(NamedTuple):
    """A folder of the package, or a module beside the folders."""

    name: str
    about: str
    floor: int
    """From the top."""


def rooms() -> list[Room]:
    """From the top floor down."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (one["layers"] for one in contracts if one["id"] == "layers")
    named = [(floor, name.strip()) for floor, line in enumerate(layers) for name in line.split("|")]
    return [Room(name, about(name), floor) for floor, name in named]


def about(room: str) -> str:
    """The first sentence of its docstring."""
    folder = ROOT / "mechcheck" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    first = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0]
    return " ".join(first.split()).partition(". ")[0].rstrip(".").replace("`", "")


def imports() -> set[tuple[str, str]]:
    """(importer, imported), for the rooms."""
    graph = grimp.build_graph("mechcheck", cache_dir=None)
    pairs = set()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            ends = [name.split(".")[1] for name in (module, other) if "." in name]
            if len(ends) == 2 and ends[0] != ends[1]:
                pairs.add((ends[0], ends[1]))
    return pairs


def draw(house: list[Room], arrows: set[tuple[str, str]]) -> str:
    """A row for each room and a column for each; a dot where the row imports the column."""
    grid = LEFT + NAME + ABOUT
    width, height = grid + CELL * len(house) + LEFT, TOP + ROW * len(house) + LEFT
    bands = [
        f'<rect class="floor" x="0" y="{TOP + ROW * i}" width="{width}" height="{ROW}"/>'
        for i, room in enumerate(house)
        if room.floor % 2 == 0
    ]
    rules, words, dots = [], [], []
    for i, room in enumerate(house):
        x, y = grid + CELL * i + CELL // 2, TOP + ROW * i + 17
        name = escape(room.name)
        rules.append(
            f'<line class="rule" x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + ROW * len(house)}"/>'
        )
        turned = f"translate({x + 4} {TOP - 8}) rotate(-60)"
        words += [
            f'<text class="name" x="{LEFT}" y="{y}">{name}</text>',
            f'<text class="about" x="{LEFT + NAME}" y="{y}">{escape(room.about)}</text>',
            f'<text class="head" transform="{turned}">{name}</text>',
        ]
    for i, one in enumerate(house):
        for j, other in enumerate(house):
            kind = "own" if i == j else "dot" if (one.name, other.name) in arrows else None
            if kind:
                x, y = grid + CELL * j + CELL // 2, TOP + ROW * i + ROW // 2
                title = f"{one.name} imports {other.name}" if kind == "dot" else one.name
                dots.append(
                    f'<circle class="{kind}" cx="{x}" cy="{y}" r="{6 if kind == "dot" else 3}">'
                    f"<title>{title}</title></circle>"
                )
    label = "The rooms of mechcheck from the top floor down, and which of them imports which"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{label}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join([*bands, *rules, *words, *dots]) + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(rooms(), imports()))
