"""The public names, in the order in which one meets them; each comes from its module when it is first used."""

# claims
from .verdicts.claim import claim as claim
from .verdicts.grids.grid import grid as grid, Grid as Grid
from .verdicts.check import Check as Check
from .stats.estimates import Confidence as Confidence
from .stats.estimates import Estimate as Estimate

from .stats.replication import replication as replication, Replication as Replication
from .stats.onset import onset as onset, Onset as Onset
from .stats.confounds import explained_by as explained_by, Explained as Explained

# prompts
from .prompts.prompt_set import PromptSet as PromptSet
from .prompts.properties import prompt_properties as prompt_properties
from .tasks.registry import task as task
from .tasks.shipped import task_prompts as task_prompts
from .tasks.ioi import ioi_prompts as ioi_prompts
from .tasks.induction import induction_prompts as induction_prompts, repeated_tokens as repeated_tokens
from .tasks.gendered_pronoun import gendered_pronoun_prompts as gendered_pronoun_prompts
from .tasks.greater_than import greater_than_prompts as greater_than_prompts
from .tasks.docstring import docstring_prompts as docstring_prompts
from .tasks.in_context import in_context_prompts as in_context_prompts
from .tasks.successor import successor_prompts as successor_prompts
from .tasks.retrieval import retrieval_prompts as retrieval_prompts
from .tasks.tag_question import tag_question_prompts as tag_question_prompts
from .tasks.negation import negation_prompts as negation_prompts
from .tasks.agreement import agreement_prompts as agreement_prompts

# models
from .models.loading import (
    load_model as load_model,
    provenance as provenance,
    reinitialised as reinitialised,
    forget_models as forget_models,
)
from .models.names import embedded_models as embedded_models
from .models.directory import keep_model as keep_model
from .models.native import keep_native as keep_native
from .models.distilbert import bert_from_distilbert as bert_from_distilbert

# sites and circuits
from .notation.sites import (
    Site as Site,
    Sites as Sites,
    heads as heads,
    queries as queries,
    keys as keys,
    values as values,
    patterns as patterns,
    attn_outs as attn_outs,
    mlps as mlps,
    neurons as neurons,
    mlp_hidden as mlp_hidden,
    resid as resid,
    resid_mid as resid_mid,
    resid_post as resid_post,
    embed as embed,
    pos_embed as pos_embed,
)
from .notation.codes import Subspace as Subspace, direction as direction, subspace as subspace
from .notation.dictionaries import Dictionary as Dictionary
from .notation.features import features as features, reconstruction_error as reconstruction_error
from .models.dictionary_files import load_dictionary as load_dictionary, keep_dictionary as keep_dictionary
from .notation.edges import edges as edges
from .notation.graph import Graph as Graph, graph as graph
from .notation.circuit import Circuit as Circuit, Criterion as Criterion, EdgeRecord as EdgeRecord, Stability as Stability
from .circuits.files import load_circuit as load_circuit, write_circuit as write_circuit
from .circuits.published import published as published, Publication as Publication, PublishedFigure as PublishedFigure
from .verdicts.controls import random_sites as random_sites
from .circuits.roles import Absent as Absent, Found as Found, Role as Role, choose_heads as choose_heads
from .circuits.backups import find_backups as find_backups

# interventions and the engine
from .notation.interventions import (
    Ablate as Ablate,
    Patch as Patch,
    Put as Put,
    Steer as Steer,
    Scale as Scale,
    Sparsify as Sparsify,
    Permute as Permute,
    KnockOut as KnockOut,
    Noise as Noise,
)
from .engine.run import run as run, sweep as sweep, sweep_metrics as sweep_metrics, plain_hooks as plain_hooks, capture as capture
from .cluster.executor import cluster_executor as cluster_executor
from .engine.gradients import gradients as gradients
from .measures.causal.effect import Effect as Effect
from .stats.measurement import Measurement as Measurement

