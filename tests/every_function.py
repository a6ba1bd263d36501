"""A call of every public function that takes a model, for models and prompts of any shape."""

import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

import mechcheck as m


class Bench(NamedTuple):
    """What the functions are called with. The prompts have positions A and END, a counterfactual and a reference."""

    model: Any
    prompts: m.PromptSet
    layers: int
    heads: int

    @property
    def every(self) -> m.Sites:
        """All heads."""
        return m.heads(f"0-{self.layers - 1}.0-{self.heads - 1}")

    @property
    def last(self) -> str:
        """The last head."""
        return f"{self.layers - 1}.{self.heads - 1}"

    @property
    def stream(self) -> m.Sites:
        """The last layer's stream, where it enters."""
        return m.resid(f"{self.layers - 1}@END")


def _pair(b: Bench) -> tuple:
    return b.model, b.model, (b.prompts, b.prompts)


def _map(b: Bench) -> Any:
    return m.align(*_pair(b), (b.stream, b.stream), ridge=0.1)


def _shared(b: Bench) -> Any:
    return m.shared_vocabulary(b.model, b.model, b.prompts)


def _lens(b: Bench) -> Any:
    with TemporaryDirectory() as folder:
        m.fit_tuned_lens(b.model, b.prompts, steps=1).save(Path(folder) / "lens.safetensors")
        again = m.load_tuned_lens(Path(folder) / "lens.safetensors", b.model)
    return m.logit_lens(b.model, b.prompts, lens=again).kl


def _between(b: Bench) -> Any:
    head = m.heads(b.last, at="END")
    across = m.between_heads(_map(b), b.model, b.prompts, head, b.model, b.prompts, head)
    return m.run(b.model, b.prompts, m.functional_patch(b.model, b.prompts, head, across, head)).values


def _vector(b: Bench) -> torch.Tensor:
    return m.steering_vector(b.model, b.prompts, b.stream, "reference")


def _dictionary(b: Bench) -> m.Dictionary:
    some = torch.eye(getattr(getattr(b.model, "cfg", None), "d_model", 4))[:3]  # some calls are made with what is no model
    return m.Dictionary(some.T, some, f"blocks.{b.layers - 1}.hook_resid_pre")


def _halves(b: Bench) -> tuple[m.PromptSet, m.PromptSet]:
    """Prompts to fit on, and others."""
    half = (len(b.prompts) + 1) // 2
    return b.prompts[:half], b.prompts[half:]


def _searched(b: Bench, site: m.Sites) -> Any:
    return m.das(b.model, _halves(b)[0], site, epochs=1)


def _split(b: Bench) -> Any:
    return m.null_space_split(b.model, _halves(b)[1], _searched(b, m.heads("0.0@A")).sites).by_row.shift.values


def _written(b: Bench) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.toml"
        roles = {"mover": m.Role(m.heads(b.last), "is the last", True, "it is")}
        m.write_circuit(path, b.model, roles, method="by hand", prompts=b.prompts, split="verify")
        return path.read_text()


def _scrubbed(b: Bench) -> Any:
    hypothesis = m.Node(reads=[m.Node(f"{b.last}->logits", reads=[m.Node(f"input->{b.last}.q", "A")])])
    decoys = m.hypothesis_decoys(b.model, b.prompts, hypothesis, n=1)
    return [m.causal_scrubbing(b.model, b.prompts, one, draws=2).scrubbed.values for one in (hypothesis, *decoys.random)]


def _abstracted(b: Bench) -> Any:
    found = m.causal_abstraction(b.model, b.prompts, lambda prompt, let: let("token", prompt["A"]), {"token": m.heads(b.last, at="END")})
    return [found.error.values, found.accuracy.values]


