"""What a sweep found: the last stream, where it is read, under each variant, and the metrics that are read from it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.device import to_numpy
from mechcheck.engine.arithmetic import Arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.hooks import LOGIT_BYTES
from mechcheck.engine.reading import Read, Reading
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Streams = Float[Tensor, "variant prompt read d_model"]


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep that has been run."""

    model: "TransformerBridge"
    arithmetic: Arithmetic
    prompts: PromptSet
    read: Read
    """Which positions left it."""
    edits: Sequence[Sequence[Edit]]
    """What was done in each variant."""
    streams: Streams
    """After the last layer."""
    clean: Float[Tensor, "prompt read d_model"]
    """The same without edits."""

    def values(self, metrics: Sequence[Metric]) -> list[Float[np.ndarray, "variant prompt *pos"]]:
        """Each metric under each variant."""
        readings = [Reading(metric, self.prompts, self.read) for metric in metrics]
        wide = [one for one in readings if not self._narrow(one.metric)]
        found: dict[int, Tensor] = {id(one): self._from_two_columns(one) for one in readings if self._narrow(one.metric)}
        for alike in _at_same_places(wide):
            found.update(zip(map(id, alike), self._from_all_columns(alike), strict=True))
        return [to_numpy(one.reduced(found[id(one)])) for one in readings]

    def logits(self, variant: int, prompt: int, columns: Int[Tensor, " some"]) -> Float[Tensor, "some d_vocab"]:
        """All logits of one variant on one prompt, at some of the positions that left the sweep."""
        return self.arithmetic.logits(self.streams[variant, prompt, columns])

    def _narrow(self, metric: Metric) -> bool:
        return metric.two_columns and self.arithmetic.head is None and not metric.of_sets(self.prompts)

    def _from_two_columns(self, reading: Reading) -> Float[Tensor, "variant reading"]:
        streams, prompts = reading.of(self.streams), reading.rows
        tokens = [prompts.asked(what).to(streams.device) for what in ("answers", "foils")]
        both = torch.stack([self.arithmetic.logits_of(streams, token) for token in tokens], dim=-1)
        answers = torch.zeros_like(prompts.answers)
        narrowed = replace(prompts, answers=answers, foils=answers + 1)
        return torch.stack([reading.metric(logits, narrowed) for logits in both])

    def _from_all_columns(self, readings: Sequence[Reading]) -> list[Float[Tensor, "variant reading"]]:
        """Metrics that read the same places, from logits that are computed once, as many at a time as there is room for."""
        first = readings[0]
        streams, clean = first.of(self.streams), first.of(self.clean)
        needs_clean = any(one.metric.needs_clean for one in readings)
        room = max(1, LOGIT_BYTES // (self.arithmetic.w_u.shape[1] * streams.element_size()))  # rows of logits
        found: list[list[Tensor]] = [[] for _ in readings]
        for where, rows in first.blocks(room):
            untouched = self.arithmetic.logits(clean[where]) if needs_clean else None
            some, size = streams[:, where], max(1, room // len(rows))
            parts: list[list[Tensor]] = [[] for _ in readings]
            for start in range(0, len(some), size):
                for logits in self.arithmetic.logits(some[start : start + size]):
                    for one, values in zip(readings, parts, strict=True):
                        values.append(one.metric(logits, rows, untouched))
            for values, whole in zip(parts, found, strict=True):
                whole.append(torch.stack(values))
        return [torch.cat(whole, dim=1) for whole in found]


def _at_same_places(readings: Sequence[Reading]) -> list[list[Reading]]:
    groups: dict[tuple[str, bool, bool], list[Reading]] = defaultdict(list)
    for one in readings:
        groups[one.metric.where, one.metric.each and one.metric.where == END, one.metric.needs_next].append(one)
    return list(groups.values())
