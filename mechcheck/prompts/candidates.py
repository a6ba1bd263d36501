"""What prompts are asked: the tokens of their answers and foils, one token for each prompt, or several tokens, or several right ones."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.prompts.padding import ids_of, is_several

What = Literal["answers", "foils"]
Tokens = tuple[int, ...]
"""Of one answer or foil."""
Candidates = tuple[tuple[Tokens, ...], ...]
"""Of each prompt its answers, any of which is right, or its foils; each as its tokens."""
Given = int | Tokens | Sequence[int | Tokens]
"""One token; a tuple, the tokens of one answer; or a list, of several right ones."""


class Compared(NamedTuple):
    """The answers of all prompts, or their foils."""

    one: Int[Tensor, " prompt"]
    """Where each is one token: these; else empty."""
    sets: Candidates
    """Where some are several tokens, or several: all of them; else empty."""

    @property
    def texts(self) -> list[str]:
        """What of them goes into a prompt's id: the token, where it is one."""
        return [_text(row) for row in self.sets] or [str(token) for token in self.one.tolist()]

    @property
    def every(self) -> list[int]:
        """All their tokens."""
        return [token for row in self.sets for one in row for token in one] or self.one.tolist()


def compared(what: What, given: Any) -> Compared:
    """The answers or foils, one id for each prompt, or as `Given` spells them; none are given as None.

    Raises:
        PromptError: something else than whole numbers, or negative ones; what may be one answer or several; no answer at all; two of
            which one begins with the other.
    """
    none = torch.empty(0, dtype=torch.long)
    if given is None:
        return Compared(none, ())
    several = given.ndim > 1 if isinstance(given, Tensor) else any(is_several(one) for one in given)
    if not several:
        return Compared(torch.tensor(_ids(given, what), dtype=torch.long), ())
    if not isinstance(given, Sequence):
        raise PromptError(f"several {what} for one prompt, as {type(given).__name__}: {_HOW}")
    rows = [_candidates(what, number, one) for number, one in enumerate(given)]
    if all(len(row) == 1 and len(row[0]) == 1 for row in rows):
        return Compared(torch.tensor([row[0][0] for row in rows], dtype=torch.long), ())
    return Compared(none, tuple(rows))


_HOW = "write (5, 6) for one of two tokens, and [(5,), (6,)] for two, any of which counts"


def _candidates(what: What, number: int, given: Any) -> tuple[Tokens, ...]:
    """Those of one prompt, each once."""
    bare = isinstance(given, list) and not any(isinstance(one, tuple) for one in given)
    if (is_several(given) and not isinstance(given, list | tuple)) or (bare and given):
        raise PromptError(f"several {what} for prompt {number}, or one of several tokens? {given!r:.60} does not say: {_HOW}")
    listed = given if isinstance(given, list) else [given]
    found = tuple(dict.fromkeys(tuple(_ids(one if isinstance(one, tuple) else [one], what, number)) for one in listed))
    if not found or not all(found):
        raise PromptError(f"the {what} of prompt {number} are empty: give a token, or leave {what} out where nothing is predicted")
    for one in found:
        longer = next((other for other in found if other != one and other[: len(one)] == one), None)
        if longer is not None:
            raise PromptError(
                f"of the {what} of prompt {number} {longer} begins with {one}, so that the probability of the one is part of the other's: "
                "leave one of them out"
            )
    return found


def check_apart(answers: Compared, foils: Compared) -> None:
    """Raise `PromptError` where a foil and an answer begin with each other; of single tokens, one for each prompt, nothing is asked."""
    if not (answers.sets or foils.sets):
        return
    for number, (right, wrong) in enumerate(zip(_rows(answers), _rows(foils), strict=False)):
        for one in right:
            for other in wrong:
                shared = min(len(one), len(other))
                if one[:shared] == other[:shared]:
                    raise PromptError(
                        f"the answer {one} and the foil {other} of prompt {number} begin with each other, so that the probability of the "
                        "one is part of the other's: choose another foil"
                    )


def _rows(found: Compared) -> Candidates:
    return found.sets or tuple(((token,),) for token in found.one.tolist())


