"""A claim over a grid of methods: its cells as a table, the last axis across and the others down."""

from typing import Any, NamedTuple

from mechcheck.drawing.numbers import estimate_text

Json = dict[str, Any]


class Shown(NamedTuple):
    """One cell as it stands in the table."""

    cell: Json
    check: Json | None
    """The expectation that decided it; None where it checked nothing."""
    apart: str
    """How far it lies from the first cell, or why that has no answer; nothing for the first."""


class Table(NamedTuple):
    """The cells of a claim."""

    title: str
    across: str
    """The axis whose values are the columns; nothing where there is one axis, whose values are the rows."""
    columns: list[str]
    rows: list[tuple[str, list[Shown]]]


def table(claim: Json) -> Table:
    """The grid of a claim that has one."""
    grid = claim["grid"]
    axes: dict[str, list[str]] = grid["axes"]
    *down, across = axes if len(axes) > 1 else [*axes, ""]
    shown = [Shown(cell, check, _apart(grid, place)) for cell in grid["cells"] for place, check in [_deciding(claim, cell)]]
    width = len(axes[across]) if across else 1
    rows = [shown[i : i + width] for i in range(0, len(shown), width)]
    named = [(", ".join(f"{axis} {cells[0].cell['at'][axis]}" for axis in down), cells) for cells in rows]
    return Table(f"{len(shown)} methods, one answer", across, axes.get(across, []), named)


def alike(claim: Json, check: Json) -> list[Json]:
    """The cells' checks that can stand on one axis with this one: in the same unit, against the same threshold."""
    shown = (_deciding(claim, cell)[1] for cell in claim["grid"]["cells"])
    return [one for one in shown if one and (one["unit"], one["region"]) == (check["unit"], check["region"])]


def bare(claim: Json, check: Json) -> str:
    """The check's label without the cell that it names at its end; nothing where each cell has but one check."""
    cell = claim["grid"]["cells"][check["cell"]]
    return "" if len(cell["expectations"]) == 1 else str(check["label"]).removesuffix(f" [{cell['text']}]")


def _deciding(claim: Json, cell: Json) -> tuple[int, Json] | tuple[None, None]:
    """The check that made a cell's verdict what it is."""
    place = cell.get("deciding", next(iter(cell["expectations"]), None))
    return (None, None) if place is None else (place, claim["expectations"][place])


def _apart(grid: Json, place: int | None) -> str:
    found = next((one for one in grid["differences"] if one["expectation"] == place), None)
    if found is None:
        return ""
    e = found["estimate"]
    return str(found["problem"]) if e is None else " ".join(estimate_text(e["value"], e["low"], e["high"], (0.0,)))
