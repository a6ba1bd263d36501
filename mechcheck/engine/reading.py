"""Where metrics read: which positions leave a run, and one number per prompt (or position) from what they say of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Read(NamedTuple):
    """The positions that leave a run, as many columns for each prompt; a prompt with fewer repeats its last one."""

    positions: Int[Tensor, "prompt read"]
    """Rising, up to repetitions at the end."""
    real: Bool[Tensor, "prompt read"]
    """False where a position is a repetition."""

    def on(self, rows: Sequence[int]) -> "Read":
        """The same of some of the prompts."""
        return Read(self.positions[rows], self.real[rows])


def check_unseen(model: "TransformerBridge", metrics: Sequence[Metric]) -> None:
    """Raise `MechcheckError` for a metric of the token that follows, where the model has seen it."""
    following = next((metric for metric in metrics if metric.needs_next), None)
    if following is not None and model.cfg.attention_dir != "causal":
        raise MechcheckError(
            f"{following.name!r} is of the token that follows, which a model that reads both ways has seen: mask a word, and ask for "
            "log_probability at END"
        )


def read_by(metrics: Sequence[Metric], prompts: PromptSet) -> Read:
    """All positions that any of the metrics reads.

    Raises:
        PromptError: a name that these prompts do not have, or nothing to read in one of them.
    """
    wanted = torch.stack([_wanted(metric, prompts) for metric in metrics]).any(0)  # [prompt, pos]
    counts = wanted.sum(1)
    width = int(counts.max())
    first = wanted.int().sort(dim=1, descending=True, stable=True).indices[:, :width]  # the wanted ones, rising, then others
    real = torch.arange(width) < counts[:, None]
    last = first.gather(1, counts[:, None] - 1)
    return Read(torch.where(real, first, last), real)


def _wanted(metric: Metric, prompts: PromptSet) -> Bool[Tensor, "prompt pos"]:
    if metric.where == END and not metric.needs_next:
        return prompts.span(END)
    found = prompts.span(metric.where)
    if metric.needs_next:
        found = found & (torch.arange(found.shape[1]) + 1 < prompts.lengths[:, None])
    empty = ~found.any(1)
    if bool(empty.any()):
        why = "no token follows what is read there" if metric.needs_next else "it has no position there"
        raise PromptError(
            f"{metric.name!r} cannot be read over {metric.where} in prompt {int(empty.int().argmax())}: {why}; "
            "name other positions (.over(...)), or longer prompts"
        )
    return found


@dataclass(frozen=True, eq=False)
class Reading:
    """What one metric reads of the positions that leave a run."""

    metric: Metric
    prompts: PromptSet
    read: Read

    @cached_property
    def at_end(self) -> bool:
        """Whether it reads END alone: one row for each prompt, as the prompts stand."""
        return self.metric.where == END and not self.metric.each

    @cached_property
    def cells(self) -> tuple[Int[Tensor, " reading"], Int[Tensor, " reading"]]:
        """Prompt and column of each position that is read."""
        wanted = _wanted(self.metric, self.prompts).gather(1, self.read.positions) & self.read.real
        prompt, column = wanted.nonzero(as_tuple=True)
        return prompt, column

    @cached_property
    def rows(self) -> PromptSet:
        """The prompts as the metric is given them: one for each position that is read, which is END there."""
        if self.at_end:
            return self.prompts
        prompt, column = self.cells
        names = {name: at[prompt] for name, at in self.prompts.positions.items()} | {END: self.read.positions[prompt, column]}
        every = prompt.tolist()
        return replace(
            self.prompts,
            tokens=self.prompts.tokens[prompt],
            lengths=self.prompts.lengths[prompt],
            answers=self.prompts.answers[prompt] if len(self.prompts.answers) else self.prompts.answers,
            foils=self.prompts.foils[prompt] if len(self.prompts.foils) else self.prompts.foils,
            answer_sets=tuple(self.prompts.answer_sets[i] for i in every) if self.prompts.answer_sets else (),
            foil_sets=tuple(self.prompts.foil_sets[i] for i in every) if self.prompts.foil_sets else (),
            appended=None,
            positions=names,
            templates=tuple(self.prompts.templates[i] for i in every),
            ids=tuple(self.prompts.ids[i] for i in every),
            words=(),
            counterfactual=None,
            reference=None,
            spans={},
        )

    def of(self, x: Float[Tensor, "*variant prompt read d"]) -> Float[Tensor, "*variant reading d"]:
        """What is read of something that has all columns."""
        if self.at_end and x.shape[-2] == 1:
            return x[..., 0, :]
        prompt, column = (index.to(x.device) for index in self.cells)
        return x[..., prompt, column, :]

    def reduced(self, values: Float[Tensor, "*variant reading"]) -> Float[Tensor, "*variant_prompt_pos"]:
        """The mean over each prompt's readings; where the metric keeps each, NaN at positions that are not read."""
        if self.at_end:
            return values
        prompt, column = (index.to(values.device) for index in self.cells)
        if self.metric.each:
            found = values.new_full((*values.shape[:-1], *self.prompts.tokens.shape), torch.nan)
            found[..., prompt, self.read.positions.to(values.device)[prompt, column]] = values
            return found
        sums = values.new_zeros(*values.shape[:-1], len(self.prompts)).index_add_(-1, prompt, values)
        return sums / torch.bincount(prompt, minlength=len(self.prompts))

    def blocks(self, size: int) -> Iterator[tuple[slice, PromptSet]]:
        """Readings, so many at a time, as the metric is given them; all at once where it reads END, one row for each prompt."""
        if self.at_end:
            yield slice(None), self.prompts
            return
        for start in range(0, len(self.rows), size):
            yield slice(start, start + size), self.rows[start : start + size]
