"""What the rows of the support table are tried on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import mechcheck as m
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Bench(NamedTuple):
    """A model with 2 layers of 4 heads, and prompts for it that have all that a primitive may ask for."""

    model: "TransformerBridge"
    prompts: PromptSet


Try = Callable[[Bench], Any]
"""Arrays, tensors, numbers, or sequences of these; all of them are to be finite."""


def sweep(*interventions: Any) -> Try:
    """What each intervention leads to."""
    return lambda b: m.sweep(b.model, b.prompts, list(interventions))
