"""The benchmark of discovery: its AUROC by brute force, its truth, what it counts, and one row as a caller would compute it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import discovery  # noqa: E402

import mechcheck as m  # noqa: E402
from mechcheck.compiled import blueprint, wiring  # noqa: E402
from mechcheck.notation.edges import edges  # noqa: E402


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(drawn):
    scores, true = np.array([score for score, _ in drawn], dtype=float), np.array([is_true for _, is_true in drawn])
    if true.all() or not true.any():
        return
    pairs = [(one > other) + (one == other) / 2 for one in scores[true] for other in scores[~true]]
    assert discovery.auroc(scores, true) == pytest.approx(np.mean(pairs))


def test_a_row_is_what_its_parts_say():
    found = discovery.row("compiled-induction", "exact", 4)
    model = m.load_model("compiled-induction")
    seen, held_out = (m.induction_prompts(model, n=n, seed=0, split=split) for n, split in ((4, "discover"), (8, "verify")))
    scores = m.edge_scores(model, seen)
    true = wiring(blueprint("compiled-induction"))
    pairs = [
        (abs(scores[one].mean) > abs(scores[other].mean) + 2e-5) + (abs(abs(scores[one].mean) - abs(scores[other].mean)) <= 2e-5) / 2
        for one in true for other in scores.graph.edges - true
    ]  # fmt: skip
    assert found["edge_auroc"] == pytest.approx(np.mean(pairs), abs=5e-3)
    assert found["node_auroc"] == 1.0
    assert found["cmd"] == pytest.approx(m.faithfulness_curve(model, held_out, scores).cmd, abs=1e-4)
    assert found["forwards"] == len(scores.graph)


def test_nodes_are_judged_by_their_best_edge():
    """A search that puts one edge of each true node first, and the others last, finds the nodes and not the edges."""
    model = m.load_model("compiled-induction")
    graph = m.graph(model)
    true = graph.mask(wiring(blueprint("compiled-induction")))
    first = graph.mask(edges("0.0->1.0.k 1.0->logits"))
    order = [*first.flatten().nonzero()[:, 0].tolist()]
    order += (graph.real & ~true).flatten().nonzero()[:, 0].tolist() + (true & ~first).flatten().nonzero()[:, 0].tolist()
    found = m.FoundEdges(graph, tuple(order), "made up", (), frozenset())
    nodes, of_edges = discovery.auroc_of([found], wiring(blueprint("compiled-induction")))
    assert nodes == 1.0
    assert of_edges == pytest.approx(2 / 8)


def test_what_is_counted():
    model = m.load_model("compiled-induction")
    cut = m.Cut(model, m.induction_prompts(model, n=4, seed=0, split="discover"))
    for method, runs in {"exact": 75, "eap": 4, "eap-ig-inputs": 17, "relp": 5, "information flow": 1, "random": 0}.items():
        with discovery.counted() as count:
            discovery.METHODS[method](cut)
        assert count == [runs], method


def test_what_was_recorded_keeps_the_promise():
    """On compiled models ours finds what was built; on trained ones nothing lies nearer to the model than ours on held-out prompts."""
    rows = json.loads((discovery.RESULTS / "discovery.json").read_text())["rows"]
    by = {(row["model"], row["method"]): row for row in rows}
    assert set(by) == {(name, method) for name in (*discovery.compiled_models(), *discovery.TRAINED) for method in discovery.METHODS}
    for name in discovery.compiled_models():
        assert by[name, "contexts (ours)"]["node_auroc"] >= 0.99
        assert by[name, "contexts (ours)"]["edge_auroc"] >= 0.98
    for name in discovery.TRAINED:
        assert by[name, "prune (ours)"]["cmd"] <= min(by[name, method]["cmd"] for method in discovery.METHODS)
