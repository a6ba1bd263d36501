"""One answer for a claim that was run under several methods: the same under all of them, or dependent on the method, or not told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from mechcheck.verdicts.verdict import Decision, Expectation, Verdict, combine, deciding

if TYPE_CHECKING:
    from mechcheck.verdicts.grids.differences import CellDifference
    from mechcheck.verdicts.grids.grid import Grid

Answer = Literal["robust", "method_dependent", "refuted", "inconclusive", "not_applicable"]
"""robust: supported in every cell; refuted: in every cell; method_dependent: supported in some and refuted in others."""

_VERDICTS: dict[Answer, Verdict] = {
    "robust": "supported", "method_dependent": "method_dependent", "refuted": "refuted", "inconclusive": "inconclusive",
    "not_applicable": "not_applicable",
}  # fmt: skip


_NAMED = 3
"""Cells that are named in a line; the table has all."""


class Sides(NamedTuple):
    """What the expectations of one cell come to."""

    verdict: Verdict
    """At the claim's own level."""
    p: float
    """Against "the claim does not hold in this cell": the largest of its expectations'."""
    p_refuted: float
    """Against "it holds": the smallest of its expectations' after Holm."""


@dataclass(frozen=True)
class CellFound:
    """One cell of a claim's grid."""

    text: str
    at: dict[str, str]
    """Axis -> the value in words."""
    verdict: Verdict
    stands: Decision
    """What it is among all cells of the grid (Holm over them): supported, refuted, or inconclusive."""
    p: float
    p_refuted: float
    places: tuple[int, ...]
    """Of its expectations among the claim's."""
    deciding: int | None = None
    """Which of these made its verdict what it is; None where it has none."""


@dataclass(frozen=True)
class GridFound:
    """What a claim came to over its grid."""

    axes: dict[str, tuple[str, ...]]
    cells: tuple[CellFound, ...]
    answer: Answer
    p: float | None
    """Two-sided, of the claim as a whole; None where nothing was tested."""
    deciding: int | None
    """Which of the claim's expectations made the answer what it is."""
    differences: "tuple[CellDifference, ...]" = ()
    """From the first cell, with simultaneous intervals."""

    @property
    def verdict(self) -> Verdict:
        """The claim's verdict: a robust claim is supported."""
        return _VERDICTS[self.answer]

    @property
    def text(self) -> str:
        """What a reader is told."""
        n = len(self.cells)
        if self.answer == "robust":
            return f"robust: supported in all {n} cells"
        if self.answer == "refuted":
            return f"refuted in all {n} cells"
        if self.answer == "method_dependent":
            stands = ("supported", "refuted", "inconclusive")
            told = [(verdict, [cell.text for cell in self.cells if cell.stands == verdict]) for verdict in stands]
            return f"method-dependent: {_in_cells([(verdict, some) for verdict, some in told if some])}"
        verdicts = dict.fromkeys(cell.verdict for cell in self.cells)
        apart = _in_cells([(verdict, [cell.text for cell in self.cells if cell.verdict == verdict]) for verdict in verdicts])
        both = f", alone and not among {n} cells" if {"supported", "refuted"} <= set(verdicts) else ""
        return f"{self.answer.replace('_', ' ')} over {n} cells: {apart}{both}"


