"""What a sweep found: the last stream at END under each variant, and the metrics that are read from it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import to_numpy
from mechcheck.engine.arithmetic import Arithmetic
from mechcheck.engine.hooks import LOGIT_BYTES, Edit
from mechcheck.notation.metrics import Logits, Metric
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Streams = Float[Tensor, "variant prompt d_model"]


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep that has been run."""

    model: "TransformerBridge"
    arithmetic: Arithmetic
    prompts: PromptSet
    edits: Sequence[Sequence[Edit]]
    """What was done in each variant."""
    streams: Streams
    """At END, after the last layer."""
    clean: Float[Tensor, "prompt d_model"]
    """The same without edits."""

    def values(self, metrics: Sequence[Metric]) -> list[Float[np.ndarray, "variant prompt"]]:
        """Each metric under each variant."""
        wide = [metric for metric in metrics if not self._narrow(metric)]
        found: dict[int, list[Tensor]] = defaultdict(list)
        for metric in metrics:
            if self._narrow(metric):
                found[id(metric)] = self._from_two_columns(metric)
        if wide:
            clean = self.arithmetic.logits(self.clean) if any(metric.needs_clean for metric in wide) else None
            for logits in self._all_logits():
                for metric in wide:
                    found[id(metric)].append(metric(logits, self.prompts, clean))
        return [to_numpy(torch.stack(found[id(metric)])) for metric in metrics]

    def logits(self, variant: int, prompt: int) -> Float[Tensor, " d_vocab"]:
        """All logits of one variant on one prompt."""
        return self.arithmetic.logits(self.streams[variant, prompt])

    def _narrow(self, metric: Metric) -> bool:
        return metric.two_columns and self.arithmetic.head is None

    def _from_two_columns(self, metric: Metric) -> list[Tensor]:
        tokens = [self.prompts.asked(what).to(self.streams.device) for what in ("answers", "foils")]
        both = torch.stack([self.arithmetic.logits_of(self.streams, token) for token in tokens], dim=-1)
        answers = torch.zeros_like(self.prompts.answers)
        narrowed = replace(self.prompts, answers=answers, foils=answers + 1)
        return [metric(logits, narrowed) for logits in both]

    def _all_logits(self) -> Iterator[Logits]:
        size = max(1, LOGIT_BYTES // (len(self.prompts) * self.arithmetic.w_u.shape[1] * self.streams.element_size()))
        for start in range(0, len(self.streams), size):
            yield from self.arithmetic.logits(self.streams[start : start + size])
