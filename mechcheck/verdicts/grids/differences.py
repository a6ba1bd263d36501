"""How much the cells of a grid differ from the first one: paired by prompt, with intervals that hold for all of them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError
from mechcheck.verdicts.verdict import Expectation

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Confidence, Estimate
    from mechcheck.stats.measurement import Measurement


@dataclass(frozen=True)
class CellDifference:
    """What one expectation measured in a cell, less what it measured in the first."""

    cell: int
    place: int
    """Of the expectation among the claim's."""
    unit: str
    estimate: "Estimate | None"
    """None where the two cannot be compared prompt by prompt."""
    problem: str | None
    """Why not."""


def differences(
    expectations: Sequence[Expectation], samples: "Sequence[Measurement]", confidence: "Confidence"
) -> tuple[CellDifference, ...]:
    """Each cell but the first, expectation by expectation; preconditions and searches aside.

    The intervals are simultaneous (Bonferroni over all of them): all hold at once with the level of one.
    """
    from mechcheck.stats.estimates import Confidence

    pairs = list(_pairs(expectations))
    sure = Confidence(1 - confidence.alpha / max(1, len(pairs)))
    return tuple(_difference(expectations[there].cell or 0, first, there, samples, sure) for first, there in pairs)


def _pairs(expectations: Sequence[Expectation]) -> Iterator[tuple[int, int]]:
    """Places of an expectation in the first cell and in another."""
    by_cell: dict[int, list[int]] = {}
    for place, e in enumerate(expectations):
        by_cell.setdefault(e.cell or 0, []).append(place)
    first = by_cell.get(0, [])
    for cell, places in by_cell.items():
        for a, b in zip(first, places, strict=False):
            if cell and expectations[b].role == "claim" and expectations[b].kind != "for_all":
                yield a, b


def _difference(cell: int, first: int, there: int, samples: "Sequence[Measurement]", sure: "Confidence") -> CellDifference:
    from mechcheck.stats.estimates import estimate_mean

    a, b = samples[first], samples[there]
    if a.unit != b.unit:
        return CellDifference(cell, there, b.unit, None, f"{b.unit or 'a number'} and {a.unit or 'a number'} have no difference")
    if a.ids != b.ids:
        return CellDifference(cell, there, b.unit, None, "measured on other prompts")
    try:
        if a.denominator is not None or b.denominator is not None:  # to first order, so that shares have a value for each prompt
            a, b = a.linearised(), b.linearised()
        return CellDifference(cell, there, b.unit, estimate_mean(b - a, sure).estimate, None)
    except MechcheckError as error:
        return CellDifference(cell, there, b.unit, None, str(error))
