"""Generated text: what a model wrote behind each prompt, how it ended, and what is measured of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError, TextError
from mechcheck.base.text import shorten
from mechcheck.stats.measurement import Measurement

Stop = Literal["stop", "length"]
"""Why a text ended: at a stop token, or cut off at as many tokens as were asked for."""
Stops = Literal["same", "any"]
_SHOWN = 3


class Continuation(NamedTuple):
    """What was written behind one prompt."""

    tokens: tuple[int, ...]
    """The new tokens; the stop token is the last, where one ended it."""
    text: str | None
    """The same as text; None where the model has no tokenizer."""
    stopped: Stop
    """Why it ended."""
    answer: int | None
    """The prompt's answer; None where it has none."""
    foil: int | None
    """The prompt's foil."""
    id: str
    """The prompt's id."""


@dataclass(frozen=True, eq=False, repr=False)
class Generated:
    """What a model wrote behind each prompt. `generated[3]` is one prompt's `Continuation`, and a loop goes over all of them."""

    tokens: Int[np.ndarray, "prompt new"]
    """The new tokens, with -1, which is no token, behind the end of shorter ones."""
    lengths: Int[np.ndarray, " prompt"]
    """New tokens of each prompt, the stop token included."""
    stopped: tuple[Stop, ...]
    """Why each text ended."""
    texts: tuple[str, ...]
    """The new tokens as text; empty where the model has no tokenizer."""
    ids: tuple[str, ...]
    """The prompts' ids."""
    templates: tuple[str, ...]
    """The prompts' templates."""
    answers: Int[np.ndarray, " prompt"]
    """The prompts' answers; empty where they have none."""
    foils: Int[np.ndarray, " prompt"]
    """The prompts' foils; empty where they have none."""
    how: str
    """How tokens were chosen, in words: "greedy", "temperature 0.7, seed 0"."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Continuation:
        if not 0 <= row < len(self):
            raise PromptError(f"no prompt {row}; these are of prompts 0-{len(self) - 1}")
        return Continuation(
            tuple(self.tokens[row, : self.lengths[row]].tolist()),
            self.texts[row] if self.texts else None,
            self.stopped[row],
            int(self.answers[row]) if len(self.answers) else None,
            int(self.foils[row]) if len(self.foils) else None,
            self.ids[row],
        )

    def __iter__(self) -> Iterator[Continuation]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        first = [self[row] for row in range(min(_SHOWN, len(self)))]
        shown = [str(list(one.tokens)) if one.text is None else repr(shorten(one.text, 60)) for one in first]
        more = ", ..." if len(self) > _SHOWN else ""
        return f"{len(self)} texts ({self.how}; {_counted(self.ended)}): {', '.join(shown)}{more}"

    @property
    def ended(self) -> tuple[str, ...]:
        """How each text ended, in words: "stopped", or "cut at 20 tokens"."""
        return tuple("stopped" if why == "stop" else f"cut at {self.tokens.shape[1]} tokens" for why in self.stopped)

    def measure(
        self, function: Callable[[Continuation], object], name: str | None = None, unit: str = "", *, stops: Stops = "same"
    ) -> Measurement:
        """One number for each prompt, from what was written behind it.

        A text that was cut may yet have said what a finished one says. So a measurement is of texts that all ended alike, and arithmetic
        and checks refuse to compare it, prompt by prompt, with one of texts that ended otherwise.

        Args:
            function: `Continuation` -> a number; true and false count as 1 and 0.
            name: what reports call it; the function's name by default.
            unit: of the number.
            stops: "any" measures texts that ended differently too. How many ended how is then a caveat of each check, in the evidence
                and in every report.

        Raises:
            TextError: texts that ended differently.
            MechcheckError: something that is no number.
            NonFiniteError: NaN or infinity.
        """
        if stops not in get_args(Stops):
            raise MechcheckError(f'stops={stops!r}: choose "same" (texts that all ended alike) or "any"')
        if not callable(function):
            raise MechcheckError(f"measure takes a function of what was written behind a prompt, got {type(function).__name__}")
        called = getattr(function, "__name__", "<lambda>") if name is None else name
        called = "generated text" if called == "<lambda>" else called
        differ = len(set(self.ended)) > 1
        if stops == "same" and differ:
            raise TextError(
                f"of {len(self)} texts {_counted(self.ended)}, and a text that was cut may yet have said more: generate more new_tokens, "
                'or leave the stop out, or allow it with measure(..., stops="any"), which the evidence then tells'
            )
        values = np.array([_number(function(one), called, row) for row, one in enumerate(self)])
        note = f"{called}: of texts that ended differently ({_counted(self.ended)})" if differ else ""
        return Measurement(values, self.ids, self.templates, called, unit, ended=self.ended if stops == "same" else None, note=note)


def _counted(ended: tuple[str, ...]) -> str:
    return ", ".join(f"{n} {how}" for how, n in sorted(Counter(ended).items()))


def _number(found: object, name: str, row: int) -> float:
    if isinstance(found, str) or found is None or np.ndim(found) != 0:  # type: ignore[arg-type]
        raise MechcheckError(f"{name} gave {type(found).__name__} for prompt {row}, expected one number")
    try:
        number = float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise MechcheckError(f"{name} gave {type(found).__name__} for prompt {row}, expected one number") from error
    if not np.isfinite(number):
        raise NonFiniteError(f"{name} is {number} for prompt {row}")
    return number