# metrics
from .notation.metrics import (
    Metric as Metric,
    logit_diff as logit_diff,
    probability as probability,
    foil_probability as foil_probability,
    log_probability as log_probability,
    log_odds as log_odds,
    answer_log_probability as answer_log_probability,
    answer_log_odds as answer_log_odds,
    rank as rank,
    correct as correct,
    kl_divergence as kl_divergence,
    loss as loss,
    next_correct as next_correct,
)
from .prompts.spans import ALL as ALL, NEW as NEW
from .tasks.greater_than import later_years as later_years, cutoff_sharpness as cutoff_sharpness
from .notation.distribution_metrics import (
    entropy as entropy,
    top_probability as top_probability,
    top_probability_change as top_probability_change,
    top_overlap as top_overlap,
    distribution_shift as distribution_shift,
)

# where heads attend
from .measures.attention.patterns import (
    attention as attention,
    attention_to as attention_to,
    attention_to_positions as attention_to_positions,
)
from .measures.attention.scores import attention_scores as attention_scores
from .measures.attention.value_weighted import value_weighted_attention as value_weighted_attention, row_cosines as row_cosines
from .measures.attention.spread import (
    attention_distance as attention_distance,
    attention_entropy as attention_entropy,
    layer_mean as layer_mean,
    layer_trend as layer_trend,
)
from .measures.attention.rollup import (
    attention_rollup as attention_rollup,
    attention_rollout as attention_rollout,
    rollout_to as rollout_to,
)
from .measures.attention.change import attention_change as attention_change, counterfactual_maps as counterfactual_maps
from .measures.attention.view import attention_view as attention_view, attention_views as attention_views
from .prompts.words import NEGATIONS as NEGATIONS, Word as Word, words_of as words_of, find_words as find_words
from .measures.attention.between_words import word_attention as word_attention, WordAttention as WordAttention
from .prompts.labels import token_labels as token_labels

# kinds of heads
from .measures.head_scores import HeadScores as HeadScores
from .measures.attention.targets import (
    previous_token_scores as previous_token_scores,
    duplicate_token_scores as duplicate_token_scores,
    induction_scores as induction_scores,
    prefix_matching_scores as prefix_matching_scores,
)
from .measures.attention.retrieval import retrieval_scores as retrieval_scores
from .measures.heads.copying import copying_scores as copying_scores
from .measures.heads.detection import detect_heads as detect_heads, induction_null_scores as induction_null_scores
from .measures.attention.induction_report import induction_reports as induction_reports
from .measures.heads.ranking import compare_heads as compare_heads, HeadComparison as HeadComparison, ranking_figure as ranking_figure
from .measures.heads.vocabulary_circuits import (
    ov_circuit as ov_circuit,
    qk_circuit as qk_circuit,
    copying_eigenvalue_scores as copying_eigenvalue_scores,
)
from .measures.heads.composition import composition as composition

# what carries the effect
from .measures.causal.patching import head_patching as head_patching, residual_patching as residual_patching, recovery as recovery
from .measures.stream.attribution import direct_logit_attribution as direct_logit_attribution
from .measures.stream.lens import logit_lens as logit_lens, logit_lens_map as logit_lens_map
from .measures.stream.loss_recovered import loss_recovered as loss_recovered, LossRecovered as LossRecovered
from .measures.stream.tuned_lens import fit_tuned_lens as fit_tuned_lens, load_tuned_lens as load_tuned_lens

# steering
from .measures.stream.steering import (
    steering_vector as steering_vector,
    class_vectors as class_vectors,
    swap_directions as swap_directions,
    steering_curve as steering_curve,
    steering_curves as steering_curves,
    random_directions as random_directions,
    shuffled_vectors as shuffled_vectors,
)
from .measures.stream.curves import SteeringCurve as SteeringCurve, steering_figure as steering_figure
from .measures.stream.doses import dose_curve as dose_curve, dose_figure as dose_figure, simultaneous_band as simultaneous_band

# generated text
from .measures.text.generation import generate as generate
from .measures.text.generated import Generated as Generated, Continuation as Continuation

# from model to model
from .measures.stream.alignment import (
    LinearMap as LinearMap,
    fit_linear_map as fit_linear_map,
    align as align,
    search_alignment as search_alignment,
    activations as activations,
    unexplained as unexplained,
)
from .measures.stream.cross_model import (
    functional_patch as functional_patch,
    between_heads as between_heads,
    shared_vocabulary as shared_vocabulary,
    vocabulary_map as vocabulary_map,
    translate as translate,
)