_VARIANTS: dict[str, Callable[[Bench], Any]] = {
    "zero": lambda b: m.Ablate(b.every, "zero"),
    "mean": lambda b: m.Ablate(m.heads(b.last, at="END"), "mean"),
    "resample": lambda b: m.Ablate(m.heads(b.last), "resample"),
    "patch": lambda b: m.Patch(b.stream),
    "queries": lambda b: m.Patch(m.queries("0.0")),
    "keys": lambda b: m.Patch(m.keys("0.0")),
    "values": lambda b: m.Ablate(m.values("0.0"), "zero"),
    "attn_outs": lambda b: m.Patch(m.attn_outs("0")),
    "mlps": lambda b: m.Ablate(m.mlps("0@END"), "zero"),
    "neurons": lambda b: m.Scale(m.neurons("0.0-3"), 2.0),
    "mlp_hidden": lambda b: m.Patch(m.mlp_hidden("0@A")),
    "resid_post": lambda b: m.Patch(m.resid_post("0")),
    "steer": lambda b: m.Steer(_vector(b), b.stream),
    "sparsify": lambda b: m.Sparsify(m.heads(b.last), 0.1),
    "permute": lambda b: m.Permute(m.heads(b.last)),
    "features": lambda b: m.Scale(m.features(_dictionary(b), "0-2"), 2.0),
    "error": lambda b: m.Ablate(m.reconstruction_error(_dictionary(b), at="END")),
    "put": lambda b: m.Put(m.capture(b.model, b.prompts, m.heads(b.last, at="END"))),
}

