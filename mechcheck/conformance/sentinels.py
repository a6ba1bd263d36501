"""Sentinels: once per model and run, proof that the instrument works on this architecture."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mechcheck.base.device import has_float64
from mechcheck.base.errors import HookError
from mechcheck.engine.run import logits_at_end
from mechcheck.models.loading import provenance
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import Site, Sites, resid
from mechcheck.prompts.prompt_set import PromptSet

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


@dataclass(frozen=True)
class Fingerprint:
    """Enough of a model's state to see that it was changed."""

    weights: tuple[float, ...]
    hooks: int


def fingerprint(model: "TransformerBridge") -> Fingerprint:
    """Weighted sums of every parameter and buffer, and the number of hooks that hang on the model's modules."""
    sums = tuple(s for tensor in itertools.chain(model.parameters(), model.buffers()) for s in _weighted_sums(tensor.detach()))
    points = {id(point): point for point in model.hook_dict.values()}.values()  # one point can have several names
    return Fingerprint(sums, sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in points) + _plain_hooks(model))


def _plain_hooks(model: "TransformerBridge") -> int:
    """Hooks registered with PyTorch itself, but for those that the libraries install when a model first runs."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = (hook for module in model.modules() for kind in kinds for hook in getattr(module, kind).values())
    return sum(not str(getattr(hook, "__module__", "")).startswith(("transformer_lens.", "transformers.", "torch.")) for hook in hooks)


def _weighted_sums(tensor: torch.Tensor) -> tuple[float, float]:
    """Rows and columns weighted by their number, so that two that change places are noticed."""
    flat = tensor.reshape(len(tensor), -1) if tensor.ndim else tensor.reshape(1, 1)
    exact = torch.float64 if has_float64(tensor.device) else torch.float32
    rows, columns = (flat.sum(dim, dtype=exact) for dim in (1, 0))
    weighted = (float(sums @ torch.arange(1, len(sums) + 1, dtype=exact, device=sums.device)) for sums in (rows, columns))
    return next(weighted), next(weighted)


def check_untouched(model: "TransformerBridge", before: Fingerprint) -> None:
    """Raise unless the model is as it was when `before` was taken."""
    after = fingerprint(model)
    if after.weights != before.weights:
        raise HookError("the model's weights were changed; models are shared and read-only: change a copy")
    if after.hooks != before.hooks:
        raise HookError(f"{after.hooks - before.hooks} hooks were left on the model; use run, capture or `with model.hooks(...)`")


def sentinels(model: "TransformerBridge", prompts: PromptSet) -> list[Sentinel]:
    """Check that interventions do what they say on this model.

    Patching a run into itself changes nothing; patching the whole residual stream gives the other run; ablating a layer
    changes something; hooks are gone and weights unchanged afterwards. That each hook fires is checked in every run.
    """
    few = prompts[: min(_PROMPTS, len(prompts))]
    other = _shifted(few)
    before, clean = fingerprint(model), logits_at_end(model, few).log_softmax(-1)
    tolerance = TOLERANCE[provenance(model).dtype]
    middle = model.cfg.n_layers // 2
    everything = Sites([Site("head", middle, h) for h in range(model.cfg.n_heads)])

    def difference(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).abs().max())

    def self_patch() -> tuple[bool, str]:
        changed = difference(logits_at_end(model, few, [Patch(everything, few)]).log_softmax(-1), clean)
        return changed <= tolerance, f"largest change of a log-probability {changed:.2g}"

    def whole_patch() -> tuple[bool, str]:
        patched = logits_at_end(model, few, [Patch(resid(0), other)]).log_softmax(-1)
        off = difference(patched, logits_at_end(model, other).log_softmax(-1))
        return off <= tolerance, f"largest difference from the other run {off:.2g}"

    def ablation() -> tuple[bool, str]:
        changed = difference(logits_at_end(model, few, [Ablate(everything, "zero")]).log_softmax(-1), clean)
        return changed > 0, f"largest change of a log-probability {changed:.2g}"

    def restored() -> tuple[bool, str]:
        check_untouched(model, before)
        again = difference(logits_at_end(model, few).log_softmax(-1), clean)
        return again == 0, f"the untouched run repeated differs by {again:.2g}"

    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "patching a run into itself changes nothing": self_patch,
        "patching everything gives the other run": whole_patch,
        "ablating a layer's heads changes something": ablation,
        "hooks are gone and weights unchanged": restored,
    }
    return [_run(provenance(model).name, name, test) for name, test in checks.items()]


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
    return PromptSet.from_tokens(changed, answers=prompts.answers, foils=prompts.foils, positions=prompts.positions, pad=0)