def _in_cells(told: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Verdicts and their cells: "supported in 2 ([method=zero], [method=mean]), refuted in 1 ([method=patched])"."""
    return ", ".join(
        f"{verdict.replace('_', ' ')} in {len(some)} ({', '.join(f'[{text}]' for text in some[:_NAMED])}{', ...' * (len(some) > _NAMED)})"
        for verdict, some in told
    )


def sides(expectations: Sequence[Expectation]) -> Sides:
    """The verdict of a cell by the rules that decide every claim, and its p-values; what a search found is certain, or nothing."""
    from mechcheck.stats.multiplicity import holm

    verdict = combine(expectations)
    own = [e for e in expectations if e.role == "claim"]
    p = max((_certain(e, "supported") if e.p is None else e.p for e in own), default=1.0)
    searched = [_certain(e, "refuted") for e in own if e.p_refuted is None]
    p_refuted = min([*searched, *holm([e.p_refuted for e in own if e.p_refuted is not None])], default=1.0)
    decided = verdict in ("supported", "refuted", "inconclusive")
    return Sides(verdict, p if decided else 1.0, p_refuted if decided else 1.0)


def _certain(e: Expectation, verdict: Verdict) -> float:
    return 0.0 if e.verdict == verdict else 1.0


def answer(cells: Sequence[Sides], alpha: float) -> tuple[Answer, list[Decision]]:
    """The answer, and what each cell is among all of them.

    - **robust** where every cell is supported, each at level alpha, and **refuted** where every cell is refuted. Nothing is adjusted:
      that all hold is said wrongly at most as often as any one of them is (an intersection-union test, Berger 1982).
    - **method_dependent** where some cell is supported and another refuted after Holm (1979) over the cells: that one of so many comes
      out so by chance is guarded against once, for the claim.
    - else inconclusive; not applicable where no cell has anything to say.

    Args:
        cells: each by itself, at level alpha.
        alpha: one-sided, that is taken of deciding wrongly.
    """
    from mechcheck.stats.multiplicity import holm

    verdicts = {cell.verdict for cell in cells}
    raised = zip(cells, holm([cell.p for cell in cells]), holm([cell.p_refuted for cell in cells]), strict=True)
    stands = [_stands(cell, p, p_refuted, alpha) for cell, p, p_refuted in raised]
    if verdicts == {"supported"}:
        return "robust", ["supported"] * len(cells)
    if verdicts == {"refuted"}:
        return "refuted", ["refuted"] * len(cells)
    if verdicts == {"not_applicable"}:
        return "not_applicable", stands
    return "method_dependent" if {"supported", "refuted"} <= set(stands) else "inconclusive", stands


def _stands(cell: Sides, p: float, p_refuted: float, alpha: float) -> Decision:
    if cell.verdict == "supported" and p <= alpha:
        return "supported"
    return "refuted" if cell.verdict == "refuted" and p_refuted <= alpha else "inconclusive"


def two_sided(cells: Sequence[Sides]) -> float | None:
    """Twice the smallest p-value of the three answers; None where no cell was tested, or one is certain of itself."""
    if any(cell.verdict == "not_applicable" for cell in cells):
        return None
    both = len(cells) * max(min(cell.p for cell in cells), min(cell.p_refuted for cell in cells))
    return min(1.0, 2 * min(max(cell.p for cell in cells), max(cell.p_refuted for cell in cells), both))


def decide_grid(over: "Grid", expectations: Sequence[Expectation], alpha: float, differences: "Iterable[CellDifference]" = ()) -> GridFound:
    """The one answer of a claim.

    Args:
        over: what it was run over.
        expectations: of all its cells, each decided within its own.
        alpha: one-sided, that is taken of deciding wrongly.
        differences: between its cells.
    """
    places = [tuple(i for i, e in enumerate(expectations) if e.cell == cell.number) for cell in over.cells]
    found = [sides([expectations[i] for i in some]) for some in places]
    said, stands = answer(found, alpha)
    cells = tuple(
        CellFound(cell.text, dict(cell.at), one.verdict, stood, one.p, one.p_refuted, some, _deciding(expectations, some))
        for cell, one, stood, some in zip(over.cells, found, stands, places, strict=True)
    )
    tested = all(e.p is not None for e in expectations if e.role == "claim")
    axes = {axis: tuple(dict.fromkeys(cell.at[axis] for cell in over.cells)) for axis in over.axes}
    return GridFound(axes, cells, said, two_sided(found) if tested else None, _telling(cells, said), tuple(differences))


def _deciding(expectations: Sequence[Expectation], places: Sequence[int]) -> int | None:
    """The expectation that made a cell's verdict what it is, among all of the claim's."""
    place = deciding([expectations[i] for i in places])
    return None if place is None else places[place]


def _telling(cells: Sequence[CellFound], said: Answer) -> int | None:
    """The deciding expectation of the cell that decided: of a method-dependent claim the first that refutes it, of one that is not told
    to be the same under all methods the first in which it does not hold."""
    wanted = {"robust": "supported", "method_dependent": "refuted"}.get(said, said)
    chosen = (cell for cell in cells if (cell.stands if said == "method_dependent" else cell.verdict) == wanted)
    return next(chosen, next((cell for cell in cells if cell.verdict != "supported"), cells[0])).deciding
