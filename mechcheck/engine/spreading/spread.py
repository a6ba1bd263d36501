"""One sweep over several processes: each computes some of its batches, and the one that asked puts them together."""

import pickle
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mechcheck.base.device import usual_torch
from mechcheck.base.loaded import Source, source_of
from mechcheck.base.shares import Counting, Share, Some
from mechcheck.engine.arithmetic.model import Arithmetic, arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.edits import capture_all, edits_of
from mechcheck.engine.reading import Read
from mechcheck.engine.spreading.shared import shared
from mechcheck.engine.sweep import capture_fast, run_sweep
from mechcheck.notation.interventions import Intervention
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class _Work(NamedTuple):
    """What a process needs to know of a sweep. All variants, though it runs only some: what is captured is captured for all of them."""

    source: Source
    prompts: PromptSet
    variants: list[list[Intervention]]
    numbers: list[int]
    batch: int | None
    read: Read
    sizes: list[Any]
    threads: int
    """torch's, on which the order of its sums depends."""


def spread(
    executor: Executor | None, model: "TransformerBridge", prompts: PromptSet, variants: list[list[Intervention]], numbers: list[int],
    edits: Sequence[Sequence[Edit]], batch: int | None, read: Read,
) -> Share | None:  # fmt: skip
    """What the executor's processes compute of a sweep; None where there is none, or nothing to share out.

    Args:
        model, prompts, variants, batch: as in `sweep`.
        numbers: the variants that are swept.
        edits: theirs.
        read: the positions that are wanted.
    """
    if executor is None:
        return None
    source, plan, known = source_of(model), Counting(), arithmetic(model)
    run_sweep(model, known, prompts, edits, batch, read, plan)
    if plan.batches < 2:
        return None
    work = pickle.dumps(_Work(source, prompts, variants, numbers, batch, read, plan.sizes, torch.get_num_threads()))
    return shared(executor, plan, _computed, work, known.w_u.device)


def _computed(work: bytes, wanted: range) -> dict[int, torch.Tensor]:
    """In one of the processes: number of a batch -> its streams."""
    with usual_torch():
        known, model, told, edits = _prepared(work)
        share = Some(told.sizes, wanted)
        run_sweep(model, known, told.prompts, edits, told.batch, told.read, share)
    return share.streams


@lru_cache(maxsize=1)
def _prepared(work: bytes) -> "tuple[Arithmetic, TransformerBridge, _Work, list[list[Edit]]]":
    """What all parts of a sweep have in common, for the parts that this process gets of it."""
    told: _Work = pickle.loads(work)
    torch.set_num_threads(told.threads)
    model = told.source.load()
    known = arithmetic(model)
    captures = capture_all(model, told.prompts, told.variants, partial(capture_fast, known, told.prompts))
    return known, model, told, [edits_of(model, told.prompts, told.variants[number], captures) for number in told.numbers]
