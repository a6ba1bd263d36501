"""Edges and circuits of edges, applied to a tiny model: rows of the support table."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mechcheck as m
from mechcheck.conformance.support_bench import Bench, Try, sweep


def _estimates(b: Bench) -> Any:
    methods: list[Any] = ["eap", "eap-ig-inputs", "eap-ig-activations", "relp"]
    found = [m.edge_scores(b.model, b.prompts, method, steps=2, sample=2) for method in methods]
    return [one.mean[one.graph.real.numpy()] for one in found]


def _searched(b: Bench) -> Any:
    cut, short = m.Cut(b.model, b.prompts), m.Cut(b.model, b.prompts[:1])  # these two go through all edges one by one
    found = [m.prune_edges(short), m.acdc(short, [1.0]), m.edge_pruning(cut, steps=2), m.information_flow(cut)]
    return [len(one.order) for one in found]  # of equals rounding decides which comes first


def _stable(b: Bench) -> Any:
    cut, scores = m.Cut(b.model, b.prompts), m.edge_scores(b.model, b.prompts, "eap", sample=2)
    found = m.discover_edges(cut, "information-flow", size=3, resamples=0)
    some = [m.edge_stability(scores, 3, resamples=3), m.search_stability(cut, m.information_flow, 3, resamples=3)]
    return len(found.edges), [one.resamples for one in some]


def _in_contexts(b: Bench) -> Any:
    found = m.find_edges(b.model, b.prompts, lesions=m.heads("0.1"), instead=["permute"])
    return found.contexts[-1].effects


def _faithful(b: Bench) -> Any:
    curve = m.faithfulness_curve(b.model, b.prompts, m.edge_scores(b.model, b.prompts), shares=(0.5, 1.0))
    return [m.faithfulness(b.model, b.prompts, m.heads("0.1 1.2"), instead=instead).values for instead in ("zero", "mean")], len(
        curve.edges
    )


def _compared(b: Bench) -> Any:
    few, more = m.edges("0.1->1.1.v 1.2->logits"), m.edges("input->0.1.v 0.1->logits 1.1->logits@END")
    found = m.compare_circuits(b.model, b.prompts, few, more, seen=True, cut_on=b.prompts)
    return found.a.values, found.b.values, found.size, m.circuit_overlap(few, more).edges


def _complete(b: Bench) -> Any:
    cut = m.Cut(b.model, b.prompts)
    return m.completeness(cut, m.heads("0.1 1.2"), subsets=1, greedy=0).worst.gap, len(m.minimality(cut, m.heads("0.1 1.2")))


def _files(b: Bench) -> Any:
    whole = m.graph(b.model)
    with TemporaryDirectory() as folder:
        path = m.write_graph(Path(folder) / "circuit.json", whole, whole.real)
        return m.read_graph(path, n_kv_heads=whole.n_kv_heads).kept.sum()


EDGES: dict[str, Try] = {
    "`edges`, patched, ablated, scaled": sweep(
        m.Patch(m.edges("0.1->1.2.qkv 0.1->logits")), m.Ablate(m.edges("input->0.1.v@S2")), m.Scale(m.edges("mlp0->logits"), 2.0)
    ),
    "`path_patching`": lambda b: m.path_patching(b.model, b.prompts, ["0.1->1.2.q@END->logits"]),
    "`graph`, `edge_scores`": lambda b: m.edge_scores(b.model, b.prompts).mean[m.graph(b.model).real.numpy()],
    "`edge_scores` by EAP, EAP-IG and RelP": _estimates,
    "`prune_edges`, `acdc`, `edge_pruning`, `information_flow`": _searched,
    "`discover_edges`, `edge_stability`, `search_stability`": _stable,
    "`find_edges`": _in_contexts,
    "`faithfulness`, `faithfulness_curve`": _faithful,
    "`compare_circuits`, `circuit_overlap`": _compared,
    "`completeness`, `minimality`": _complete,
    "`circuit_tests`, `random_circuits`": lambda b: len(m.circuit_tests(m.Cut(b.model, b.prompts), m.heads("0.1 1.2"), draws=29)),
    "`write_graph`, `read_graph`": _files,
}
