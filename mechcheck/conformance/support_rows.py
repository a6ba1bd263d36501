"""Every public function that looks into a model, applied to a tiny one: the rows of the support table.

A row's name holds the public names that it tries, in backticks; what it returns are the numbers that it measured.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import mechcheck as m
from mechcheck.conformance.support_bench import Bench as Bench
from mechcheck.conformance.support_bench import Try, sweep
from mechcheck.conformance.support_edges import EDGES
from mechcheck.conformance.support_hypotheses import HYPOTHESES
from mechcheck.notation.metrics import Metric
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

_EVERY = "0.0-3 1.0-3"
_S2 = m.resid("1@S2")


def _patched(sites: Sites) -> Try:
    """Patched at every position, and at a named one."""
    return sweep(m.Patch(sites), m.Patch(sites.at("S2")))


def _measure(name: str, *arguments: Any, **options: Any) -> Try:
    """A public function of a model and prompts."""
    return lambda b: getattr(m, name)(b.model, b.prompts, *arguments, **options)


def _put(b: Bench) -> Any:
    return m.run(b.model, b.prompts, m.Put(m.capture(b.model, b.prompts, m.heads("0.1@S2 1.2@END")))).values


def _recovery(b: Bench) -> Any:
    assert b.prompts.counterfactual is not None
    clean, other = (m.run(b.model, some) for some in (b.prompts, b.prompts.counterfactual))
    return m.recovery(m.head_patching(b.model, b.prompts), clean, other)


def _metrics(b: Bench) -> Any:
    every = [found for name in dir(m) if isinstance(found := getattr(m, name), Metric)]
    if b.model is not None and b.model.cfg.attention_dir != "causal":
        every = [metric for metric in every if not metric.needs_next]  # of a token that it has seen
    return m.sweep_metrics(b.model, b.prompts, [[], m.Patch(m.heads("0.1"))], [*every, m.top_overlap(5)])


def _vector(b: Bench) -> torch.Tensor:
    return m.steering_vector(b.model, b.prompts, _S2)


def _tuned(b: Bench) -> Any:
    lens = m.fit_tuned_lens(b.model, b.prompts, steps=2)
    with TemporaryDirectory() as folder:
        lens.save(Path(folder) / "lens.safetensors")
        again = m.load_tuned_lens(Path(folder) / "lens.safetensors", b.model)
    return m.logit_lens(b.model, b.prompts, lens=again).logit_diff


def _twice(b: Bench) -> tuple[Any, Any, tuple[Any, Any]]:
    """A model beside itself, as if it were two."""
    return b.model, b.model, (b.prompts, b.prompts)


def _stream_map(b: Bench) -> Any:
    return m.align(*_twice(b), (_S2, _S2), ridge=0.1)


def _search_alignment(b: Bench) -> Any:
    return [found.score for found in m.search_alignment(*_twice(b), [_S2], [_S2], [0.1], lambda *_: 0.5)]


def _unexplained(b: Bench) -> Any:
    x = m.activations(b.model, b.prompts, _S2)
    return m.unexplained(_stream_map(b), x, x, b.prompts).values


def _functional_patch(b: Bench) -> Any:
    head = m.heads("0.1@S2")
    across = m.between_heads(_stream_map(b), b.model, b.prompts, head, b.model, b.prompts, head)
    return m.run(b.model, b.prompts, m.functional_patch(b.model, b.prompts, head, across, head)).values


def _translate(b: Bench) -> Any:
    shared = m.shared_vocabulary(b.model, b.model, b.prompts)
    return m.translate(*_twice(b), _S2, m.vocabulary_map(b.model, b.model, shared), shared).kl().values


def _generated(b: Bench) -> Any:
    changed: list[Any] = [m.Steer(_vector(b), m.resid("1@NEW")), m.Ablate(m.heads("0.1"), "zero"), m.Patch(m.heads("1.2@S2"))]
    return [m.generate(b.model, b.prompts, some, new_tokens=2, temperature=1.0).lengths for some in ([], changed)]


def _dictionary(b: Bench, hook: str = "blocks.1.hook_resid_pre", **others: Any) -> m.Dictionary:
    """Half the components of an activation of the stream's width, each a feature."""
    d = b.model.cfg.d_model
    some = torch.eye(d, dtype=torch.float32)[: d // 2]
    return m.Dictionary(some.T, some, hook, b_dec=torch.full((d,), 0.01, dtype=torch.float32), **others)


def _features(b: Bench) -> Any:
    one = _dictionary(b)
    sites = m.features(one, "0 1-2 error", at="S2")
    with TemporaryDirectory() as folder:
        again = m.load_dictionary(m.keep_dictionary(one, folder))
    amounts = torch.ones(2)
    variants: list[Any] = [
        m.Ablate(sites),
        m.Ablate(m.reconstruction_error(again)),
        m.Patch(sites),
        m.Steer(amounts, m.features(again, "0 2"), 0.5),
    ]
    return m.sweep(b.model, b.prompts, variants), list(m.capture(b.model, b.prompts, sites).values())


def _transcoder(b: Bench) -> Any:
    one = _dictionary(b, "blocks.0.hook_mlp_out", reads="blocks.0.mlp.hook_in")
    return m.sweep(b.model, b.prompts, [m.Ablate(m.features(one, "0-2")), m.Ablate(m.reconstruction_error(one, at="S2"))])


def _loss_recovered(b: Bench) -> Any:
    found = m.loss_recovered(b.model, b.prompts, _dictionary(b))
    return found.spliced.values, found.kl_removed.values, found.fit.explained_variance, found.fit.frequency


def _halves(b: Bench) -> tuple[PromptSet, PromptSet]:
    """Prompts to fit on, and others."""
    half = len(b.prompts) // 2
    return b.prompts[:half], b.prompts[half:]


def _searched(b: Bench, at: Sites) -> m.FittedSubspace:
    return m.das(b.model, _halves(b)[0], at, 2, epochs=1)


def _interchange(b: Bench) -> Any:
    return [m.interchange(b.model, _halves(b)[1], _searched(b, at).sites).shift.values for at in (_S2, m.heads("0.1@S2"))]


def _split(b: Bench) -> Any:
    found = m.difference_of_means(b.model, _halves(b)[0], m.heads("0.1@S2"))
    return m.null_space_split(b.model, _halves(b)[1], found.sites).by_row.shift.values


def _subspace_controls(b: Bench) -> Any:
    found = m.difference_of_means(b.model, _halves(b)[0], _S2)
    return [one.shift.values for some in m.subspace_controls(b.model, _halves(b)[1], found, n=1).named.values() for one in some]


def _reinitialised(b: Bench) -> Any:
    return m.run(m.reinitialised(b.model, 1), b.prompts).values


def _report(b: Bench) -> Any:
    return [found.scores for found in m.induction_reports(b.model, "After Mary and John and Mary", 0.5)]


ROWS: dict[str, dict[str, Try]] = {
    "Interventions": {
        "`load_model`, `provenance`": lambda b: m.provenance(b.model).n_params,
        "`run`, `sweep`": lambda b: (m.run(b.model, b.prompts).values, m.sweep(b.model, b.prompts, [[]])),
        "`Patch` `heads`": _patched(m.heads("0.1 1.2")),
        "`Patch` `queries`": _patched(m.queries("0.1 1.2")),
        "`Patch` `keys`": _patched(m.keys("0.1 1.0")),
        "`Patch` `values`": _patched(m.values("0.1 1.0")),
        "`Patch` `attn_outs`": _patched(m.attn_outs("0-1")),
        "`Patch` `mlps`": _patched(m.mlps("0-1")),
        "`Patch` `neurons`": _patched(m.neurons("0.3 1.4-5")),
        "`Patch` `mlp_hidden`": _patched(m.mlp_hidden("0-1")),
        "`Patch` `resid`": _patched(m.resid("1")),
        "`Patch` `resid_post`": _patched(m.resid_post("0")),
        "`Patch` `resid_mid`": _patched(m.resid_mid("0")),
        "`Patch` `patterns`": _patched(m.patterns("0.1 1.2")),
        "`Patch` `embed`": _patched(m.embed()),
        "`Patch` `pos_embed`": _patched(m.pos_embed()),
        "`Ablate` zero, mean, resample": sweep(*(m.Ablate(m.heads("0.1 1.2"), how) for how in ("zero", "mean", "resample"))),
        "`Steer`": lambda b: m.sweep(b.model, b.prompts, [m.Steer(_vector(b), _S2, scale) for scale in (0.5, 2.0)]),
        "`Scale`": sweep(m.Scale(m.heads("0.1"), 0.5), m.Scale(m.resid("1"), 2.0)),
        "`Sparsify`": sweep(m.Sparsify(m.heads("0.1"), 0.1)),
        "`KnockOut`": sweep(m.KnockOut(m.patterns("0.1 1.2@END"), "S2"), m.KnockOut(m.patterns("0.1"), "S2", only=True)),
        "`Noise`": sweep(m.Noise(m.resid("0@S2"), 3.0)),
        "`Permute`": sweep(m.Permute(m.heads("0.1"))),
        "`Put`": _put,
        "`features`, `reconstruction_error`, `load_dictionary`, `keep_dictionary`": _features,
        "`features` of a transcoder": _transcoder,
        "`loss_recovered`": _loss_recovered,
        "`capture`": lambda b: list(m.capture(b.model, b.prompts, m.heads("0.1") | m.resid("1@END")).values()),
        "`gradients`": lambda b: list(m.gradients(b.model, b.prompts, m.heads("0.1") | m.resid("1@END")).values()),
        "`gradients` of `patterns`": lambda b: list(m.gradients(b.model, b.prompts, m.patterns("0.1 1.2@END")).values()),
        "`gradients` of `resid_mid`": lambda b: list(m.gradients(b.model, b.prompts, m.resid_mid("0")).values()),
        "`sweep_metrics`, every metric": _metrics,
    },
    "Patching, ablation studies, searches": {
        "`head_patching`, `recovery`": _recovery,
        "`residual_patching`": _measure("residual_patching", ["S2", "END"]),
        "`Effect`, `random_sites`": lambda b: [
            found.values
            for found in m.Effect(b.model, b.prompts, m.mean_ablation).each(
                m.random_sites(b.model, m.heads("0.1"), outside=m.heads("0.1"), n=2, seed=0)
            )
        ],
        "`ablation_effects`, `mean_ablation`, `all_heads`": lambda b: m.ablation_effects(b.model, b.prompts)["kl"].values,
        "`sparsified_to`": lambda b: m.run(b.model, b.prompts, m.sparsified_to(b.model, b.prompts, 0.5)(m.heads("0.1"))).values,
        "`interaction`": lambda b: m.interaction(b.model, b.prompts, m.heads("0.1"), m.heads("1.2")).values,
        "`gate`": lambda b: m.gate(b.model, b.prompts, m.heads("0.1@END"), m.heads("1.2@END")).noised.both.values,
        "`interactions`": lambda b: m.interactions(b.model, b.prompts, m.heads("0.1 1.2")).effects,
        "`find_backups`": lambda b: len(getattr(m.find_backups(b.model, b.prompts, m.heads("1.2")), "sites", ())),
        "`generic_search`": lambda b: m.generic_search(b.model, b.prompts, size=2).score,
        "`targeted_search`": lambda b: m.targeted_search(b.model, b.prompts, size=2).score,
    },
    "Edges and circuits of edges": EDGES,
    "Hypotheses": HYPOTHESES,
    "Attention": {
        "`attention`": _measure("attention", _EVERY),
        "`attention_to`": lambda b: m.attention_to(b.model, b.prompts, _EVERY).values,
        "`attention_to_positions`": _measure("attention_to_positions", "END", ["IO", "S2"]),
        "`attention_scores`": lambda b: m.attention_scores(b.model, b.prompts, _EVERY).softmax(-1).nan_to_num(),
        "`value_weighted_attention`": _measure("value_weighted_attention", _EVERY),
        "`value_weighted_attention` through W_O": _measure("value_weighted_attention", _EVERY, "v_o"),
        "`row_cosines`": lambda b: [m.row_cosines(b.model, b.prompts, _EVERY, of) for of in ("pattern", "z", "z_o")],
        "`attention_rollup`": lambda b: m.attention_rollup(b.model, b.prompts, _EVERY, ["IO", "S2"]).values,
        "`attention_rollout`, `rollout_to`": lambda b: (m.attention_rollout(b.model, b.prompts), m.rollout_to(b.model, b.prompts).values),
        "`attention_change`": lambda b: m.attention_change(b.model, b.prompts).mean_difference.values,
        "`counterfactual_maps`": lambda b: [
            figure.values for maps in m.counterfactual_maps(b.model, b.prompts, "0.1").values() for figure in maps
        ],
        "`attention_view`, `attention_views`": lambda b: [
            list(view.patterns.values())
            for view in (m.attention_view(b.model, b.prompts, "0.1"), *m.attention_views(b.model, b.prompts, "0.1", [0]).figures.values())
        ],
        "`attention_distance`": lambda b: m.attention_distance(b.model, b.prompts).values,
        "`attention_entropy`": lambda b: m.attention_entropy(b.model, b.prompts).values,
        "`word_attention`, `find_words`, `words_of`": lambda b: [side.values for side in m.word_attention(b.model, b.prompts)],
        "`previous_token_scores`": lambda b: m.previous_token_scores(b.model, b.prompts).values,
        "`duplicate_token_scores`": lambda b: m.duplicate_token_scores(b.model, b.prompts).values,
        "`induction_scores`": lambda b: m.induction_scores(b.model, b.prompts).values,
        "`prefix_matching_scores`": lambda b: m.prefix_matching_scores(b.model, b.prompts).values,
        "`retrieval_scores`": lambda b: m.retrieval_scores(b.model, b.prompts, "IO").values,
        "`induction_null_scores`": lambda b: m.induction_null_scores(b.model, b.prompts).values,
        "`induction_reports`": _report,
    },
    "What is written": {
        "`logit_lens`, `logit_lens_map`": lambda b: m.logit_lens(b.model, b.prompts).logit_diff,
        "`fit_tuned_lens`, `load_tuned_lens`": _tuned,
        "`direct_logit_attribution`": lambda b: m.direct_logit_attribution(b.model, b.prompts).head_values,
        "`copying_scores`": lambda b: m.copying_scores(b.model, b.prompts).values,
        "`ov_circuit`": lambda b: m.ov_circuit(b.model, "0.1").entries(),
        "`qk_circuit`": lambda b: m.qk_circuit(b.model, "0.1").entries(),
        "`copying_eigenvalue_scores`": lambda b: m.copying_eigenvalue_scores(b.model),
        "`composition` V": lambda b: m.composition(b.model, "V", "0.1", "1.2", n=2).scores,
        "`composition` Q, K": lambda b: [m.composition(b.model, mode, "0.1", "1.2", n=2).scores for mode in ("Q", "K")],
    },
    "Steering, and from model to model": {
        "`steering_vector`": _vector,
        "`class_vectors`": lambda b: list(m.class_vectors(b.model, b.prompts, _S2, b.prompts.answers.tolist()).values()),
        "`dose_curve`": lambda b: m.dose_curve(b.model, b.prompts, lambda dose: m.Scale(m.heads("0.1"), 1 - dose), [0.0, 0.5, 1.0]).values,
        "`steering_curve`, `steering_curves`": lambda b: m.steering_curve(b.model, b.prompts, _vector(b), _S2, [0.0, 1.0, 2.0]).values,
        "`shuffled_vectors`": lambda b: m.shuffled_vectors(b.model, b.prompts, _S2, 2, 0),
        "`difference_of_means`": lambda b: m.difference_of_means(b.model, b.prompts, _S2).subspace.basis,
        "`probe`": lambda b: m.probe(b.model, b.prompts, _S2, [i % 2 for i in range(len(b.prompts))]).subspace.basis,
        "`das`, `interchange`": _interchange,
        "`subspace_controls`": _subspace_controls,
        "`null_space_split`": _split,
        "`align`, `activations`, `unexplained`": _unexplained,
        "`search_alignment`": _search_alignment,
        "`between_heads`, `functional_patch`": _functional_patch,
        "`shared_vocabulary`, `vocabulary_map`, `translate`": _translate,
        "`reinitialised`": _reinitialised,
    },
    "Text": {"`generate`": _generated},
}
