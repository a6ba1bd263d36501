"""mechcheck: a circuit claim is a test.

The names below are imported when they are first used, so that loading the pytest plugin costs no torch import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    # claims
    "claim": "verdicts.claim",
    "Check": "verdicts.check",
    "Estimate": "stats.estimates",
    # figures
    "Heatmap": "measures.figures.charts",
    "head_heatmap": "measures.figures.charts",
    "Lines": "measures.figures.charts",
    "Bars": "measures.figures.charts",
    "Table": "measures.figures.charts",
    "AttentionView": "measures.figures.model",
    "LensGrid": "measures.figures.model",
    "CircuitGraph": "measures.figures.model",
    "CircuitNode": "measures.figures.model",
    "CircuitEdge": "measures.figures.model",
    "SearchTrace": "measures.figures.model",
    # models
    "load_model": "models.loading",
    "embedded_models": "models.loading",
    "provenance": "models.loading",
    "keep_model": "models.directory",
    "bert_from_distilbert": "models.distilbert",
    "reinitialised": "models.loading",
    # sites and circuits
    "Site": "notation.sites",
    "Sites": "notation.sites",
    "heads": "notation.sites",
    "queries": "notation.sites",
    "keys": "notation.sites",
    "values": "notation.sites",
    "attn_outs": "notation.sites",
    "mlps": "notation.sites",
    "neurons": "notation.sites",
    "resid": "notation.sites",
    "resid_post": "notation.sites",
    "Circuit": "notation.circuit",
    "load_circuit": "circuits.files",
    "random_sites": "verdicts.controls",
    "Found": "circuits.roles",
    "Role": "circuits.roles",
    "choose_heads": "circuits.roles",
    "write_circuit": "circuits.files",
    # prompts
    "PromptSet": "prompts.prompt_set",
    "task": "tasks.registry",
    "task_prompts": "tasks.shipped",
    "ioi_prompts": "tasks.ioi",
    "induction_prompts": "tasks.induction",
    "repeated_tokens": "tasks.induction",
    "gendered_pronoun_prompts": "tasks.gendered_pronoun",
    "greater_than_prompts": "tasks.greater_than",
    "negation_prompts": "tasks.negation",
    "agreement_prompts": "tasks.agreement",
    # interventions and the engine
    "Ablate": "notation.interventions",
    "Patch": "notation.interventions",
    "Put": "notation.interventions",
    "Steer": "notation.interventions",
    "Scale": "notation.interventions",
    "Sparsify": "notation.interventions",
    "Permute": "notation.interventions",
    "run": "engine.run",
    "sweep": "engine.run",
    "sweep_metrics": "engine.run",
    "Effect": "measures.causal.effect",
    "plain_hooks": "engine.run",
    "capture": "engine.run",
    "Measurement": "stats.measurement",
    # metrics
    "Metric": "notation.metrics",
    "logit_diff": "notation.metrics",
    "probability": "notation.metrics",
    "foil_probability": "notation.metrics",
    "log_probability": "notation.metrics",
    "rank": "notation.metrics",
    "correct": "notation.metrics",
    "kl_divergence": "notation.metrics",
    "later_years": "tasks.greater_than",
    "entropy": "notation.distribution_metrics",
    "top_probability": "notation.distribution_metrics",
    "top_probability_change": "notation.distribution_metrics",
    "top_overlap": "notation.distribution_metrics",
    "distribution_shift": "notation.distribution_metrics",
    # measures
    "attention": "measures.attention.patterns",
    "attention_to": "measures.attention.patterns",
    "attention_to_positions": "measures.attention.patterns",
    "value_weighted_attention": "measures.attention.value_weighted",
    "row_cosines": "measures.attention.value_weighted",
    "NEGATIONS": "prompts.words",
    "Word": "prompts.words",
    "words_of": "prompts.words",
    "find_words": "prompts.words",
    "word_attention": "measures.attention.between_words",
    "WordAttention": "measures.attention.between_words",
    "attention_scores": "measures.attention.scores",
    "attention_rollup": "measures.attention.rollup",
    "attention_rollout": "measures.attention.rollup",
    "rollout_to": "measures.attention.rollup",
    "attention_change": "measures.attention.change",
    "counterfactual_maps": "measures.attention.change",
    "attention_distance": "measures.attention.spread",
    "attention_entropy": "measures.attention.spread",
    "layer_mean": "measures.attention.spread",
    "layer_trend": "measures.attention.spread",
    "attention_view": "measures.attention.view",
    "token_labels": "prompts.labels",
    "HeadScores": "measures.head_scores",
    "compare_heads": "measures.heads.ranking",
    "HeadComparison": "measures.heads.ranking",
    "ranking_figure": "measures.heads.ranking",
    "previous_token_scores": "measures.attention.targets",
    "duplicate_token_scores": "measures.attention.targets",
    "induction_scores": "measures.attention.targets",
    "prefix_matching_scores": "measures.attention.targets",
    "copying_scores": "measures.heads.copying",
    "detect_heads": "measures.heads.detection",
    "induction_null_scores": "measures.heads.detection",
    "induction_reports": "measures.attention.induction_report",
    "ov_circuit": "measures.heads.vocabulary_circuits",
    "qk_circuit": "measures.heads.vocabulary_circuits",
    "copying_eigenvalue_scores": "measures.heads.vocabulary_circuits",
    "composition": "measures.heads.composition",
    "direct_logit_attribution": "measures.stream.attribution",
    "head_patching": "measures.causal.patching",
    "residual_patching": "measures.causal.patching",
    "recovery": "measures.causal.patching",
    "logit_lens": "measures.stream.lens",
    "logit_lens_map": "measures.stream.lens",
    "fit_tuned_lens": "measures.stream.tuned_lens",
    "load_tuned_lens": "measures.stream.tuned_lens",
    # steering
    "steering_vector": "measures.stream.steering",
    "class_vectors": "measures.stream.steering",
    "swap_directions": "measures.stream.steering",
    "steering_curve": "measures.stream.steering",
    "steering_curves": "measures.stream.steering",
    "random_directions": "measures.stream.steering",
    "shuffled_vectors": "measures.stream.steering",
    # from model to model
    "LinearMap": "measures.stream.alignment",
    "fit_linear_map": "measures.stream.alignment",
    "align": "measures.stream.alignment",
    "search_alignment": "measures.stream.alignment",
    "activations": "measures.stream.alignment",
    "unexplained": "measures.stream.alignment",
    "functional_patch": "measures.stream.cross_model",
    "between_heads": "measures.stream.cross_model",
    "shared_vocabulary": "measures.stream.cross_model",
    "vocabulary_map": "measures.stream.cross_model",
    "translate": "measures.stream.cross_model",
    # ablation studies and searches
    "all_heads": "measures.causal.ablation",
    "mean_ablation": "measures.causal.ablation",
    "sparsified_to": "measures.causal.ablation",
    "ablation_effects": "measures.causal.ablation",
    "rank_heads": "measures.causal.ablation",
    "HeadEffect": "measures.causal.ablation",
    "interaction": "measures.causal.interactions",
    "interactions": "measures.causal.interactions",
    "Interactions": "measures.causal.interactions",
    "generic_search": "circuits.greedy_search",
    "targeted_search": "circuits.greedy_search",
    "SearchResult": "circuits.greedy_search",
    "SearchStep": "circuits.greedy_search",
    # errors
    "MechcheckError": "base.errors",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from mechcheck.engine.run import run as run
    from mechcheck.verdicts.claim import claim as claim


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'mechcheck' has no attribute {name!r}")
    value = getattr(import_module(f"mechcheck.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
