"""Token ids as they are given: which of them are padding that somebody else has put in, and what cannot be a token at all."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.base.errors import PromptError

_LARGEST = 2**31 - 1


class Rows(NamedTuple):
    """Prompts without padding."""

    tokens: list[list[int]]
    cut: list[int]
    """How many tokens of padding stood in front of each."""
    pad: int | None
    """What may fill the shorter ones; None: nothing is known that may."""


def token_rows(tokens: Any) -> list[list[int]]:
    """One list of ids for each prompt.

    Raises:
        PromptError: something else than rows of whole numbers that are not negative.
    """
    tokens = listed(tokens, "tokens")
    if isinstance(tokens, str | bytes | Mapping) or not isinstance(tokens, Iterable):
        raise PromptError(f"expected a row of token ids for each prompt, got {type(tokens).__name__}{_hint(tokens)}")
    rows = [ids_of(row, f"prompt {number}") for number, row in enumerate(tokens)]
    for number, row in enumerate(rows):
        for position, token in enumerate(row):
            if token < 0:
                raise PromptError(f"token {token} at position {position} of prompt {number}: ids are 0 or more")
    return rows


def without_padding(rows: list[list[int]], pad: int | None, mask: Any) -> Rows:
    """The rows without the padding that they came with.

    It is told by the mask where one is given. Else, where all rows are equally long, a run of `pad` at one end of some of them, but
    not of all, is what a tokenizer has put there.

    Raises:
        PromptError: a mask of another shape, or with a hole; no token left; ids that may be padding as well as a prompt's own.
    """
    pad = None if pad is None else ids_of([pad], "pad")[0]
    if mask is not None:
        return _unmasked(rows, pad, mask)
    if pad is None:
        return Rows(rows, [0] * len(rows), None)
    front, back = _padded(rows, pad)
    cut = [_run(row, pad) if front else 0 for row in rows]
    tokens = [row[c:] for row, c in zip(rows, cut, strict=True)]
    return Rows([row[: len(row) - _run(row[::-1], pad)] if back else row for row in tokens], cut, pad)


def _padded(rows: list[list[int]], pad: int) -> tuple[bool, bool]:
    """Whether padding stands in front, and whether it stands behind."""
    found = {"begins": [_run(row, pad) for row in rows], "ends": [_run(row[::-1], pad) for row in rows]}
    some = {side: any(runs) and not all(runs) for side, runs in found.items()}
    equal = len({len(row) for row in rows}) < 2
    # Of rows that a tokenizer padded together the longest has none. Where all have some, it may be BOS (GPT-2's is its pad), or EOS.
    doubtful = [side for side, runs in found.items() if (equal and all(runs) and not any(some.values())) or (not equal and some[side])]
    if doubtful and rows:
        row = next(number for number, run in enumerate(found[doubtful[0]]) if run)
        raise PromptError(
            f"prompt {row} {doubtful[0]} with {pad}, the pad id: padding, or a token of the prompt? Say so with "
            f"attention_mask=(tokens != {pad}) for padding, or all ones for none"
        )
    return equal and some["begins"], equal and some["ends"]


def _unmasked(rows: list[list[int]], pad: int | None, mask: Any) -> Rows:
    mask = listed(mask, "attention_mask")
    if isinstance(mask, str | bytes | Mapping) or not isinstance(mask, Iterable):
        raise PromptError(f"attention_mask must have a row for each prompt, got {type(mask).__name__}")
    kept = [ids_of(row, "attention_mask") for row in mask]
    if [len(row) for row in kept] != [len(row) for row in rows]:
        raise PromptError("attention_mask must have a 1 (token) or a 0 (padding) for each token id")
    tokens, cut = [], []
    for number, (row, seen) in enumerate(zip(rows, kept, strict=True)):
        real = [position for position, one in enumerate(seen) if one]
        if not real:
            raise PromptError(f"attention_mask leaves no token of prompt {number}")
        if len(real) != real[-1] + 1 - real[0] or set(seen) - {0, 1}:
            raise PromptError(
                f"attention_mask of prompt {number} has a hole, or other numbers than 0 and 1: padding stands before or behind a prompt"
            )
        tokens.append(row[real[0] : real[-1] + 1])
        cut.append(real[0])
        if pad is None and len(real) < len(row):
            pad = row[seen.index(0)]
    return Rows(tokens, cut, pad)


def _run(row: Sequence[int], pad: int) -> int:
    """How many of the first tokens are padding."""
    return next((position for position, token in enumerate(row) if token != pad), len(row))


def ids_of(given: Any, where: str) -> list[int]:
    """Whole numbers as such; `where` they were given, for the error.

    Raises:
        PromptError: something else.
    """
    try:
        values = list(listed(given, where))
        ids = [int(one) for one in values]
        whole = not isinstance(given, str | bytes) and all(bool(one == token) for one, token in zip(values, ids, strict=True))
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: torch's, of a tensor that is no number
        whole = False
    if not whole:
        raise PromptError(f"{where}: expected whole numbers, got {given!r:.60}{_hint(given)}")
    if any(abs(one) > _LARGEST for one in ids):
        raise PromptError(f"{where}: a number above {_LARGEST:,} is no token of any vocabulary, and no position of any prompt")
    return ids


def listed(given: Any, where: str) -> Any:
    """Tensors and arrays as lists.

    Raises:
        PromptError: a tensor that holds no numbers (on the meta device, say).
    """
    if not hasattr(given, "tolist"):
        return given
    try:
        return given.tolist()
    except (RuntimeError, TypeError, ValueError) as error:
        raise PromptError(f"{where}: its numbers cannot be read ({type(error).__name__}: {error!s:.60})") from error


def _hint(given: object) -> str:
    if isinstance(given, str):
        return "; of texts, PromptSet.from_text makes prompts"
    return '; give its "input_ids", and its "attention_mask"' if isinstance(given, Mapping) else ""


def is_several(one: Any) -> bool:
    """Whether a list, an array or the like stands where one value may."""
    return isinstance(one, list | tuple | set) or (hasattr(one, "ndim") and one.ndim > 0)
