"""Untouched runs that are remembered, so that a claim, its controls and its decoys share them."""

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.untouched import Untouched, untouched
from mechcheck.notation.sites import Kind
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What all remembered runs may take together; the ones that were not used for longest go first.
RUN_BYTES = 512 * 2**20


class _Kept(NamedTuple):
    model: "weakref.ref[TransformerBridge]"
    run: Untouched
    nbytes: int
    """Counted once: a run does not grow, and every sweep asks what all of them take."""


# A model's arithmetic stands for the model and its weights: it is another one as soon as they change.
_runs: OrderedDict[tuple[Arithmetic, PromptSet], _Kept] = OrderedDict()


def untouched_run(
    model: "TransformerBridge",
    known: Arithmetic,
    prompts: PromptSet,
    extra: frozenset[tuple[Kind, int]] = frozenset(),
    like: Untouched | None = None,
) -> Untouched:
    """As `untouched`, from memory where it is there."""
    kept = _runs.get((known, prompts))
    found = kept and kept.run
    if found is None or extra - set(found.extra):
        found = untouched(model, known, prompts, extra | (frozenset(found.extra) if found else frozenset()), like)
    remember(model, known, prompts, found)
    return found


def remember(model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, run: Untouched) -> None:
    """Keep a run for those who ask for it next."""
    kept = _runs.get((known, prompts))
    _runs[known, prompts] = kept if kept and kept.run is run else _Kept(weakref.ref(model), run, _bytes(run))
    _runs.move_to_end((known, prompts))
    _forget_what_is_too_much()


def _forget_what_is_too_much() -> None:
    for key in [key for key, kept in _runs.items() if kept.model() is None]:
        del _runs[key]
    taken = sum(kept.nbytes for kept in _runs.values())
    while taken > RUN_BYTES:
        taken -= _runs.popitem(last=False)[1].nbytes


def forget_runs() -> None:
    """Forget all remembered runs."""
    _runs.clear()


def _bytes(run: Untouched) -> int:
    return sum(tensor.nbytes for tensor in _tensors(run))


def _tensors(run: Untouched) -> Iterator[Tensor]:
    for kept in run.layers:
        yield from (tensor for tensor in kept if tensor is not None)
    yield from run.extra.values()
