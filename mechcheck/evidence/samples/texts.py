"""The texts of all prompts that claims were measured on: each set once, under the hash of the file it lies in."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import outgoing
from mechcheck.evidence.samples.arrays import packed_arrays, read_arrays
from mechcheck.evidence.store import texts_file

if TYPE_CHECKING:
    from mechcheck.prompts.prompt_set import PromptSet

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SETS = 8
"""Whose texts are kept of one claim."""


class Texts(NamedTuple):
    """The prompts of one set, for a reader."""

    ids: list[str]
    templates: list[str]
    words: list[str]
    """Every token that occurs, as text."""
    tokens: list[list[int]]
    """Of each prompt, as places among the words."""
    names: list[str]
    """What tokens are called: the named positions and spans that they stand at, several of them apart by spaces; the first is none."""
    marks: list[list[int]]
    """For each token of each prompt its place among the names."""
    answers: Sequence[str | None] | None
    foils: Sequence[str | None] | None


def sets_behind(ids: Iterable[str], own: "PromptSet | None", others: Iterable["PromptSet"]) -> list["PromptSet"]:
    """The sets that these prompts are of: the claim's own first, and of the others the largest ones, as far as any is still without."""
    chosen = [] if own is None else [own]
    left = set(ids).difference(*(some.ids for some in chosen))
    for some in sorted(others, key=len, reverse=True):
        if len(chosen) < _SETS and not left.isdisjoint(some.ids):
            chosen.append(some)
            left.difference_update(some.ids)
    return chosen


def joined(texts: Sequence[Texts]) -> Texts:
    """Several sets as one, in their order."""
    first_word, first_name = ([0, *accumulate(len(getattr(one, what)) for one in texts)] for what in ("words", "names"))
    return Texts(
        ids=[text for one in texts for text in one.ids],
        templates=[text for one in texts for text in one.templates],
        words=[text for one in texts for text in one.words],
        tokens=[[token + first for token in row] for one, first in zip(texts, first_word, strict=False) for row in one.tokens],
        names=[name for one in texts for name in one.names],
        marks=[[mark and mark + first for mark in row] for one, first in zip(texts, first_name, strict=False) for row in one.marks],
        answers=[text for one in texts for text in one.answers or [None] * len(one.ids)],
        foils=[text for one in texts for text in one.foils or [None] * len(one.ids)],
    )


@lru_cache(maxsize=4)  # one claim after the other is measured on the same ones
def packed_texts(prompts: "PromptSet") -> tuple[str, bytes]:
    """The file of a set, and the hash that it is found by."""
    from mechcheck.evidence.record import shown_tokens

    lengths = prompts.lengths.tolist()
    words, tokens = _numbered(word for row in range(len(prompts)) for word in shown_tokens(prompts, row))
    names, marks = _numbered(_names(prompts))
    arrays: dict[str, Any] = {"ids": prompts.ids, "templates": prompts.templates, "words": words, "names": names}
    for what in ("answers", "foils"):
        if (shown := [prompts.shown(what, row) for row in range(len(prompts))])[0] is not None:
            arrays[what] = shown
    found = {name: np.array(outgoing(list(texts)), dtype=np.str_) for name, texts in arrays.items()}
    content = packed_arrays({**found, "lengths": np.array(lengths), "tokens": np.array(tokens), "marks": np.array(marks)})
    return sha256(content).hexdigest(), content


def _names(prompts: "PromptSet") -> Iterator[str]:
    """What each token of each prompt is called."""
    found: list[list[list[str]]] = [[[] for _ in range(length)] for length in prompts.lengths.tolist()]
    for name in prompts.positions:
        for row, at in prompts.span(name).nonzero().tolist():
            found[row][at].append(name)
    return (" ".join(names) for row in found for names in row)


def _numbered(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """The different texts, as they first occur, and for each its number among them; the empty one comes first."""
    known = {"": 0}
    numbers = [known.setdefault(text, len(known)) for text in texts]
    return list(known), numbers


def read_texts(folder: Path, digest: str) -> Texts:
    """What `packed_texts` wrote.

    Raises:
        MechcheckError: it is not there, not readable, or not what the evidence names.
    """
    name = texts_file(digest)
    if not _SHA256.fullmatch(digest):  # evidence can come from anywhere, and must not say what else is read
        raise MechcheckError(f"{digest:.80} is no hash by which the texts of prompts are found")
    try:
        stored = {key: array.tolist() for key, array in read_arrays(folder / name, digest).items()}
        return _texts(stored)
    except FileNotFoundError:
        raise MechcheckError(f"the texts of its prompts are not beside the evidence (no {name})") from None
    except Exception as error:  # as many kinds as files can be damaged in
        raise MechcheckError(f"the texts of its prompts cannot be read ({name}: {type(error).__name__}: {error})") from error


def _texts(stored: dict[str, list[Any]]) -> Texts:
    words, names, lengths, ids = stored["words"], stored["names"], stored["lengths"], stored["ids"]
    if any(length < 0 for length in lengths) or not (sum(lengths) == len(stored["tokens"]) == len(stored["marks"])):
        raise ValueError(f"{len(stored['tokens'])} tokens and {len(stored['marks'])} marks for prompts of {sum(lengths)}")
    asked = [stored[what] for what in ("answers", "foils") if what in stored]
    if any(len(some) != len(ids) for some in (stored["templates"], lengths, *asked)):
        raise ValueError(f"it is not of {len(ids)} prompts throughout")
    for numbers, known in (("tokens", words), ("marks", names)):
        if not all(0 <= number < len(known) for number in stored[numbers]):
            raise ValueError(f"{numbers} that are not there")
    return Texts(
        outgoing(ids), outgoing(stored["templates"]), outgoing(words), _split(stored["tokens"], lengths), outgoing(names),
        _split(stored["marks"], lengths), outgoing(stored.get("answers")), outgoing(stored.get("foils")),
    )  # fmt: skip


def _split(flat: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    ends = np.cumsum([0, *lengths]).tolist()
    return [list(flat[start:end]) for start, end in pairwise(ends)]
