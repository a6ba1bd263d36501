"""Untouched runs that are remembered, so that a claim, its controls and its decoys share them."""

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from mechcheck._arithmetic import Arithmetic
from mechcheck._prompts import PromptSet
from mechcheck._sites import Kind
from mechcheck._untouched import Untouched, untouched

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What the remembered runs of one model may take; the ones that were not used for longest go first.
RUN_BYTES = 512 * 2**20
_runs: "weakref.WeakKeyDictionary[TransformerBridge, OrderedDict[PromptSet, Untouched]]" = weakref.WeakKeyDictionary()


def untouched_run(
    model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, extra: frozenset[tuple[Kind, int]] = frozenset()
) -> Untouched:
    """As `untouched`, from memory where it is there."""
    mine = _runs.setdefault(model, OrderedDict())
    found = mine.get(prompts)
    if found is None or found.arithmetic is not known or extra - set(found.extra):
        found = untouched(model, known, prompts, extra | (frozenset(found.extra) if found else frozenset()))
        mine[prompts] = found
    mine.move_to_end(prompts)
    while len(mine) > 1 and sum(map(_bytes, mine.values())) > RUN_BYTES:
        mine.popitem(last=False)
    if _bytes(found) > RUN_BYTES:
        del mine[prompts]
    return found


def forget_runs() -> None:
    """Forget all remembered runs."""
    _runs.clear()


def _bytes(run: Untouched) -> int:
    return sum(tensor.nbytes for tensor in _tensors(run))


def _tensors(run: Untouched) -> Iterator[Tensor]:
    for kept in run.layers:
        yield from kept
    yield from run.extra.values()
