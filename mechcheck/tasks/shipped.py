"""Prompts by the name of their task."""

from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import PromptError
from mechcheck.base.text import did_you_mean
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks import agreement, gendered_pronoun, greater_than, induction, ioi, negation  # noqa: F401  (they register the tasks)
from mechcheck.tasks.registry import GENERATORS, Split

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def task_names() -> tuple[str, ...]:
    """Every task that prompts can be made for."""
    return tuple(sorted(GENERATORS))


def check_task(name: str) -> None:
    """Raise unless prompts of that task can be made."""
    if name not in GENERATORS:
        raise PromptError(
            f"no prompts are known for task {name!r}; known: {', '.join(task_names())}. "
            f"Register a generator with @mechcheck.task({name!r}), or define a `prompts` fixture{did_you_mean(name, GENERATORS)}"
        )


def task_prompts(name: str, model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", **options: Any) -> PromptSet:
    """Prompts of a task for a model; options go to the task's generator."""
    check_task(name)
    return GENERATORS[name](model, n=n, seed=seed, split=split, **options)
