"""The claims that one test makes with other arguments and on other models, side by side."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mechcheck.report._claims import check_name, headline, model_name

Json = dict[str, Any]


def origin(claim: Json) -> str:
    """The node id of the test that makes a claim, without its arguments."""
    return claim["nodeid"].partition("[")[0]


class Grid(NamedTuple):
    """The verdicts of one test under each of its arguments (columns) on each model (rows)."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Json | None]]]
    shown: str | None
    """Which check every cell shows ("" where none was measured); None where they show different ones, and each has to say which."""


# A test with more variants than this is better looked at in the list of claims.
_LARGEST_GRID = 160


def grids(claims: Iterable[Json]) -> dict[str, Grid]:
    """Claim id -> the grid of all claims made by the same test; claims that stand alone have none."""
    tests: dict[tuple[str, str], list[Json]] = {}
    for claim in claims:
        tests.setdefault((origin(claim), claim["statement"]), []).append(claim)
    return {claim["id"]: grid for members in tests.values() if (grid := grid_of(members)) for claim in members}


def grid_of(members: Sequence[Json]) -> Grid | None:
    """The grid of the claims of one test; None where there is but one, or too many."""
    only_methods = all(list(claim["params"]) == ["method"] for claim in members)
    names = {id(c): c["params"]["method"] if only_methods else ", ".join(f"{k}={v}" for k, v in c["params"].items()) for c in members}
    columns, models = list(dict.fromkeys(names.values())), list(dict.fromkeys(map(model_name, members)))
    if len(members) < 2 or len(columns) * len(models) > _LARGEST_GRID:
        return None
    found = {(model_name(claim), names[id(claim)]): claim for claim in members}
    title = "Under each method" if only_methods else "The same test, otherwise" if len(columns) > 1 else "On each model"
    shown = {(check_name(claim), deciding["unit"]) for claim in members if (deciding := headline(claim))}
    common = next(iter(shown))[0] if len(shown) == 1 else None if shown else ""
    return Grid(title, columns, [(model, [found.get((model, column)) for column in columns]) for model in models], common)
