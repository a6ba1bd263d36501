"""`grid(...)`: the methods that one claim is run under, every combination of them."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import ClaimError
from mechcheck.base.outgoing import message_of
from mechcheck.base.standin import StandIn
from mechcheck.base.text import no_text

RENEWED = {"models": "model", "seeds": "seed", "dtype": "dtype"}
"""Axes that are no argument of the test but change what its `model`, `prompts` and `circuit` are; and what one value is called."""
_MEANT = {"model": "models", "seed": "seeds", "dtypes": "dtype"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""What Python says of an object that has no text of its own: where it is in memory, which is elsewhere in the next process."""


_WHERE = "in the cell "
"""How a note begins that says where an exception was raised."""


@dataclass(frozen=True)
class Cell:
    """One combination of methods."""

    number: int
    """From 0, the last axis fastest."""
    values: Mapping[str, Any]
    """Axis -> value."""
    at: Mapping[str, str]
    """Axis -> the value in words."""

    @property
    def text(self) -> str:
        """What a reader is told: "ablation=zero, metric=log odds"."""
        return ", ".join(f"{RENEWED.get(axis, axis)}={word}" for axis, word in self.at.items())

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the test's arguments that are axes."""
        return {axis: value for axis, value in self.values.items() if axis not in RENEWED}

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What is raised in this context says that it was in this cell (`where_of`)."""
        __tracebackhide__ = True
        try:
            yield
        except BaseException as error:
            error.add_note(f"{_WHERE}[{self.text}]")
            raise


@dataclass(frozen=True)
class Grid:
    """Named axes, each with the values that a claim is run under."""

    axes: Mapping[str, tuple[Any, ...]]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every combination of values, the first values of all axes first."""
        found = []
        for number, values in enumerate(itertools.product(*self.axes.values())):
            at = dict(zip(self.axes, values, strict=True))
            found.append(Cell(number, at, {axis: value_text(value) for axis, value in at.items()}))
        return tuple(found)

    @property
    def names(self) -> frozenset[str]:
        """The axes that are arguments of the test."""
        return frozenset(self.axes) - set(RENEWED)


def grid(**axes: Iterable[Any]) -> Grid:
    """The methods that a claim is run under, for `@claim(..., over=grid(ablation=["zero", "mean"], metric=[logit_diff, log_odds]))`.

    The test takes each axis as an argument of that name, and is run once for every combination of values. Three axes are no arguments
    but change what the test's fixtures give: `models` (names, in place of those that the run selects), `seeds` (of the prompts) and
    `dtype` (of the model).

    Raises:
        ClaimError: an axis without values, one value twice, a value that is called otherwise in the next process, or that names nothing
            (`models` and `dtype` take names, `seeds` whole numbers), values without an order, text where a list is meant, or a single
            combination in all.
    """
    found = {}
    for axis, given in axes.items():
        if isinstance(given, Set):
            raise ClaimError(f"grid({axis}={given!r:.60}): a set has no order, and the first value is what others are compared with")
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
            raise ClaimError(f"grid({axis}={given!r:.60}): a list of values is expected, for example {axis}=[{given!r:.60}, ...]")
        values = tuple(given)
        if not values:
            raise ClaimError(f"grid({axis}=[]): an axis without values leaves nothing to run; name one, or leave the axis out")
        words = [_checked(axis, value) for value in values]
        if twice := next((word for place, word in enumerate(words) if word in words[:place]), None):
            raise ClaimError(f"grid({axis}=...): {twice!r} stands there twice, and the cells of a grid must be told apart by their values")
        if axis in _MEANT:
            raise ClaimError(f"grid({axis}=...): the axis is called {_MEANT[axis]}=[...]; it changes what the test's fixtures give")
        found[axis] = values
    made = Grid(found)
    if len(made.cells) < 2:
        raise ClaimError(f"grid(...) has one combination ({made.cells[0].text or 'no axes'}): give an axis two values, or leave `over` out")
    return made


def where_of(error: BaseException | None) -> str:
    """ "[method=zero] " of what was raised in that cell; nothing of anything else."""
    note = next((note for note in getattr(error, "__notes__", ()) if note.startswith(_WHERE)), None)
    return "" if note is None else f"{note.removeprefix(_WHERE)} "


def _checked(axis: str, value: object) -> str:
    """A value of an axis in words, which must be the same in every process, and stand on one line."""
    wanted, what = (int, "a whole number") if axis == "seeds" else (str, "a name, as text,")
    if axis in RENEWED and (not isinstance(value, wanted) or isinstance(value, bool)):
        raise ClaimError(f"grid({axis}=[{value!r:.60}]): {what} is expected")
    text = value_text(value)
    if _ADDRESS.search(text):
        raise ClaimError(
            f"grid({axis}=[{text:.60}]): it is called otherwise in every process, so that no two runs could be compared; give its name, "
            "as text, and look it up in the test"
        )
    problem = no_text(text) or ("a cell is called by its values" if not text.strip() or len(text.splitlines()) > 1 else None)
    if problem:
        raise ClaimError(f"grid({axis}=[{text!r:.60}]): {problem}; one line of text is expected")
    return text


def value_text(value: object) -> str:
    """A value of an axis in words: a metric by its name, a function by its own; where tests are only listed, by what it is imported as."""
    if isinstance(value, str):
        return value
    if type(value) is StandIn:
        return value.stands_for
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else message_of(value)
