"""Prompts followed by their answers, token by token (teacher forcing), so that each token is predicted from those before it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch

from mechcheck.base.errors import PromptError
from mechcheck.prompts.candidates import Tokens, What
from mechcheck.prompts.prompt_set import END, PromptSet

PREDICTED = "where the answer is predicted"
"""The span of END and the answer's tokens but the last: what follows each of these is a token of the answer."""

_followed: "WeakKeyDictionary[PromptSet, dict[tuple[Tokens, ...], PromptSet]]" = WeakKeyDictionary()


class Answered(NamedTuple):
    """Every prompt, followed by one of its answers or foils."""

    prompts: PromptSet
    """As the prompts, with their ids, templates and named positions; END is the prompt's own last token."""
    by: tuple[tuple[What, int], ...]
    """Which of its answers or foils each prompt is followed by."""
    tokens: tuple[Tokens, ...]
    """Those of it."""


def answered(prompts: PromptSet, asks: Sequence[What]) -> list[Answered]:
    """As few sets as have each answer of several tokens once; where a prompt has fewer than others, one of its own stands again.

    Answers of one token need none: they are read at END.

    Raises:
        PromptError: END is not the last token of a prompt, so that no answer can follow it.
    """
    check_end_is_last(prompts)
    given = {what: prompts.candidates(what) for what in asks}
    several: list[list[tuple[What, int]]] = [
        [(what, number) for what in asks for number, tokens in enumerate(given[what][row]) if len(tokens) > 1]
        for row in range(len(prompts))
    ]
    found = []
    for turn in range(max(map(len, several))):
        by = tuple(own[min(turn, len(own) - 1)] if own else (asks[0], 0) for own in several)
        tokens = tuple(given[what][row][number] for row, (what, number) in enumerate(by))
        found.append(Answered(followed(prompts, tokens), by, tokens))
    return found


def check_end_is_last(prompts: PromptSet) -> None:
    """Raise unless an answer can follow each prompt.

    Raises:
        PromptError: END is not the last token of a prompt.
    """
    end, last = prompts.position(END), prompts.lengths - 1
    if bool((end != last).any()):
        row = int((end != last).int().argmax())
        raise PromptError(
            f"END is position {int(end[row])} of prompt {row}, whose last token is {int(last[row])}, so that an answer of several tokens "
            "cannot follow it: end the prompt there, or give answers of one token"
        )


def followed(prompts: PromptSet, tokens: tuple[Tokens, ...]) -> PromptSet:
    """The prompts with these tokens behind each, and behind its counterfactual and its reference, so that they stay aligned."""
    known = _followed.setdefault(prompts, {})
    if tokens not in known:
        known[tokens] = _appended(prompts, tokens)
    return known[tokens]


def _appended(prompts: PromptSet, tokens: tuple[Tokens, ...]) -> PromptSet:
    rows = [[*row[:length], *more] for row, length, more in zip(prompts.tokens.tolist(), prompts.lengths.tolist(), tokens, strict=True)]
    appended = torch.tensor([len(more) for more in tokens])
    lengths = prompts.lengths + appended
    width = int(lengths.max())
    positions = torch.arange(width)
    last = (prompts.lengths - 1)[:, None]
    return replace(
        prompts,
        tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        lengths=lengths,
        appended=appended,
        spans=dict(prompts.spans) | {PREDICTED: (positions >= last) & (positions < last + appended[:, None])},
        positions=dict(prompts.positions) | {PREDICTED: lengths - 2},
        words=(),
        counterfactual=None if prompts.counterfactual is None else followed(prompts.counterfactual, tokens),
        reference=None if prompts.reference is None else followed(prompts.reference, tokens),
    )
