"""What a sweep found: the last stream, where it is read, under each variant, and the metrics that are read from it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.device import has_float64, to_numpy
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.hooks import LOGIT_BYTES
from mechcheck.engine.log_probs import log_probs
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
            read = self._from_one_token if all(map(self._needs_one_token, alike)) else self._from_all_columns
            found.update(zip(map(id, alike), read(alike), strict=True))
        return [to_numpy(one.reduced(found[id(one)])) for one in readings]

    def logits(self, cells: Sequence[tuple[int, int]], columns: Int[Tensor, " some"]) -> Float[Tensor, "cell some d_vocab"]:
        """All logits of some variants, each on one prompt, at some of the positions that left the sweep."""
        variants, prompts = zip(*cells, strict=True)
        return self.arithmetic.logits_of_few(self.streams[list(variants), list(prompts)][:, columns])

    def _narrow(self, metric: Metric) -> bool:
        return metric.two_columns and self.arithmetic.head is None and not metric.of_sets(self.prompts)

    def _needs_one_token(self, reading: Reading) -> bool:
        """Whether logits need not be kept; at END they are few, and in 16 bits it is the metric that says how they are rounded."""
        exact = self.streams.dtype in (torch.float32, torch.float64) and has_float64(self.streams.device)
        alone = reading.metric.one_token is not None and not reading.metric.of_sets(self.prompts)
        return exact and alone and not reading.at_end and self.arithmetic.head is None

    def _from_one_token(self, readings: Sequence[Reading]) -> list[Float[Tensor, "variant reading"]]:
        """Metrics of single tokens that read the same places: one pass over the vocabulary, for the untouched run and for what differs."""
        ways = [one.metric.one_token for one in readings if one.metric.one_token is not None]
        rows, (prompt, column) = readings[0].rows, (index.to(self.clean.device) for index in readings[0].cells)
        tokens = torch.stack([way.token(rows) for way in ways]).to(prompt.device)  # [metric, reading]
        changed = torch.stack([(stream != self.clean).any(-1)[prompt, column] for stream in self.streams])
        variant, reading = changed.nonzero(as_tuple=True)
        found = self.clean.new_empty(len(ways), *changed.shape, dtype=torch.float64)
        shared = ~changed.all(0)
        found[..., shared] = log_probs(self.arithmetic, self.clean, (prompt[shared], column[shared]), tokens[:, shared])[:, None]
        cells = (variant, prompt[reading], column[reading])
        found[:, variant, reading] = log_probs(self.arithmetic, self.streams, cells, tokens[:, reading])
        return [way.of(values) for way, values in zip(ways, found, strict=True)]

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
