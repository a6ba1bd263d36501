"""What an intervention costs, at any sites: one number per prompt, for many sets of sites in one sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechcheck.engine.run import AnyMetric, as_list, sweep
from mechcheck.notation.interventions import UNTOUCHED, Intervention, kinds_text
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.operands import Operand, subtracted

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Effect:
    """The metric of the untouched model minus the metric under an intervention, prompt by prompt.

    `effect(sites)` is a `Measurement`; `effect.each([...])` gives one for each set of sites from a single sweep, which is
    what `check.beats_random` uses for its controls.
    """

    model: "TransformerBridge"
    prompts: PromptSet
    intervention: Callable[[Sites], Intervention]
    """For example `lambda sites: Ablate(sites, "mean")`."""
    metric: AnyMetric = logit_diff
    name: str = ""
    """What the effect is called in the report; by default the metric's name and "lost"."""

    def __call__(self, sites: Sites) -> Measurement:
        return self.each([sites])[0]

    def each(self, many: Sequence[Sites]) -> list[Measurement]:
        """The effect at each set of sites."""
        metric = as_metric(self.metric)
        changes = [self.intervention(sites) for sites in many]
        clean, *changed = sweep(self.model, self.prompts, [[], *changes], metric)
        name = self.name or f"{metric.name} lost"
        untouched = Operand(f"{metric.name}, {UNTOUCHED}", metric.unit, clean, 1)
        return [
            Measurement(
                clean - values, self.prompts.ids, self.prompts.templates, name, metric.unit,
                operands=subtracted(untouched, Operand(f"{metric.name}, {kinds_text(as_list(change))}", metric.unit, values, -1)),
            )
            for values, change in zip(changed, changes, strict=True)
        ]  # fmt: skip
