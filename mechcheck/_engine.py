"""The engine: run one set of interventions, capture activations, sweep over many sets."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from mechcheck._edits import Captures, capture_all, edits_of
from mechcheck._errors import MechcheckError
from mechcheck._hooks import Activation, Reader, Recording, record
from mechcheck._interventions import Intervention
from mechcheck._measurement import Measurement
from mechcheck._metrics import Logits, Metric, as_metric, logit_diff
from mechcheck._prompts import PromptSet
from mechcheck._sites import Site, Sites, check_sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

AnyMetric = Metric | Callable


def run(
    model: "TransformerBridge",
    prompts: PromptSet,
    interventions: Sequence[Intervention] | Intervention = (),
    metric: AnyMetric = logit_diff,
) -> Measurement:
    """Run the prompts under the interventions and measure each prompt at END.

    Args:
        model: from `load_model`.
        prompts: the prompts; activations to put in come from their counterfactual and reference unless given otherwise.
        interventions: applied together in one forward pass; none for the untouched model.
        metric: a `Metric`, or a function of (logits[prompt, d_vocab] at END, prompts) -> [prompt].

    Raises:
        SiteError, PromptError, HookError: see there.
    """
    chosen = as_metric(metric)
    listed = _as_list(interventions)
    logits = _logits(model, prompts, listed, capture_all(model, prompts, [listed]))
    clean = _logits(model, prompts, [], Captures(model)) if chosen.needs_clean else None
    return Measurement(_numpy(chosen(logits, prompts, clean)), prompts.ids, prompts.templates, chosen.name, chosen.unit)


def sweep(
    model: "TransformerBridge",
    prompts: PromptSet,
    variants: Sequence[Sequence[Intervention] | Intervention],
    metric: AnyMetric = logit_diff,
) -> Float[np.ndarray, "variant prompt"]:
    """Measure the prompts under each variant (a list of interventions) in turn."""
    chosen = as_metric(metric)
    listed = [_as_list(v) for v in variants]
    if not listed:
        raise MechcheckError("a sweep needs at least one variant")
    captures = capture_all(model, prompts, listed)
    clean = _logits(model, prompts, [], captures) if chosen.needs_clean else None
    return np.stack([_numpy(chosen(_logits(model, prompts, variant, captures), prompts, clean)) for variant in listed])


def logits_at_end(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] = ()) -> Logits:
    """The logits at END under the interventions."""
    listed = _as_list(interventions)
    return _logits(model, prompts, listed, capture_all(model, prompts, [listed]))


def observe(
    model: "TransformerBridge",
    prompts: PromptSet,
    readers: Mapping[Any, Reader],
    interventions: Sequence[Intervention] | Intervention = (),
) -> Recording:
    """Run the prompts under the interventions and keep what the readers want of that same forward pass."""
    listed = _as_list(interventions)
    captures = capture_all(model, prompts, [listed])
    check_sites(model, [site for i in listed for site in i.sites])
    return record(model, prompts, readers, edits_of(model, prompts, listed, captures))


def capture(model: "TransformerBridge", prompts: PromptSet, sites: Sites) -> dict[Site, Activation]:
    """Each site's activation on the prompts: [prompt, d] at a named position, [prompt, pos, d] at every position."""
    check_sites(model, sites)
    captures = Captures(model)
    captures.need(prompts, sites)
    return {site: captures.get(prompts, site) for site in sites}


def _as_list(interventions: Sequence[Intervention] | Intervention) -> list[Intervention]:
    return list(interventions) if isinstance(interventions, Sequence) else [interventions]


def _logits(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention], captures: Captures) -> Logits:
    check_sites(model, [site for i in interventions for site in i.sites])
    return record(model, prompts, changes=edits_of(model, prompts, interventions, captures)).logits


def _numpy(values: torch.Tensor) -> Float[np.ndarray, " prompt"]:
    return values.detach().cpu().double().numpy()
