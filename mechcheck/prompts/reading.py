"""Prompts of which some are text and others tokens already, and what is looked for in them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.candidates import Given, as_tokens, words_among
from mechcheck.prompts.padding import ids_of, is_several
from mechcheck.prompts.tokens import Reader

Texts = Sequence[str | Sequence[int]]
"""Texts of prompts; some or all may be given as tokens."""
Place = str | int | Sequence[int]
"""A word, a position, or several positions (a span)."""


def each_read(values: Sequence[str | Sequence[int]], read: Callable[[list[str]], Sequence[Sequence[int]]]) -> list[Sequence[int]]:
    """The prompts, with what is text among them read, all of it at once, so that an error names every word that does not fit."""
    found = iter(read([value for value in values if isinstance(value, str)]))
    return [next(found) if isinstance(value, str) else ids_of(value, f"prompt {number}") for number, value in enumerate(values)]


class AskedTokens(NamedTuple):
    """Answers and foils as tokens."""

    answers: list[Given] | None
    foils: list[Given] | None
    every: list[int]
    """All tokens of both."""


def asked_read(
    reader: Reader, answers: Sequence[Any] | None, foils: Sequence[Any] | None, *, after_space: bool, several_tokens: bool
) -> AskedTokens:
    """Answers and foils, with the words among them read, all at once, so that an error names every word that does not fit."""
    words = list(dict.fromkeys(words_among([*(() if answers is None else answers), *(() if foils is None else foils)])))
    if several_tokens:
        read = reader.answers(words, after_space=after_space)
    else:
        read = [(token,) for token in reader.singles(words, after_space=after_space)]
    found = dict(zip(words, read, strict=True))
    right, wrong = (None if given is None else as_tokens(given, found) for given in (answers, foils))
    tokens = ids_of([one for one in [*(right or ()), *(wrong or ())] if not is_several(one)], "answers and foils")
    return AskedTokens(right, wrong, [*tokens, *(token for ids in read for token in ids)])


def check_whole(whole: Sequence[str], named: Collection[str]) -> None:
    """Raise `PromptError` where a name whose words are to be meant whole is none."""
    listed = isinstance(whole, list | tuple | set | frozenset) and all(isinstance(name, str) for name in whole)
    if not listed or any(name not in named for name in whole):
        raise PromptError(
            f"whole={whole!r:.60}: give a list of names of positions, of which {', '.join(named) or 'there are none'}"
            f"{' are given' if named else ''}"
        )


def place_at(reader: Reader, row: Sequence[int], at: Place, text: str | Sequence[int], *, whole: bool) -> int | Sequence[int]:
    """A position that is given as a number, or as a word of the text, the last of its tokens or the `whole` of them; a span as it is."""
    if not isinstance(at, str):
        return [at] if whole and isinstance(at, int) else at
    found = reader.find_whole(row, at, _written(text))
    return list(found) if whole else found[-1]


def at_each_word(
    reader: Reader, rows: Sequence[Sequence[int]], at: Sequence[int], texts: Texts, *, whole: bool
) -> list[int | Sequence[int]]:
    """In each prompt the position of the last token of its text's word of that number, or of all of its tokens."""
    reader.prepare_ends(texts, at)
    ends = [reader.end_of(row, index, _written(text)) for row, index, text in zip(rows, at, texts, strict=True)]
    if not whole:
        return [*ends]
    starts = [reader.start_of(row, index, _written(text)) for row, index, text in zip(rows, at, texts, strict=True)]
    return [list(range(start, end + 1)) for start, end in zip(starts, ends, strict=True)]


def _written(text: str | Sequence[int]) -> str:
    if not isinstance(text, str):
        raise PromptError("words are looked for in texts; of prompts that are given as tokens, give positions as numbers")
    return text


def texts_of(tokens: Iterable[int], decode: Mapping[int, str]) -> list[str]:
    """The tokens' texts, and the number itself of a token without one."""
    return [decode.get(token, str(token)) for token in tokens]


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
