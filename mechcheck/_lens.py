"""Logit lens: the residual stream of every layer, read through the final norm and the unembedding (nostalgebraist 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mechcheck._engine import observe
from mechcheck._hooks import Rows, _select
from mechcheck._interventions import Intervention
from mechcheck._measurement import Measurement
from mechcheck._metrics import Metric, foil_probability, logit_diff, probability, rank
from mechcheck._prompts import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Rowwise = Float[np.ndarray, "state prompt"]
"""State l is the stream entering layer l; the last one is the stream after the last layer."""

_METRICS: dict[str, Metric] = {"p_answer": probability, "p_foil": foil_probability, "logit_diff": logit_diff, "rank": rank}


@dataclass(frozen=True, eq=False)
class LensReading:
    """What each layer's stream would predict; n_layers + 1 states, the last being the model's own output."""

    p_answer: Rowwise
    """Probability of the answer."""
    p_foil: Rowwise
    """Probability of the foil."""
    logit_diff: Rowwise
    """Logit of the answer minus that of the foil."""
    rank: Rowwise
    """How many tokens have a larger logit than the answer."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    def at_layer(self, layer: int, what: str = "logit_diff") -> Measurement:
        """One state's reading as a measurement: `what` is p_answer, p_foil, logit_diff or rank."""
        metric = _METRICS[what]
        return Measurement(getattr(self, what)[layer], self.ids, self.templates, f"{metric.name} at layer {layer}", metric.unit)


def logit_lens(
    model: "TransformerBridge", prompts: PromptSet, at: str = END, interventions: Sequence[Intervention] | Intervention = ()
) -> LensReading:
    """Read the stream entering each layer, and the one after the last, as if the model ended there.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        at: the named position whose stream is read.
        interventions: applied in the same forward pass.

    Raises:
        PromptError: no such position.
    """
    from transformer_lens.tools.analysis import logit_readout

    prompts.position(at)

    def stream(activation: Tensor, rows: Rows) -> Tensor:
        return _select(activation, rows.at(at))

    last = model.cfg.n_layers - 1
    hooks = [f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)] + [f"blocks.{last}.hook_resid_post"]
    recorded = observe(model, prompts, {name: (name, stream) for name in hooks}, interventions).recorded
    read: dict[str, list[np.ndarray]] = {what: [] for what in _METRICS}
    for name in hooks:
        logits = logit_readout(model, recorded[name]).values
        for what, metric in _METRICS.items():
            read[what].append(metric(logits, prompts).cpu().double().numpy())
    return LensReading(**{what: np.stack(rows) for what, rows in read.items()}, ids=prompts.ids, templates=prompts.templates)
