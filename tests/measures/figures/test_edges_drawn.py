"""Edges and paths as figures: their worth, their intervals and their ends are those that were measured."""

import jsonschema
import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.engine.run import run
from mechcheck.evidence.store import schema
from mechcheck.measures.causal.path_patching import path_patching
from mechcheck.measures.figures.edges import edge_graph, path_graph, path_heatmap
from mechcheck.measures.figures.model import CircuitEdge, CircuitGraph
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Sites, heads
from mechcheck.stats.estimates import Confidence, estimate_mean

LENGTHS = (7, 7, 10, 10, 8, 8)
SOME = "input->0.1.qkv 0.1->1.0.v 1.0->logits mlp0->mlp1 0.0->1.1.k@END"


def valid(figure: CircuitGraph) -> dict:
    data = figure.data()
    jsonschema.validate(data, schema()["$defs"]["figure"] | {"$defs": schema()["$defs"]})
    return data["data"]


def test_edges_alone():
    drawn = valid(edge_graph(edges(SOME), roles={"mover": heads("1.0@END")}))
    assert {n["label"]: (n["layer"], n["role"]) for n in drawn["nodes"]} == {
        "0.0": (0, ""), "0.1": (0, ""), "1.0": (1, "mover"), "1.1": (1, ""), "mlp0": (0, ""), "mlp1": (1, ""), "input": (-1, ""),
        "logits": (2, ""),
    }  # fmt: skip
    assert {(e["source"], e["target"], e.get("reads"), e.get("at")) for e in drawn["edges"]} == {
        ("input", "0.1", "q", None), ("input", "0.1", "k", None), ("input", "0.1", "v", None), ("0.1", "1.0", "v", None),
        ("1.0", "logits", None, None), ("mlp0", "mlp1", None, None), ("0.0", "1.1", "k", "END"),
    }  # fmt: skip
    assert {e["weight"] for e in drawn["edges"]} == {1.0}
    assert "level" not in drawn


def test_scores_give_worth_and_intervals(tiny):
    scores = edge_scores(tiny("gpt2"), random_prompts(2, LENGTHS))
    drawn = valid(scores.figure(n=5))
    assert len(drawn["edges"]) == 5
    assert drawn["level"] == pytest.approx(0.95)
    for edge in drawn["edges"]:
        found = estimate_mean(scores["{source}->{target}".format(**edge) + (f".{edge['reads']}" if "reads" in edge else "")], Confidence())
        expected = found.estimate.value, found.estimate.low, found.estimate.high
        assert (edge["weight"], edge["low"], edge["high"]) == pytest.approx(expected, rel=1e-4)
    assert scores._repr_html_() == scores.figure()._repr_html_()
    assert scores.figure("mine").title == "mine"
    assert len(valid(scores.figure(n=10**6))["edges"]) == len(scores.graph)


def test_key_value_heads_are_parts_of_their_own(tiny):
    scores = edge_scores(tiny("llama"), random_prompts(2, LENGTHS))
    assert scores.graph.n_kv_heads < scores.graph.n_heads
    drawn = valid(edge_graph(edges("0.1->1.0.qkv"), scores))
    assert {(e["target"], e["reads"]) for e in drawn["edges"]} == {("1.0", "q"), ("1.kv0", "k"), ("1.kv0", "v")}


def test_paths(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    paths = ["0.1->logits", "0.1->1.0.v->logits", "0.0 -> logits"]
    effects = path_patching(model, prompts, paths) - run(model, prompts).values
    means = effects.mean(1)
    drawn = valid(path_graph(paths, effects, prompts))
    weights = {(e["source"], e["target"], e.get("reads")): e["weight"] for e in drawn["edges"]}
    assert weights == {
        ("0.1", "logits", None): pytest.approx(means[0], rel=1e-4), ("0.1", "1.0", "v"): pytest.approx(means[1], rel=1e-4),
        ("1.0", "logits", None): pytest.approx(means[1], rel=1e-4), ("0.0", "logits", None): pytest.approx(means[2], rel=1e-4),
    }  # fmt: skip
    heat = path_heatmap(paths, effects)
    assert (heat.rows, heat.cols) == (["0.1", "0.0"], ["logits", "1.0.v->logits"])
    np.testing.assert_allclose(heat.values, [[means[0], means[1]], [means[2], np.nan]])


def test_a_path_goes_on_by_the_heads_that_share_a_key(tiny):
    """Of the Llama layout, two heads to a group: heads 2 and 3 read key/value head 1, and the query head 1 does not."""
    model, prompts = tiny("llama"), random_prompts(2, LENGTHS)
    paths = ["0.1->1.1.k->logits", "0.1->1.1.q->logits"]
    effects = path_patching(model, prompts, paths) - run(model, prompts).values
    drawn = valid(path_graph(paths, effects, prompts, whole=graph(model)))
    assert {(e["source"], e["target"], e.get("reads")) for e in drawn["edges"]} == {
        ("0.1", "1.kv1", "k"), ("1.2", "logits", None), ("1.3", "logits", None), ("0.1", "1.1", "q"), ("1.1", "logits", None),
    }  # fmt: skip


def test_an_edge_of_several_paths_has_the_largest_effect(tiny):
    prompts = random_prompts(2, LENGTHS)
    effects = np.array([[1.0] * 6, [-3.0] * 6])
    drawn = valid(path_graph(["0.0->1.0.q->logits", "0.1->1.0.v->logits"], effects, prompts))
    assert {e["source"]: e["weight"] for e in drawn["edges"]} == {"0.0": 1.0, "0.1": -3.0, "1.0": -3.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: edge_graph(Sites()), "needs edges"),
        (lambda p: edge_graph(heads("0.1")), "needs edges"),
        (lambda p: path_graph([], np.zeros((0, 6)), p), "0 paths"),
        (lambda p: path_graph(["0.1->logits"], np.zeros((1, 5)), p), r"\[1 paths, 6 prompts\], got an array of shape \(1, 5\)"),
        (lambda p: path_heatmap(["0.1->logits"], np.zeros(6)), r"got an array of shape \(6,\)"),
        (lambda p: CircuitGraph("g", [("a", 0, ""), ("b", 1, "")], [CircuitEdge("a", "b", 1.0, "o")]), "is read as 'o', not q, k or v"),
    ],
)
def test_refused(call, message):
    with pytest.raises(MechcheckError, match=message):
        call(random_prompts(2, LENGTHS))