def _ids(given: Any, what: What, prompt: int | None = None) -> list[int]:
    ids = ids_of(given, what)
    for number, token in enumerate(ids):
        if token < 0:
            raise PromptError(f"the {what[:-1]} of prompt {number if prompt is None else prompt} is token {token}: ids are 0 or more")
    return ids


def _text(row: tuple[Tokens, ...]) -> str:
    return str(row[0][0]) if len(row) == 1 == len(row[0]) else ", ".join(" ".join(map(str, one)) for one in sorted(row))


def prompt_id(tokens: Sequence[int], answers: str, foils: str) -> str:
    """The hash of a prompt; the others as `Compared.texts` has them."""
    text = f"{' '.join(map(str, tokens))}|{answers}|{foils}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Asked:
    """Prompts with answers and foils."""

    answers: Int[Tensor, " prompt"]
    foils: Int[Tensor, " prompt"]
    answer_sets: Candidates
    foil_sets: Candidates
    vocabulary: Mapping[int, str]

    def asked(self, what: What) -> Int[Tensor, " prompt"]:
        """The answers or the foils, one token for each prompt, for whom that must be so.

        Raises:
            PromptError: they were left out; or some are several tokens, or several right ones.
        """
        found: Tensor = getattr(self, what)
        if sets := self._sets(what):
            row = next(number for number, one in enumerate(sets) if len(one) > 1 or len(one[0]) > 1)
            why = "several are right" if len(sets[row]) > 1 else "it is several tokens"
            raise PromptError(
                f"the {what} of these prompts are not one token each ({self.shown(what, row)!r} in prompt {row}: {why}), as what is "
                "measured here needs them: measure log_odds, log_probability, probability or correct, or give one token for each prompt"
            )
        if not len(found):
            raise PromptError(f"these prompts have no {what}, which this reads: give {what}=..., one token for each prompt")
        return found

    def candidates(self, what: What) -> Candidates:
        """The answers or the foils, of however many tokens and however many of each prompt.

        Raises:
            PromptError: they were left out.
        """
        return self._sets(what) or tuple(((token,),) for token in self.asked(what).tolist())

    @property
    def every_candidate(self) -> Candidates:
        """The answers of all prompts, then the foils; none of what was left out."""
        whose: tuple[What, ...] = ("answers", "foils")
        return tuple(row for what in whose if self._sets(what) or len(getattr(self, what)) for row in self.candidates(what))

    def any_sets(self, whose: Iterable[What] = ("answers", "foils")) -> bool:
        """Whether some of them are several tokens, or several."""
        return any(self._sets(what) for what in whose)

    def longest(self, whose: Iterable[What] = ("answers", "foils")) -> int:
        """Tokens of the longest of them, 1 where there are none."""
        return max((len(one) for what in whose for row in self._sets(what) for one in row), default=1)

    def shown(self, what: What, row: int) -> str | None:
        """A prompt's answer or foil as text, for readers: the pieces of one of several tokens apart ("Mar|ia"), or between several."""
        if sets := self._sets(what):
            return " or ".join("|".join(self.vocabulary.get(token, str(token)) for token in one) for one in sets[row])
        tokens = getattr(self, what)
        return self.vocabulary[int(tokens[row])] if len(tokens) else None

    def _sets(self, what: What) -> Candidates:
        return self.answer_sets if what == "answers" else self.foil_sets


def words_among(given: Iterable[Any]) -> Iterator[str]:
    """The words among what is given for each prompt: a word, a list of words, or tokens."""
    for one in given:
        if isinstance(one, str):
            yield one
        elif isinstance(one, list | tuple):
            yield from (word for word in one if isinstance(word, str))


def as_tokens(given: Iterable[Any], found: Mapping[str, Tokens]) -> list[Given]:
    """The same with words' tokens in the place of words; what has no words stays as it is."""

    def read(one: Any) -> Any:
        if isinstance(one, str):
            return found[one] if len(found[one]) > 1 else found[one][0]
        several = isinstance(one, list | tuple) and any(isinstance(word, str) for word in one)
        return [found[word] if isinstance(word, str) else word for word in one] if several else one

    return [read(one) for one in given]
