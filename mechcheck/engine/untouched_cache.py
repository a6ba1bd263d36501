"""Untouched runs that are remembered, so that a claim, its controls and its decoys share them."""

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.untouched import Untouched, untouched
from mechcheck.notation.sites import Kind
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What all remembered runs may take together; the ones that were not used for longest go first.
RUN_BYTES = 512 * 2**20
# A model's arithmetic stands for the model and its weights: it is another one as soon as they change.
_runs: OrderedDict[tuple[Arithmetic, PromptSet], tuple["weakref.ref[TransformerBridge]", Untouched]] = OrderedDict()


def untouched_run(
    model: "TransformerBridge",
    known: Arithmetic,
    prompts: PromptSet,
    extra: frozenset[tuple[Kind, int]] = frozenset(),
    like: Untouched | None = None,
) -> Untouched:
    """As `untouched`, from memory where it is there."""
    _, found = _runs.get((known, prompts), (None, None))
    if found is None or extra - set(found.extra):
        found = untouched(model, known, prompts, extra | (frozenset(found.extra) if found else frozenset()), like)
    remember(model, known, prompts, found)
    return found


def remember(model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, run: Untouched) -> None:
    """Keep a run for those who ask for it next."""
    _runs[known, prompts] = (weakref.ref(model), run)
    _runs.move_to_end((known, prompts))
    _forget_what_is_too_much()


def _forget_what_is_too_much() -> None:
    for key in [key for key, (model, _) in _runs.items() if model() is None]:
        del _runs[key]
    while _runs and sum(_bytes(run) for _, run in _runs.values()) > RUN_BYTES:
        _runs.popitem(last=False)


def forget_runs() -> None:
    """Forget all remembered runs."""
    _runs.clear()


def _bytes(run: Untouched) -> int:
    return sum(tensor.nbytes for tensor in _tensors(run))


def _tensors(run: Untouched) -> Iterator[Tensor]:
    for kept in run.layers:
        yield from (tensor for tensor in kept if tensor is not None)
    yield from run.extra.values()
