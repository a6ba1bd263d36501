"""Where claims come from: the tests that make them, by file and folder, in the order in which they ask for attention."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

from mechcheck.report._claims import rank
from mechcheck.report._grids import Grid, grid_of, origin
from mechcheck.report._tally import Outcome, outcome

Json = dict[str, Any]
Thing = TypeVar("Thing")


class Group(NamedTuple):
    """A test, with the claims that it makes with each of its arguments."""

    name: str
    """Its function, behind its class if it has one."""
    statement: str
    """What all its claims state; "" where they state different things."""
    claims: list[Json]
    grid: Grid | None
    """The verdicts by model and arguments; None where a grid would not hold all claims, or there is but one."""
    came: Outcome


class File(NamedTuple):
    """A file of tests."""

    path: str
    folder: str
    """The folder that it lies in, with a slash behind it; "" at the root."""
    name: str
    tests: list[Group]
    came: Outcome


class Folder(NamedTuple):
    """A folder with files of tests in it."""

    path: str
    files: list[File]


def folders(claims: Iterable[Json]) -> list[Folder]:
    """All claims by test, file and folder; what holds a claim that did not come out as claimed stands first."""
    by_test = _grouped(claims, origin)
    by_file = _grouped(sorted(by_test, key=lambda test: _attention(by_test[test])), lambda test: test.partition("::")[0])
    files = [_file(path, [_group(test, by_test[test]) for test in tests]) for path, tests in by_file.items()]
    by_folder = _grouped(sorted(files, key=lambda file: (_attention(_claims_of(file)), file.path)), lambda file: file.folder)
    return [Folder(path, found) for path, found in by_folder.items()]


def _grouped(things: Iterable[Thing], key: Callable[[Thing], str]) -> dict[str, list[Thing]]:
    groups: dict[str, list[Thing]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return groups


def _attention(claims: Iterable[Json]) -> int:
    return min(map(rank, claims))


def _claims_of(file: File) -> list[Json]:
    return [claim for test in file.tests for claim in test.claims]


def _group(nodeid: str, claims: Sequence[Json]) -> Group:
    grid = grid_of(claims)
    held = sum(cell is not None for _, cells in grid.rows for cell in cells) if grid else 0
    name = nodeid.partition("::")[2] or nodeid
    statements = {claim["statement"] for claim in claims}
    statement = claims[0]["statement"] if len(statements) == 1 else ""
    return Group(name, statement, sorted(claims, key=rank), grid if held == len(claims) else None, outcome(claims))


def _file(path: str, tests: list[Group]) -> File:
    place = PurePosixPath(path)
    folder = "" if place.parent == PurePosixPath() else f"{place.parent}/"
    return File(path, folder, place.name, tests, outcome(claim for test in tests for claim in test.claims))
