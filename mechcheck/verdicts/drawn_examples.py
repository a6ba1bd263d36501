"""Examples that a strategy drew: which is which, and how they are shown."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from mechcheck.base.errors import ClaimError
from mechcheck.base.text import shorten
from mechcheck.prompts.prompt_set import PromptSet

_LONGEST = 300


def key_of(example: Any) -> str:
    """Text by which an example is told from others: the hash of its prompts, and the `repr` of anything else.

    Raises:
        ClaimError: its text is a place in memory, which is another one in each run.
    """
    return _text(example, lambda prompts: prompts.sha256)


def shown(example: Any) -> str:
    """An example for a reader; prompts are read aloud."""
    return shorten(_text(example, _read_aloud), _LONGEST)


def prompts_in(example: Any) -> PromptSet | None:
    """The prompts of an example: itself, or the first in a tuple or list."""
    if isinstance(example, PromptSet):
        return example
    parts = example if isinstance(example, tuple | list) else ()
    return next((part for part in parts if isinstance(part, PromptSet)), None)


def sample_of(example: Any) -> tuple[str, str]:
    """Id and template of an example among a claim's samples: the prompt's own where it is a single one."""
    if isinstance(example, PromptSet) and len(example) == 1:
        return example.ids[0], example.templates[0]
    prompts = prompts_in(example)
    templates = set(prompts.templates) if prompts is not None else set()
    name = sha256(key_of(example).encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return name, templates.pop() if len(templates) == 1 else "all"


def _text(example: Any, of_prompts: Callable[[PromptSet], str]) -> str:
    if isinstance(example, PromptSet):
        return of_prompts(example)
    if isinstance(example, tuple | list):
        parts = ", ".join(_text(part, of_prompts) for part in example)
        return f"({parts})" if isinstance(example, tuple) else f"[{parts}]"
    text = repr(example)
    if " at 0x" in text:
        raise ClaimError(
            f"examples of type {type(example).__name__} cannot be told apart, as their text is a place in memory ({text}); "
            "give the class a __repr__, or draw what it is made of"
        )
    return text


def _read_aloud(prompts: PromptSet) -> str:
    """The first prompt, without the special tokens around it, and how many there are besides."""
    tokens = list(prompts.words[0] if prompts.words else map(str, prompts.tokens[0, : prompts.lengths[0]].tolist()))
    around = prompts.policy
    if around is not None:
        tokens = tokens[len(around.before) : len(tokens) - len(around.after)]
    others = len(prompts) - 1
    more = f" (and {others} more prompt{'s' if others > 1 else ''})" if others else ""
    return " ".join(token.strip() for token in tokens) + more