# directions and subspaces
from .measures.subspaces.fitting import (
    FittedSubspace as FittedSubspace,
    difference_of_means as difference_of_means,
    probe as probe,
)
from .measures.subspaces.das import das as das
from .measures.subspaces.interchange import Interchange as Interchange, interchange as interchange
from .measures.subspaces.controls import SubspaceControls as SubspaceControls, subspace_controls as subspace_controls
from .measures.subspaces.split import SubspaceSplit as SubspaceSplit, null_space_split as null_space_split
from .measures.subspaces.overlap import overlap as overlap

# ablation studies and searches
from .measures.causal.ablation import (
    all_heads as all_heads,
    mean_ablation as mean_ablation,
    sparsified_to as sparsified_to,
    ablation_effects as ablation_effects,
    rank_heads as rank_heads,
    HeadEffect as HeadEffect,
)
from .measures.causal.interactions import interaction as interaction, interactions as interactions, Interactions as Interactions
from .measures.causal.gates import gate as gate, Gate as Gate
from .circuits.greedy_search import (
    generic_search as generic_search,
    targeted_search as targeted_search,
    SearchResult as SearchResult,
    SearchStep as SearchStep,
)

# edges and circuits of edges
from .measures.causal.path_patching import path_patching as path_patching
from .circuits.edge_scores import edge_scores as edge_scores, EdgeScores as EdgeScores
from .circuits.edge_search import prune_edges as prune_edges, FoundEdges as FoundEdges
from .circuits.edge_contexts import find_edges as find_edges, EdgesInContexts as EdgesInContexts
from .circuits.edge_methods import acdc as acdc, edge_pruning as edge_pruning, information_flow as information_flow
from .circuits.discovery import discover_edges as discover_edges, Discovered as Discovered
from .circuits.stability import edge_stability as edge_stability, search_stability as search_stability
from .circuits.evaluation import Cut as Cut, faithfulness as faithfulness, faithfulness_curve as faithfulness_curve
from .circuits.comparison import compare_circuits as compare_circuits, CircuitComparison as CircuitComparison
from .circuits.comparison import circuit_overlap as circuit_overlap, CircuitOverlap as CircuitOverlap
from .circuits.completeness import completeness as completeness, minimality as minimality
from .circuits.circuit_tests import circuit_tests as circuit_tests, random_circuits as random_circuits
from .circuits.graph_files import read_graph as read_graph, write_graph as write_graph

# hypotheses
from .prompts.one import Prompt as Prompt
from .circuits.hypotheses.trees import Node as Node, everything as everything, nothing as nothing
from .circuits.hypotheses.scrubbing import causal_scrubbing as causal_scrubbing, Scrubbed as Scrubbed
from .circuits.hypotheses.hypothesis_decoys import hypothesis_decoys as hypothesis_decoys, HypothesisDecoys as HypothesisDecoys
from .circuits.hypotheses.abstraction import causal_abstraction as causal_abstraction, Abstraction as Abstraction
from .circuits.hypotheses.abstraction_runs import Commutes as Commutes

# figures
from .drawing.figure import Figure as Figure, RecordedFigure as RecordedFigure
from .measures.figures.charts import Heatmap as Heatmap, head_heatmap as head_heatmap, Lines as Lines, Bars as Bars, Table as Table
from .measures.figures.model import (
    AttentionView as AttentionView,
    LensGrid as LensGrid,
    CircuitGraph as CircuitGraph,
    CircuitNode as CircuitNode,
    CircuitEdge as CircuitEdge,
    SearchTrace as SearchTrace,
)
from .measures.figures.forest import forest_figure as forest_figure
from .measures.figures.trained import onset_figure as onset_figure
from .measures.figures.compared import Compared as Compared
from .measures.figures.edges import edge_graph as edge_graph, path_graph as path_graph, path_heatmap as path_heatmap

# errors
from .base.errors import MechcheckError as MechcheckError, PromptError as PromptError
