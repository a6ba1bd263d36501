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
    # figures
    "Heatmap": "_figures",
    "head_heatmap": "_figures",
    "Lines": "_figures",
    "Bars": "_figures",
    "Table": "_figures",
    "AttentionView": "_model_figures",
    "LensGrid": "_model_figures",
    "CircuitGraph": "_model_figures",
    "CircuitNode": "_model_figures",
    "CircuitEdge": "_model_figures",
    "SearchTrace": "_model_figures",
    # models
    "load_model": "_models",
    "embedded_models": "_models",
    "provenance": "_models",
    "keep_model": "_model_directory",
    "bert_from_distilbert": "_distilbert",
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
    "Found": "_discovery",
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
    "greater_than_prompts": "_greater_than",
    "negation_prompts": "_negation",
    "agreement_prompts": "_agreement",
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
    "sweep_metrics": "_engine",
    "Effect": "_effect",
    "plain_hooks": "_engine",
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
    "later_years": "_greater_than",
    "entropy": "_distribution_metrics",
    "top_probability": "_distribution_metrics",
    "top_probability_change": "_distribution_metrics",
    "top_overlap": "_distribution_metrics",
    "distribution_shift": "_distribution_metrics",
    # measures
    "attention": "_attention",
    "attention_to": "_attention",
    "attention_to_positions": "_attention",
    "value_weighted_attention": "_value_weighted",
    "row_cosines": "_value_weighted",
    "NEGATIONS": "_words",
    "Word": "_words",
    "words_of": "_words",
    "find_words": "_words",
    "word_attention": "_word_attention",
    "WordAttention": "_word_attention",
    "attention_scores": "_attention_scores",
    "attention_rollup": "_rollup",
    "attention_rollout": "_rollup",
    "rollout_to": "_rollup",
    "attention_change": "_counterfactual",
    "counterfactual_maps": "_counterfactual",
    "attention_distance": "_attention_spread",
    "attention_entropy": "_attention_spread",
    "layer_mean": "_attention_spread",
    "layer_trend": "_attention_spread",
    "attention_view": "_attention_view",
    "token_labels": "_token_labels",
    "HeadScores": "_head_scores",
    "compare_heads": "_ranking",
    "HeadComparison": "_ranking",
    "ranking_figure": "_ranking",
    "previous_token_scores": "_head_scores",
    "duplicate_token_scores": "_head_scores",
    "induction_scores": "_head_scores",
    "prefix_matching_scores": "_head_scores",
    "copying_scores": "_copying",
    "detect_heads": "_detection",
    "induction_null_scores": "_detection",
    "induction_reports": "_sequence_report",
    "ov_circuit": "_weight_circuits",
    "qk_circuit": "_weight_circuits",
    "copying_eigenvalue_scores": "_weight_circuits",
    "composition": "_composition",
    "direct_logit_attribution": "_attribution",
    "head_patching": "_patching",
    "residual_patching": "_patching",
    "recovery": "_patching",
    "logit_lens": "_lens",
    "logit_lens_map": "_lens",
    "fit_tuned_lens": "_tuned_lens",
    "load_tuned_lens": "_tuned_lens",
    # steering
    "steering_vector": "_steering",
    "class_vectors": "_steering",
    "swap_directions": "_steering",
    "steering_curve": "_steering",
    "steering_curves": "_steering",
    "random_directions": "_steering",
    "shuffled_vectors": "_steering",
    # from model to model
    "LinearMap": "_alignment",
    "fit_linear_map": "_alignment",
    "align": "_alignment",
    "search_alignment": "_alignment",
    "activations": "_alignment",
    "unexplained": "_alignment",
    "functional_patch": "_cross_model",
    "between_heads": "_cross_model",
    "shared_vocabulary": "_cross_model",
    "vocabulary_map": "_cross_model",
    "translate": "_cross_model",
    # ablation studies and searches
    "all_heads": "_ablation_study",
    "mean_ablation": "_ablation_study",
    "sparsified_to": "_ablation_study",
    "ablation_effects": "_ablation_study",
    "rank_heads": "_ablation_study",
    "HeadEffect": "_ablation_study",
    "interaction": "_clusters",
    "interactions": "_clusters",
    "Interactions": "_clusters",
    "generic_search": "_search",
    "targeted_search": "_search",
    "SearchResult": "_search",
    "SearchStep": "_search",
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
