"""The registry of tasks: generators of prompts by name, the shipped ones and the user's own."""

from collections.abc import Callable
from typing import Literal, TypeVar

from mechcheck.prompts.prompt_set import PromptSet

Split = Literal["discover", "verify"]

Generator = Callable[..., PromptSet]
"""(model, *, n, seed, split, and options of its own) -> n prompts for the model; "discover" and "verify" share none."""

Own = TypeVar("Own", bound=Generator)

GENERATORS: dict[str, Generator] = {}


def task(name: str) -> Callable[[Own], Own]:
    """Register a generator, so that `@claim(task=name)` gets its prompts."""

    def register(generator: Own) -> Own:
        GENERATORS[name] = generator
        return generator

    return register
