"""Numbers and ranges of numbers in text, "3" and "0-3", as long as they are no more than anybody means to name."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from mechcheck.base.errors import SiteError

MOST_SITES = 1 << 17
"""That one text may name: more are a slip of the pen, and would take the memory of the machine."""
_DIGITS = 7
LARGEST_NUMBER = 10**_DIGITS - 1
"""Of a layer, a head, a neuron or a feature."""

_Member = TypeVar("_Member")


def numbers_of(text: str) -> range:
    """The numbers of "3", or of a range, "0-3".

    Raises:
        SiteError: a range that runs backwards, or a number that no model has.
    """
    first, _, last = text.partition("-")
    if max(len(first), len(last)) > _DIGITS:
        raise SiteError(f"no model has a number of more than {_DIGITS} digits: {text:.60}")
    low, high = int(first), int(last or first)
    if high < low:
        raise SiteError(f"the range {text} runs backwards; write {high}-{low}")
    return range(low, high + 1)


def bounded(members: Iterable[_Member]) -> Iterator[_Member]:
    """The same members, of which there must not be more than `MOST_SITES`.

    Raises:
        SiteError: there are.
    """
    for number, one in enumerate(members):
        if number == MOST_SITES:
            raise SiteError(f"these are more than {MOST_SITES:,} sites; name whole layers, or a part of the range at a time")
        yield one


def check_name(at: object) -> None:
    """Raise `SiteError` where the name of a position is none."""
    if at is not None and not isinstance(at, str):
        raise SiteError(f"a position is called by its name, as text, not {at!r:.60}")
