"""The registry of tasks: generators of prompts by name, the shipped ones and the user's own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from mechcheck.base.errors import PromptError
from mechcheck.base.text import did_you_mean
from mechcheck.tasks.versions import set_version

if TYPE_CHECKING:
    from mechcheck.prompts.prompt_set import PromptSet

Split = Literal["discover", "verify"]

Generator = Callable[..., "PromptSet"]
"""(model, *, n, seed, split, and options of its own) -> n prompts for the model; "discover" and "verify" share none."""

Own = TypeVar("Own", bound=Generator)

SHIPPED = (
    "agreement", "docstring", "gendered_pronoun", "greater_than", "in_context", "induction", "ioi", "negation", "retrieval", "successor",
    "tag_question",
)  # fmt: skip
"""The tasks that come with mechcheck; their generators are there once `mechcheck.tasks.shipped` is imported."""

GENERATORS: dict[str, Generator] = {}


def task(name: str, *, version: int = 1) -> Callable[[Own], Own]:
    """Register a generator, so that `@claim(task=name)` gets its prompts.

    Args:
        name: of the task.
        version: raised when the same seed no longer gives the same prompts, so that runs on the old and the new ones are not compared.

    Raises:
        PromptError: a version that is no whole number from 1 on.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PromptError(f"version={version!r} of task {name!r}: a whole number from 1 on is expected")

    def register(generator: Own) -> Own:
        GENERATORS[name] = generator
        set_version(name, version)
        return generator

    return register


def task_names() -> tuple[str, ...]:
    """Every task that prompts can be made for."""
    return tuple(sorted({*SHIPPED, *GENERATORS}))


def check_task(name: str) -> None:
    """Raise unless prompts of that task can be made."""
    if name not in task_names():
        raise PromptError(
            f"no prompts are known for task {name!r}; known: {', '.join(task_names())}. "
            f"Register a generator with @mechcheck.task({name!r}), or define a `prompts` fixture{did_you_mean(name, task_names())}"
        )
