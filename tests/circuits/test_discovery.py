"""Edges by any method: the searches themselves, the size at which they stop, and what is kept of them for a file."""

from typing import get_args

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits import edge_contexts
from mechcheck.circuits.discovery import Discovery, discover_edges, ranked, smallest_faithful
from mechcheck.circuits.edge_methods import information_flow
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.edge_search import prune_edges
from mechcheck.circuits.evaluation import Cut, faithfulness, faithfulness_curve
from mechcheck.circuits.files import load_circuit, write_circuit
from mechcheck.circuits.stability import edge_stability, search_stability
from mechcheck.notation.metrics import logit_diff

LENGTHS = (7, 7, 10, 10)


@pytest.mark.parametrize("method", get_args(Discovery))
def test_every_method_finds_a_circuit_for_a_file(tiny, tmp_path, monkeypatch, method):
    monkeypatch.setattr(edge_contexts, "_PARTS", 0)  # the model as it stands alone: what lesions add is test_edge_contexts' matter
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    cut = Cut(model, prompts)
    done = discover_edges(cut, method, size=12, resamples=None if method == "contexts" else 3)
    assert len(done.edges) == 12
    assert done.edges == done.found.edges(12)
    assert done.found.seen == set(prompts.ids)
    assert (done.scores is None) == (method in ("prune", "acdc", "edge-pruning", "information-flow", "contexts"))
    record = done.record
    assert (record.method, record.instead, record.metric, record.of) == (method, "counterfactual", logit_diff.name, len(cut.graph))
    assert record.faithfulness == pytest.approx(faithfulness(model, prompts, done.edges).mean)
    assert set(record.scores) == {str(edge) for edge in done.edges}
    assert record.cmd == pytest.approx(faithfulness_curve(model, prompts, done.scores or done.found).cmd)
    assert (record.stability is None) == (method == "contexts")  # which costs most, and is searched once unless more is asked for
    if record.stability is not None:
        assert (record.stability.size, record.stability.resamples) == (12, 3)
    path = tmp_path / "tiny.toml"
    write_circuit(path, model, {}, method="x", prompts=prompts, split="discover", edges=done.edges, record=record)
    assert load_circuit(path).edges == done.edges


def test_the_stability_is_that_of_the_search(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(3, LENGTHS))
    eap = discover_edges(cut, "eap", size=9, by="templates", seed=3)
    assert eap.record.stability == edge_stability(eap.scores, 9, by="templates", seed=3)
    flow = discover_edges(cut, "information-flow", size=9, seed=3)
    assert flow.record.stability == search_stability(cut, information_flow, 9, seed=3)
    assert discover_edges(cut, "eap", size=9, resamples=0).record.stability is None


def test_the_smallest_circuit_from_which_on_all_are_faithful(tiny):
    """By hand, over every size: none above it falls out of the margin, and the next smaller one does."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    cut, tried = Cut(model, prompts), set()
    found = prune_edges(cut)
    shares = [faithfulness(model, prompts, found.edges(size)).mean for size in range(1, len(cut.graph) + 1)]
    for faithful in (0.99, 0.9, 0.5):
        size = smallest_faithful(cut, found, faithful)
        good = [abs(1 - share) <= 1 - faithful + 1e-9 for share in shares]
        assert all(good[size - 1 :])
        assert not good[size - 2]
        tried.add(size)
        assert len(discover_edges(cut, "prune", faithful=faithful, resamples=0).edges) == size
    assert len(tried) == 3
    assert len(discover_edges(cut, resamples=0).edges) == smallest_faithful(cut, found, 0.9)


def test_scores_as_circuits_of_every_size(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    scores = edge_scores(model, prompts)
    assert ranked(scores, "top").edges(7) == scores.top(7)
    for assemble in ("greedy", "top"):
        curve = faithfulness_curve(model, prompts, scores, assemble=assemble)
        again = faithfulness_curve(model, prompts, ranked(scores, assemble))
        np.testing.assert_array_equal([one.mean for one in again.faithfulness], [one.mean for one in curve.faithfulness])
        assert again.cmd == curve.cmd


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "prun"}, r"unknown method 'prun'; choose one of prune, exact, .*; did you mean 'prune'\?"),
        ({"size": 5, "faithful": 0.9}, "give one of both"),
        ({"faithful": 1.0}, "faithful=1.0: a share between 0 and 1"),
        ({"size": 0}, "no circuit of 0"),
        ({"size": 1000}, "no circuit of 1000"),
        ({"size": 5, "resamples": 2}, "resamples=2: at least 3"),
    ],
)
def test_what_cannot_be_searched_for(tiny, asked, message):
    with pytest.raises(MechcheckError, match=message):
        discover_edges(Cut(tiny("gpt2"), random_prompts(3, LENGTHS)), **({"method": "eap"} | asked))


def test_where_nothing_depends_on_edges(tiny):
    prompts = random_prompts(3, LENGTHS)
    same = Cut(tiny("gpt2"), prompts, source=prompts)
    with pytest.raises(MechcheckError, match="with every edge cut logit difference is the same on these prompts"):
        discover_edges(same, "eap")
