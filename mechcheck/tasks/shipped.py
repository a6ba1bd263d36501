"""Prompts by the name of their task."""

from typing import TYPE_CHECKING, Any

from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks import (  # noqa: F401  (they register the tasks)
    agreement,
    docstring,
    gendered_pronoun,
    greater_than,
    in_context,
    induction,
    ioi,
    negation,
    retrieval,
    successor,
    tag_question,
)
from mechcheck.tasks.registry import GENERATORS, Split, check_task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def task_prompts(name: str, model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", **options: Any) -> PromptSet:
    """Prompts of a task for a model; options go to the task's generator."""
    check_task(name)
    return GENERATORS[name](model, n=n, seed=seed, split=split, **options)
