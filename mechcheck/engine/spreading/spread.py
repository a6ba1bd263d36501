"""One sweep over several processes: each computes some of its batches, and the one that asked puts them together."""

import pickle
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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


class Asked(Protocol):
    """What is asked of a sweep: little enough to be pickled, and enough for another process to make the rest of it again."""

    @property
    def prompts(self) -> PromptSet: ...
    @property
    def batch(self) -> int | None: ...
    @property
    def read(self) -> Read: ...

    def prepared(self, model: "TransformerBridge") -> tuple[Arithmetic, list[list[Edit]]]:
        """The arithmetic that is swept, and the edits of each variant."""
        ...


@dataclass(frozen=True)
class Variants:
    """Of a model as it is."""

    prompts: PromptSet
    variants: list[list[Intervention]]
    """All, though only some are swept: what is captured is captured for all of them."""
    numbers: list[int]
    """Those that are swept."""
    batch: int | None
    """As in `sweep`."""
    read: Read
    """The positions that are wanted."""

    def prepared(self, model: "TransformerBridge") -> tuple[Arithmetic, list[list[Edit]]]:
        known = arithmetic(model)
        captures = capture_all(model, self.prompts, self.variants, partial(capture_fast, known, self.prompts))
        return known, [edits_of(model, self.prompts, self.variants[number], captures) for number in self.numbers]


class _Work(NamedTuple):
    """What a process needs to know of a sweep."""

    source: Source
    asked: Asked
    sizes: list[Any]
    threads: int
    """torch's, on which the order of its sums depends."""


def spread(
    executor: Executor | None, model: "TransformerBridge", known: Arithmetic, asked: Asked, edits: Sequence[Sequence[Edit]]
) -> Share | None:
    """What the executor's processes compute of a sweep; None where there is none, or nothing to share out.

    Args:
        executor: whose processes.
        model: as loaded.
        known, edits: what `asked` prepares of it.
        asked: is prepared again in each process.
    """
    if executor is None:
        return None
    source, plan = source_of(model), Counting()
    run_sweep(model, known, asked.prompts, edits, asked.batch, asked.read, plan)
    if plan.batches < 2:
        return None
    work = pickle.dumps(_Work(source, asked, plan.sizes, torch.get_num_threads()))
    return shared(executor, plan, _computed, work, known.w_u.device)


def _computed(work: bytes, wanted: range) -> dict[int, torch.Tensor]:
    """In one of the processes: number of a batch -> its streams."""
    with usual_torch():
        told, model, known, edits = _prepared(work)
        share = Some(told.sizes, wanted)
        run_sweep(model, known, told.asked.prompts, edits, told.asked.batch, told.asked.read, share)
    return share.streams


@lru_cache(maxsize=1)
def _prepared(work: bytes) -> "tuple[_Work, TransformerBridge, Arithmetic, list[list[Edit]]]":
    """What all parts of a sweep have in common, for the parts that this process gets of it."""
    told: _Work = pickle.loads(work)
    torch.set_num_threads(told.threads)
    model = told.source.load()
    return told, model, *told.asked.prepared(model)
