"""A double dissociation: what two tasks lose without the sites of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.base.errors import ClaimError
from mechcheck.engine.run import sweep
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Ablate, AblationMethod, Intervention
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.collected import number_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.metrics import Metric

Half = tuple[PromptSet, Sites | Circuit]
"""A task's prompts, and the sites that are said to do it."""
Lesion = AblationMethod | Callable[[Sites], Intervention | Sequence[Intervention]]
"""What is done to the sites of each."""


@dataclass(frozen=True)
class Dissociation:
    """What two tasks lose without the sites of each."""

    tasks: tuple[str, str]
    untouched: dict[str, Measurement]
    """Task -> the metric of the untouched model."""
    lost: dict[tuple[str, str], Measurement]
    """(task, whose sites) -> what the task's metric loses without them, prompt by prompt."""

    def figure(self, title: str = "Share of the metric that is lost") -> Heatmap:
        """The four shares: a row for each task, a column for each lesion."""
        shares = np.array([[(self.lost[task, whose] / self.untouched[task]).mean for whose in self.tasks] for task in self.tasks])
        return Heatmap(title, shares, self.tasks, self.tasks, "task", "without the sites of", "share of the metric")


def dissociation(
    model: "TransformerBridge | None", halves: Mapping[str, Half], margin: float, least: float, lesion: Lesion, metric: "Metric | None"
) -> Dissociation:
    """Measure the four effects.

    Raises:
        ClaimError: as `Check.dissociates` says.
    """
    if model is None:
        raise ClaimError("dissociates ablates sites of a model: the claim must use the `model` fixture")
    if not isinstance(halves, Mapping) or len(halves) != 2:
        raise ClaimError("dissociates takes two tasks, {name: (prompts, sites), other: (prompts, sites)}")
    for name, share in (("margin", margin), ("least", least)):
        if not 0 < number_of(f"dissociates({name}=...)", share) < 1:
            raise ClaimError(f"dissociates({name}={share}): a share between 0 and 1")
    for task, half in halves.items():
        if not isinstance(half, tuple) or len(half) != 2 or not isinstance(half[1], Sites | Circuit):
            raise ClaimError(f"dissociates: {task!r} takes (prompts, sites), the sites as in heads('0.1') or as a circuit")
    a, b = halves
    cut = {task: _cut(task, sites, lesion) for task, (_, sites) in halves.items()}
    chosen = as_metric(logit_diff if metric is None else metric)
    untouched: dict[str, Measurement] = {}
    lost: dict[tuple[str, str], Measurement] = {}
    for task, (prompts, _) in halves.items():
        if not isinstance(prompts, PromptSet):
            raise ClaimError(f"dissociates: {task!r} takes (prompts, sites), got {type(prompts).__name__} as the prompts")
        whole, *left = (
            Measurement(values, prompts.ids, prompts.templates, f"{task}'s {chosen.name}", chosen.unit)
            for values in sweep(model, prompts, [[], cut[a], cut[b]], chosen)
        )
        untouched[task] = whole
        lost |= {
            (task, whose): (whole - changed).named(f"{task}'s {chosen.name} lost without the sites of {whose}")
            for whose, changed in zip((a, b), left, strict=True)
        }
    return Dissociation((a, b), untouched, lost)


def _cut(task: str, sites: Sites | Circuit, lesion: Lesion) -> Intervention | Sequence[Intervention]:
    everywhere = (sites.sites if isinstance(sites, Circuit) else sites).at(None)
    if not everywhere:
        raise ClaimError(f"dissociates: {task!r} has no sites, so nothing is taken away")
    return lesion(everywhere) if callable(lesion) else Ablate(everywhere, lesion)
