"""Tasks: named generators of prompts, shipped and the user's own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from mechcheck._errors import PromptError
from mechcheck._prompts import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Split = Literal["discover", "verify"]


Generator = Callable[..., PromptSet]
"""(model, *, n, seed, split, and options of its own) -> n prompts for the model; "discover" and "verify" share none."""

_GENERATORS: dict[str, Generator] = {}


def task(name: str) -> Callable[[Generator], Generator]:
    """Register a generator, so that `@claim(task=name)` gets its prompts."""

    def register(generator: Generator) -> Generator:
        _GENERATORS[name] = generator
        return generator

    return register


def task_names() -> tuple[str, ...]:
    """Every task that prompts can be made for."""
    _load_shipped()
    return tuple(sorted(_GENERATORS))


def task_prompts(name: str, model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", **options: Any) -> PromptSet:
    """Prompts of a task for a model; options go to the task's generator."""
    _load_shipped()
    if name not in _GENERATORS:
        raise PromptError(
            f"no prompts are known for task {name!r}; known: {', '.join(sorted(_GENERATORS))}. "
            f"Register a generator with @mechcheck.task({name!r}), or define a `prompts` fixture"
        )
    return _GENERATORS[name](model, n=n, seed=seed, split=split, **options)


def _load_shipped() -> None:
    from mechcheck import _gendered_pronoun, _induction, _ioi  # noqa: F401  (they register themselves)
