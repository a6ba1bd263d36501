"""Which edges make a circuit: nested circuits from the whole model down to nothing, by several methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError
from mechcheck.circuits.evaluation import Cut, Mask
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Sites

if TYPE_CHECKING:
    from mechcheck.prompts.prompt_set import PromptSet

# Of the edges that are left, at most this share goes in one step, so that what the others do is estimated anew.
_AT_ONCE = 0.1
# Single edges that are tried exactly in each step, beside batches.
_TRIED = 8
ID = 8
"""So much of a prompt's id stands in a circuit's file."""
# Of .1, .3, .6 and 1 the one whose circuits, found on 48 discovery prompts of each of the three shipped names models, lie nearest (CMD) on
# 96 other discovery prompts. It was .1 until a benchmark on verification prompts had shown that exact scores came nearer on one of them.
_PER_PROMPT = 0.6


class Step(NamedTuple):
    """A step of a search: some edges were cut."""

    cut: tuple[int, ...]
    """Numbers of these edges in the flat mask."""
    left: int
    """How many edges are left."""
    gap: float
    """How far the metric lies from the whole model's."""
    runs: int
    """How many sets were measured so far."""


@dataclass(frozen=True, eq=False)
class FoundEdges:
    """Circuits of every size that a search went through, each within the next larger one."""

    graph: Graph
    order: tuple[int, ...]
    """All edges, numbers in the flat mask, those that matter most first."""
    method: str
    trace: tuple[Step, ...]
    """From the whole model down; empty of methods that rank once."""
    seen: frozenset[str]
    """Ids of the prompts that it saw."""
    gap: tuple[float, ...] = ()
    """Of each circuit size from 0 to all edges: the mean gap to the whole model, where it was measured; else NaN."""
    scores: Float[np.ndarray, "receiver sender"] | None = None
    """What the edges are ranked by, where that is a number; edges of the same number are in no order of merit."""

    def __post_init__(self) -> None:
        if self.scores is not None and not np.isfinite(self.scores[self.graph.real.numpy()]).all():
            raise NonFiniteError(f"{self.method} gave some edges NaN or infinity, so that they are in no order")

    def mask(self, size: int) -> Mask:
        """The circuit of so many edges."""
        if not 0 <= size <= len(self.order):
            raise MechcheckError(f"the graph has {len(self.order)} edges, so there is no circuit of {size}")
        flat = torch.zeros(self.graph.real.numel(), dtype=torch.bool)
        flat[list(self.order[:size])] = True
        return flat.view_as(self.graph.real)

    def edges(self, size: int) -> Sites:
        """The same, as sites."""
        return self.graph.chosen(self.mask(size))

    @cached_property
    def rank(self) -> Float[Tensor, "receiver sender"]:
        """Each edge's place from the end, as a score: the most important edge has the largest; 0 where there is no edge."""
        flat = torch.zeros(self.graph.real.numel(), dtype=torch.float32)
        flat[list(self.order)] = torch.arange(len(self.order), 0, -1, dtype=torch.float32)
        return flat.view_as(self.graph.real)


def check_unseen(found: FoundEdges | Circuit | Sites | frozenset[str], prompts: "PromptSet") -> None:
    """Raise `PromptError` where a circuit would be judged by prompts that its search saw.

    Args:
        found: what a search found, whose prompts it knows; a circuit, whose file may tell them; or ids of prompts. Sites tell nothing.
        prompts: to judge it by.
    """
    seen = found.seen if isinstance(found, FoundEdges) else found if isinstance(found, frozenset) else frozenset()
    shared = len(seen & set(prompts.ids))
    if isinstance(found, Circuit) and isinstance(recorded := found.notes.get("found_on"), dict):
        known = set(str(recorded.get("ids", "")).split())
        every = recorded.get("prompts_sha256") == prompts.sha256
        shared = len(prompts) if every else sum(name[:ID] in known for name in prompts.ids)
    if shared:
        raise PromptError(
            f'{shared} of {len(prompts)} prompts were seen when this circuit was searched for: judge it on others (split="verify")'
        )


@usual_torch()
def prune_edges(cut: Cut, *, per_prompt: float = _PER_PROMPT) -> FoundEdges:
    """From the whole model down: always cut what changes the metric least, as exact runs of what is left say.

    In each step the first-order effects of cutting each further edge, around the circuit as it stands and prompt by prompt, propose what
    to cut; sets of growing size and single edges are then measured exactly, and the largest set that is no worse than the best single one
    is cut. Nothing is decided by an estimate.

    Args:
        cut: the model, the prompts, and what cut edges carry.
        per_prompt: how much the gap of single prompts counts, beside that of their mean, which is what faithfulness is about, and which
            prompts that stray to both sides can make look small; a share.

    Raises:
        MechcheckError: a share that is none.
    """
    if not 0 <= per_prompt <= 1:
        raise MechcheckError(f"per_prompt={per_prompt}: a share, from 0 to 1")
    graphs, whole = cut.graphs, cut.graph
    _, full = cut.ends
    left = whole.real.clone()
    off = np.zeros(len(full))
    removed: list[int] = []
    trace: list[Step] = []
    gaps = {len(whole): 0.0}
    runs = 0
    while bool(left.any()):
        numbers = left.flatten().nonzero()[:, 0].numpy()
        slopes = graphs.slopes((whole.real & ~left)[None])[0].flatten(1)[:, numbers].numpy()  # [prompt, edge]
        order = np.argsort(_gap(off[:, None] + slopes, per_prompt), kind="stable")
        most = max(1, int(_AT_ONCE * len(numbers)))
        sizes = sorted({max(1, round(most / 2**i)) for i in range(8)})
        sets = [order[:size] for size in sizes if size > 1] + [order[i : i + 1] for i in range(min(_TRIED, len(order)))]
        masks = [_without(left, numbers[chosen]) for chosen in sets]
        values = cut.values(masks) - full
        found = _gap(values.T, per_prompt)
        runs += len(masks) + 1
        single = found[[len(chosen) == 1 for chosen in sets]].min()
        allowed = max(single, _gap(off, per_prompt)) + 1e-12
        good = [i for i, gap in enumerate(found) if gap <= allowed or gap == single]
        best = max(good, key=lambda i: (len(sets[i]), -found[i]))
        chosen, off = sets[best], values[best]
        removed += numbers[chosen].tolist()
        left = masks[best]
        gaps[len(whole) - len(removed)] = float(found[best])
        trace.append(Step(tuple(numbers[chosen].tolist()), len(whole) - len(removed), float(found[best]), runs))
    gap = tuple(gaps.get(size, float("nan")) for size in range(len(whole) + 1))
    return FoundEdges(whole, tuple(reversed(removed)), "prune", tuple(trace), frozenset(cut.prompts.ids), gap)


def _gap(off: Float[np.ndarray, "prompt ..."], per_prompt: float) -> Float[np.ndarray, "..."]:
    """How far the metric lies from the whole model's: in the mean, and prompt by prompt."""
    return (1 - per_prompt) * np.abs(off.mean(0)) + per_prompt * np.abs(off).mean(0)


def _without(mask: Mask, numbers: Sequence[int] | np.ndarray) -> Mask:
    flat = mask.flatten().clone()
    flat[torch.as_tensor(np.asarray(numbers))] = False
    return flat.view_as(mask)
