"""Sentinels: once per model and run, proof that the instrument works on this architecture."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from mechcheck.base.errors import HookError
from mechcheck.engine.run import capture, logits_at_end
from mechcheck.models.fingerprint import ModelState, check_untouched
from mechcheck.models.loading import provenance
from mechcheck.notation.interventions import Ablate, Intervention, Patch
from mechcheck.notation.limits import limits_of
from mechcheck.notation.sites import Site, Sites, resid, resid_post
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# Largest difference of a log-probability that rounding explains, by dtype.
TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 0.25, "float16": 0.05}
_PROMPTS = 8


@dataclass(frozen=True)
class Sentinel:
    """One check of the instrument."""

    model: str
    name: str
    passed: bool
    detail: str


def sentinels(model: "TransformerBridge", prompts: PromptSet) -> list[Sentinel]:
    """Check that interventions do what they say on this model.

    Patching a run into itself changes nothing; patching the whole residual stream gives the other run; ablating a layer
    changes something; hooks are gone and weights unchanged afterwards. That each hook fires is checked in every run.
    """
    few = prompts[: min(_PROMPTS, len(prompts))]
    other = _shifted(few)
    before, clean = ModelState(model), _outcome(model, few)
    tolerance = TOLERANCE[provenance(model).dtype]
    middle = model.cfg.n_layers // 2
    everything = Sites([Site("head", middle, h) for h in range(model.cfg.n_heads)])

    of = "of a log-probability" if limits_of(model).no_prediction is None else "in the last stream"

    def difference(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).abs().max())

    def self_patch() -> tuple[bool, str]:
        changed = difference(_outcome(model, few, Patch(everything, few)), clean)
        return changed <= tolerance, f"largest change {of} {changed:.2g}"

    def whole_patch() -> tuple[bool, str]:
        patched = _outcome(model, few, Patch(resid(0), other))
        off = difference(patched, _outcome(model, other))
        return off <= tolerance, f"largest difference from the other run {off:.2g}"

    def ablation() -> tuple[bool, str]:
        layers = sorted(range(model.cfg.n_layers), key=lambda layer: abs(layer - middle))
        for layer in layers:  # a compiled program may leave the heads of a layer without a task
            sites = Sites([Site("head", layer, h) for h in range(model.cfg.n_heads)])
            changed = difference(_outcome(model, few, Ablate(sites, "zero")), clean)
            if changed > 0:
                return True, f"largest change {of} {changed:.2g}" + (f" (layer {layer})" if layer != middle else "")
        return False, "no layer's heads make a difference"

    def restored() -> tuple[bool, str]:
        check_untouched(before)
        again = difference(_outcome(model, few), clean)
        return again == 0, f"the untouched run repeated differs by {again:.2g}"

    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "patching a run into itself changes nothing": self_patch,
        "patching everything gives the other run": whole_patch,
        "ablating a layer's heads changes something": ablation,
        "hooks are gone and weights unchanged": restored,
    }
    return [_run(provenance(model).name, name, test) for name, test in checks.items()]


def _outcome(model: "TransformerBridge", prompts: PromptSet, *interventions: Intervention) -> torch.Tensor:
    """What comes out at END: log-probabilities, or of a model that makes none the last stream, as parts of its size."""
    if limits_of(model).no_prediction is None:
        return logits_at_end(model, prompts, interventions).log_softmax(-1)
    (stream,) = capture(model, prompts, resid_post(model.cfg.n_layers - 1, at=END), interventions).values()
    return stream / stream.norm(dim=-1, keepdim=True)


def _run(model: str, name: str, test: Callable[[], tuple[bool, str]]) -> Sentinel:
    try:
        passed, detail = test()
    except (HookError, RuntimeError) as error:
        passed, detail = False, str(error)
    return Sentinel(model, name, passed, detail)


def _shifted(prompts: PromptSet) -> PromptSet:
    """Other prompts of the same shape: each prompt's tokens with the one before END replaced by END's."""
    rows = [row[:length].tolist() for row, length in zip(prompts.tokens, prompts.lengths.tolist(), strict=True)]
    changed = [[*row[:-2], row[-1], row[-2]] if len(row) > 2 else row[::-1] for row in rows]
    tokens = torch.tensor([row + [0] * (prompts.tokens.shape[1] - len(row)) for row in changed])
    return replace(prompts, tokens=tokens, words=(), counterfactual=None, reference=None)
