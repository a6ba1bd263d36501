"""Text cut to the room there is for it, and the few phrases that many rooms use."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence


def shorten(text: str, most: int) -> str:
    """The text in at most `most` characters; where some are cut off at its end, the last one is an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def nearest(word: object, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that is most like this one, if any is alike enough (difflib's ratio): what was meant, if it is a slip.

    What is no text at all is like none."""
    if not isinstance(word, str):
        return None
    return next(iter(difflib.get_close_matches(word, sorted(set(known)), 1, likeness)), None)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?", to be added to an error about a word that is not known; nothing where none is like it."""
    found = nearest(word, known)
    return f"; did you mean {found!r}?" if found is not None else ""


def side_text(low: float | None, high: float | None, said: Callable[[float], str] = "{:g}".format) -> str:
    """Where a number is to lie, in words: "> 0.5", "< 2", "between 0.5 and 2"; an open side is None, and not both are."""
    if low is not None and high is not None:
        return f"between {said(low)} and {said(high)}"
    if low is not None:
        return f"> {said(low)}"
    assert high is not None, "a number may lie anywhere: nothing is claimed of it"
    return f"< {said(high)}"


_SURROGATE = re.compile("[\ud800-\udfff]")


def no_text(given: object) -> str | None:
    """Why something is no text that can be written down; None where it is. Half of a character (a lone surrogate) is in no encoding."""
    if not isinstance(given, str):
        return f"text is expected, not {given!r:.60}"
    found = _SURROGATE.search(given)
    if found is None:
        return None
    return (
        f"{given!r:.60} has half of a character (a lone surrogate, {found[0]!r}) at place {found.start()}, which no encoding can write down"
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