CALLS: dict[str, Callable[[Bench], Any]] = {
    **{f"sweep {name}": lambda b, of=of: m.sweep(b.model, b.prompts, [of(b), []]) for name, of in _VARIANTS.items()},
    "run": lambda b: m.run(b.model, b.prompts).values,
    "sweep_metrics": lambda b: m.sweep_metrics(
        b.model, b.prompts, [[], m.Ablate(b.every)], [m.logit_diff, m.kl_divergence, m.entropy, m.rank, m.correct, m.top_overlap(5)]
    ),
    "capture": lambda b: list(m.capture(b.model, b.prompts, b.every | m.neurons("0.1") | b.stream).values()),
    "gradients": lambda b: list(m.gradients(b.model, b.prompts, b.every | m.patterns("0.0") | b.stream).values()),
    "Effect": lambda b: m.Effect(b.model, b.prompts, lambda sites: m.Ablate(sites, "zero"))(m.heads(b.last)).values,
    "ablation_effects": lambda b: [found.values for found in m.ablation_effects(b.model, b.prompts).values()],
    "all_heads": lambda b: [len(m.all_heads(b.model))],
    "sparsified_to": lambda b: m.run(b.model, b.prompts, m.sparsified_to(b.model, b.prompts, 0.5)(m.heads(b.last))).values,
    "find_backups": lambda b: len(getattr(m.find_backups(b.model, b.prompts, m.heads(b.last)), "sites", ())),
    "interaction": lambda b: m.interaction(b.model, b.prompts, m.heads("0.0"), m.heads(b.last)).values,
    "gate": lambda b: m.gate(b.model, b.prompts, m.heads("0.0@END"), m.heads(f"{b.last}@END")).denoised.both.values,
    "interactions": lambda b: m.interactions(b.model, b.prompts, b.every).effects,
    "generic_search": lambda b: m.generic_search(b.model, b.prompts, size=1).score,
    "targeted_search": lambda b: m.targeted_search(b.model, b.prompts, size=1).score,
    "random_sites": lambda b: [len(m.random_sites(b.model, m.heads("0.0"), outside=m.heads("0.0"), n=1, seed=0))],
    "head_patching": lambda b: m.head_patching(b.model, b.prompts, positions="END").values,
    "residual_patching": lambda b: m.residual_patching(b.model, b.prompts, "END"),
    "attention": lambda b: m.attention(b.model, b.prompts, b.every),
    "attention_to": lambda b: m.attention_to(b.model, b.prompts, b.every, key="A").values,
    "attention_to_positions": lambda b: m.attention_to_positions(b.model, b.prompts, "END", "A"),
    "attention_scores": lambda b: m.attention_scores(b.model, b.prompts, b.every).softmax(-1).nan_to_num(),
    "value_weighted_attention": lambda b: [m.value_weighted_attention(b.model, b.prompts, b.every, of) for of in ("v", "v_o")],
    "row_cosines": lambda b: [m.row_cosines(b.model, b.prompts, b.every, of) for of in ("pattern", "z", "z_o")],
    "attention_rollup": lambda b: m.attention_rollup(b.model, b.prompts, b.every, "A").values,
    "attention_rollout": lambda b: m.attention_rollout(b.model, b.prompts),
    "rollout_to": lambda b: m.rollout_to(b.model, b.prompts, key="A").values,
    "attention_change": lambda b: m.attention_change(b.model, b.prompts).mean_difference.values,
    "counterfactual_maps": lambda b: [f.values for maps in m.counterfactual_maps(b.model, b.prompts, b.last).values() for f in maps],
    "attention_view": lambda b: list(m.attention_view(b.model, b.prompts, b.last).patterns.values()),
    "attention_views": lambda b: list(m.attention_views(b.model, b.prompts, b.last, [0]).figures["prompt 0"].patterns.values()),
    "attention_distance": lambda b: m.attention_distance(b.model, b.prompts).values,
    "attention_entropy": lambda b: m.attention_entropy(b.model, b.prompts).values,
    "word_attention": lambda b: [side.values for side in m.word_attention(b.model, b.prompts, ["Mary"])],
    "find_words": lambda b: [len(m.find_words(b.model, b.prompts, ["Mary"]))],
    "words_of": lambda b: [len(m.words_of(b.model, b.prompts))],
    "previous_token_scores": lambda b: m.previous_token_scores(b.model, b.prompts).values,
    "duplicate_token_scores": lambda b: m.duplicate_token_scores(b.model, b.prompts).values,
    "induction_scores": lambda b: m.induction_scores(b.model, b.prompts).values,
    "prefix_matching_scores": lambda b: m.prefix_matching_scores(b.model, b.prompts).values,
    "retrieval_scores": lambda b: m.retrieval_scores(b.model, b.prompts, "A").values,
    "induction_null_scores": lambda b: m.induction_null_scores(b.model, b.prompts).values,
    "induction_reports": lambda b: [found.attention for found in m.induction_reports(b.model, "Mary and John and Mary", 0.5)],
    "logit_lens": lambda b: m.logit_lens(b.model, b.prompts).logit_diff,
    "logit_lens_map": lambda b: m.logit_lens_map(b.model, b.prompts).kl,
    "fit_tuned_lens": _lens,
    "load_tuned_lens": _lens,
    "direct_logit_attribution": lambda b: m.direct_logit_attribution(b.model, b.prompts).head_values,
    "copying_scores": lambda b: m.copying_scores(b.model, b.prompts, at="A").values,
    "ov_circuit": lambda b: m.ov_circuit(b.model, b.last).entries(),
    "qk_circuit": lambda b: m.qk_circuit(b.model, b.last).entries(),
    "copying_eigenvalue_scores": lambda b: m.copying_eigenvalue_scores(b.model),
    "composition Q": lambda b: _composition(b, "Q"),
    "composition K": lambda b: _composition(b, "K"),
    "composition V": lambda b: _composition(b, "V"),
    "steering_vector": _vector,
    "class_vectors": lambda b: list(m.class_vectors(b.model, b.prompts, b.stream, list("xyxyxy")[: len(b.prompts)]).values()),
    "dose_curve": lambda b: m.dose_curve(b.model, b.prompts, lambda dose: m.Scale(b.every, 1 - dose), [0.0, 0.5, 1.0]).values,
    "steering_curve": lambda b: m.steering_curve(b.model, b.prompts, _vector(b), b.stream, [0.0, 1.0, 2.0]).values,
    "steering_curves": lambda b: [c.values for c in m.steering_curves(b.model, b.prompts, [_vector(b)], b.stream, [0.0, 1.0, 2.0])],
    "shuffled_vectors": lambda b: m.shuffled_vectors(b.model, b.prompts, b.stream, 2, 0, "reference"),
    "graph": lambda b: len(m.graph(b.model)),
    "path_patching": lambda b: m.path_patching(b.model, b.prompts, [f"input->{b.last}.q@END->logits"]),
    "edge_scores": lambda b: [
        m.edge_scores(b.model, b.prompts, one, steps=2, sample=2)["input->logits"].values for one in ("exact", "eap")
    ],
    "find_edges": lambda b: m.find_edges(b.model, b.prompts, lesions=m.heads(b.last), instead=["zero", "permute"]).scores,
    "faithfulness": lambda b: m.faithfulness(b.model, b.prompts, b.every).values,
    "compare_circuits": lambda b: m.compare_circuits(b.model, b.prompts, b.every, m.heads(f"{b.last}")).a.values,
    "faithfulness_curve": lambda b: len(m.faithfulness_curve(b.model, b.prompts, m.edge_scores(b.model, b.prompts), shares=(1.0,)).edges),
    "causal_scrubbing": _scrubbed,
    "hypothesis_decoys": _scrubbed,
    "causal_abstraction": _abstracted,
    "generate": lambda b: m.generate(b.model, b.prompts, m.Ablate(b.every, "zero"), new_tokens=2).lengths,
    "difference_of_means": lambda b: m.difference_of_means(b.model, b.prompts, b.stream, source=b.prompts.reference).subspace.basis,
    "probe": lambda b: m.probe(b.model, b.prompts, b.stream, list("xyxyxy")[: len(b.prompts)]).subspace.basis,
    "das": lambda b: _searched(b, b.stream).subspace.basis,
    "interchange": lambda b: m.interchange(b.model, _halves(b)[1], _searched(b, b.stream).sites).shift.values,
    "null_space_split": _split,
    "subspace_controls": lambda b: [
        one.shift.values for some in m.subspace_controls(b.model, _halves(b)[1], _searched(b, b.stream), n=2).named.values() for one in some
    ],
    "activations": lambda b: m.activations(b.model, b.prompts, b.stream),
    "align": lambda b: _map(b).weight,
    "search_alignment": lambda b: [f.score for f in m.search_alignment(*_pair(b), [b.stream], [b.stream], [0.1], lambda *_: 0.5)],
    "between_heads": _between,
    "functional_patch": _between,
    "shared_vocabulary": lambda b: _shared(b).ids_from,
    "vocabulary_map": lambda b: m.vocabulary_map(b.model, b.model, _shared(b)).weight,
    "translate": lambda b: m.translate(*_pair(b), b.stream, m.vocabulary_map(b.model, b.model, _shared(b)), _shared(b)).kl().values,
    "provenance": lambda b: [m.provenance(b.model).n_params],
    "reinitialised": lambda b: m.run(m.reinitialised(b.model, 1), b.prompts).values,
    "repeated_tokens": lambda b: m.repeated_tokens(b.model, n=2, length=3, seed=0).tokens,
    "task_prompts": lambda b: m.task_prompts("induction", b.model, n=2, seed=0).tokens,
    "ioi_prompts": lambda b: m.ioi_prompts(b.model, n=2, seed=0).tokens,
    "induction_prompts": lambda b: m.induction_prompts(b.model, n=2, seed=0).tokens,
    "gendered_pronoun_prompts": lambda b: m.gendered_pronoun_prompts(b.model, n=2, seed=0).tokens,
    "greater_than_prompts": lambda b: m.greater_than_prompts(b.model, n=2, seed=0).tokens,
    "in_context_prompts": lambda b: m.in_context_prompts(b.model, n=2, seed=0).tokens,
    "docstring_prompts": lambda b: m.docstring_prompts(b.model, n=2, seed=0).tokens,
    "successor_prompts": lambda b: m.successor_prompts(b.model, n=2, seed=0).tokens,
    "retrieval_prompts": lambda b: m.retrieval_prompts(b.model, n=2, seed=0).tokens,
    "tag_question_prompts": lambda b: m.tag_question_prompts(b.model, n=2, seed=0).tokens,
    "negation_prompts": lambda b: m.negation_prompts(b.model, n=2, seed=0).tokens,
    "agreement_prompts": lambda b: m.agreement_prompts(b.model, n=2, seed=0).tokens,
    "loss_recovered": lambda b: m.loss_recovered(b.model, b.prompts, _dictionary(b)).kl_removed.values,
    "later_years": lambda b: m.run(b.model, b.prompts, metric=m.later_years(b.model)).values,
    "cutoff_sharpness": lambda b: m.run(b.model, b.prompts, metric=m.cutoff_sharpness(b.model)).values,
    "write_circuit": _written,
}


def _composition(b: Bench, mode: str) -> Any:
    return m.composition(b.model, mode, f"0.0-{b.heads - 1}", f"{b.layers - 1}.0-{b.heads - 1}", n=3).scores


def of_a_model() -> set[str]:
    """The public functions that take a model."""
    found = set()
    for name in dir(m):
        public = getattr(m, name)
        if inspect.isfunction(public) and name not in ("claim", "keep_model"):
            found |= {name} if {"model", "model_from"} & set(inspect.signature(public).parameters) else set()
    return found
