"""Who wants to know what the engine runs: whoever records with which interventions, and by which metrics, something was measured."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Ran(NamedTuple):
    """What was run."""

    prompts: PromptSet
    variants: Sequence[Sequence[Intervention]]
    """One forward pass of the prompts for each, whichever way it was computed."""
    metrics: Sequence[Metric] = ()
    """What was read of the logits; none where activations were, or tokens."""
    values: Sequence[Float[np.ndarray, "variant prompt"]] = ()
    """For each metric what it gave."""
    again: bool = False
    """Nothing was computed: it was known from before."""
    model: "TransformerBridge | None" = None
    """What ran; None where nobody says."""


_watchers: list[Callable[[Ran], None]] = []


@contextmanager
def watched_by(seen: Callable[[Ran], None]) -> Iterator[None]:
    """Within this context `seen` is told of each run once it is done."""
    _watchers.append(seen)
    try:
        yield
    finally:
        _watchers.remove(seen)


def watched() -> bool:
    """Whether anybody wants to know."""
    return bool(_watchers)


def tell(ran: Ran) -> None:
    """Something was run."""
    for seen in _watchers:
        seen(ran)
