"""mechcheck: a circuit claim is a test.

The names below are imported when they are first used, so that loading the pytest plugin costs no torch import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    # claims
    "claim": "_claim",
    "Check": "_check",
    "Estimate": "_stats",
    "Heatmap": "_figures",
    "Lines": "_figures",
    "head_heatmap": "_figures",
    # models
    "load_model": "_models",
    "embedded_models": "_models",
    "provenance": "_models",
    "reinitialised": "_models",
    # sites and circuits
    "Site": "_sites",
    "Sites": "_sites",
    "heads": "_sites",
    "queries": "_sites",
    "keys": "_sites",
    "values": "_sites",
    "attn_outs": "_sites",
    "mlps": "_sites",
    "neurons": "_sites",
    "resid": "_sites",
    "resid_post": "_sites",
    "Circuit": "_circuit",
    "load_circuit": "_circuit",
    "random_sites": "_controls",
    "Role": "_discovery",
    "choose_heads": "_discovery",
    "write_circuit": "_discovery",
    # prompts
    "PromptSet": "_prompts",
    "task": "_registry",
    "task_prompts": "_tasks",
    "ioi_prompts": "_ioi",
    "induction_prompts": "_induction",
    "repeated_tokens": "_induction",
    "gendered_pronoun_prompts": "_gendered_pronoun",
    # interventions and the engine
    "Ablate": "_interventions",
    "Patch": "_interventions",
    "Put": "_interventions",
    "Steer": "_interventions",
    "Scale": "_interventions",
    "Sparsify": "_interventions",
    "Permute": "_interventions",
    "run": "_engine",
    "sweep": "_engine",
    "capture": "_engine",
    "Measurement": "_measurement",
    # metrics
    "Metric": "_metrics",
    "logit_diff": "_metrics",
    "probability": "_metrics",
    "foil_probability": "_metrics",
    "log_probability": "_metrics",
    "rank": "_metrics",
    "correct": "_metrics",
    "kl_divergence": "_metrics",
    # measures
    "attention": "_attention",
    "attention_to": "_attention",
    "attention_to_positions": "_attention",
    "HeadScores": "_head_scores",
    "previous_token_scores": "_head_scores",
    "duplicate_token_scores": "_head_scores",
    "induction_scores": "_head_scores",
    "prefix_matching_scores": "_head_scores",
    "copying_scores": "_copying",
    "direct_logit_attribution": "_attribution",
    "head_patching": "_patching",
    "residual_patching": "_patching",
    "recovery": "_patching",
    "logit_lens": "_lens",
    # errors
    "MechcheckError": "_errors",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from mechcheck._claim import claim as claim
    from mechcheck._engine import run as run


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'mechcheck' has no attribute {name!r}")
    value = getattr(import_module(f"mechcheck.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
