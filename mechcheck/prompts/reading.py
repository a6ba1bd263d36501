"""Prompts of which some are text and others tokens already, and what is looked for in them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from mechcheck.base.errors import PromptError
from mechcheck.prompts.tokens import Reader

Texts = Sequence[str | Sequence[int]]
"""Texts of prompts; some or all may be given as tokens."""
Place = str | int | Sequence[int]
"""A word, a position, or several positions (a span)."""
_Read = TypeVar("_Read", int, Sequence[int])


def each_read(values: Sequence[str | _Read], read: Callable[[list[str]], Sequence[_Read]]) -> list[_Read]:
    """The values, with what is text among them read, all of it at once, so that an error names every word that does not fit."""
    found = iter(read([value for value in values if isinstance(value, str)]))
    return [next(found) if isinstance(value, str) else value for value in values]


def place_at(reader: Reader, row: Sequence[int], at: Place, text: str | Sequence[int]) -> int | Sequence[int]:
    """A position that is given as a number, or as a word of the text; a span as it is."""
    return reader.find(row, at, _written(text)) if isinstance(at, str) else at


def end_at(reader: Reader, row: Sequence[int], index: int, text: str | Sequence[int]) -> int:
    """The position of the last token of the text's word number `index`."""
    return reader.end_of(row, index, _written(text))


def _written(text: str | Sequence[int]) -> str:
    if not isinstance(text, str):
        raise PromptError("words are looked for in texts; of prompts that are given as tokens, give positions as numbers")
    return text


def masked_ends(rows: Sequence[Sequence[int]], mask: int, *, answered: bool) -> dict[str, list[int]]:
    """END as where the mask stands in each prompt; none where no prompt has one and nothing is asked either.

    Raises:
        PromptError: a prompt that masks nothing, or several words.
    """
    found = [[position for position, token in enumerate(row) if token == mask] for row in rows]
    if not answered and not any(found):
        return {}
    for number, at in enumerate(found):
        if len(at) != 1:
            raise PromptError(
                f"prompt {number} masks {len(at) or 'no'} word{'s' * (len(at) != 1)}, and this model predicts masked words: write the mask "
                "(tokenizer.mask_token) once in each text, or name the position to read: positions={'END': ...}"
            )
    return {"END": [at[0] for at in found]}
