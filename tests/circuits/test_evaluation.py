"""Circuits against the runs that they stand for, and areas against their formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LAYOUTS, SAME_FORWARD, random_prompts

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.edge_methods import information_flow
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.evaluation import Cut, faithfulness, faithfulness_curve, kept_edges
from mechcheck.engine.run import plain_hooks, run, sweep
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.codes import direction
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import logit_diff, loss
from mechcheck.notation.sites import Sites, heads, mlps, resid

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
@pytest.mark.parametrize("instead", ["counterfactual", "mean", "zero"])
def test_a_circuit_of_heads_is_the_model_with_the_other_heads_ablated(tiny, name, instead):
    model, prompts = tiny(name), random_prompts(2, LENGTHS)
    every = heads(" ".join(f"{layer}.0-{model.cfg.n_heads - 1}" for layer in (0, 1)))
    circuit = heads("0.1 1.0")

    def done(sites: Sites) -> Patch | Ablate:
        return Patch(sites) if instead == "counterfactual" else Ablate(sites, instead)

    with plain_hooks():
        kept, none, whole = sweep(model, prompts, [done(every - circuit), done(graph(model).edges), []])
    found = faithfulness(model, prompts, circuit, instead=instead)
    np.testing.assert_allclose(found.values, kept - none, rtol=0, atol=SAME_FORWARD[name])
    np.testing.assert_allclose(found.denominator, whole - none, rtol=0, atol=SAME_FORWARD[name])
    assert found.mean == pytest.approx((kept - none).sum() / (whole - none).sum(), rel=1e-4)


def test_a_circuit_of_edges_is_the_model_with_the_other_edges_cut(tiny):
    model, prompts = tiny("llama"), random_prompts(2, LENGTHS)
    circuit = edges("input->0.1.qk 0.1->1.0-1.v 1.0->logits mlp0->logits input->0.0.v")
    rest = graph(model).edges - circuit
    with plain_hooks():
        kept = run(model, prompts, Patch(rest), loss).values
    cut = Cut(model, prompts, metric=loss)
    np.testing.assert_allclose(cut.values([kept_edges(cut.graph, circuit)])[0], kept, rtol=0, atol=SAME_FORWARD["llama"])
    as_roles = Circuit({"first": edges("input->0.1.qk input->0.0.v"), "second": edges("0.1->1.0-1.v 1.0->logits mlp0->logits")}, "here")
    np.testing.assert_array_equal(faithfulness(model, prompts, as_roles).values, faithfulness(model, prompts, circuit).values)


def test_the_whole_model_is_faithful_to_itself_and_nothing_is_to_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    assert faithfulness(model, prompts, graph(model).edges).mean == 1.0
    nodes = heads(" ".join(f"{layer}.0-{model.cfg.n_heads - 1}" for layer in (0, 1))) | mlps("0-1")
    assert faithfulness(model, prompts, nodes).mean == 1.0


def test_what_a_circuit_does_not_speak_of_stays(tiny):
    whole = graph(tiny("gpt2"))
    only_heads, with_mlps = kept_edges(whole, heads("0.1")), kept_edges(whole, heads("0.1") | mlps("1"))
    kinds = [site.kind for site in whole.senders]
    rows = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in set(kinds)}
    assert torch.equal(only_heads[:, rows["mlp_out"]], whole.real[:, rows["mlp_out"]])
    assert not with_mlps[:, rows["mlp_out"][0]].any()
    assert torch.equal(with_mlps[:, 0], whole.real[:, 0])
    assert int(only_heads[:, rows["head"]].any(0).sum()) == 1


@pytest.mark.parametrize(
    ("circuit", "why"),
    [
        (edges("0.1->logits") | heads("0.1"), "has edges and nodes"),
        (Sites(), "has no sites"),
        (resid("1"), "resid 1 is no node of the graph"),
        (heads("0.1").within(direction(torch.ones(8))), "is no node of the graph"),
        (heads("7.1"), "head 7.1 is no node of the graph"),
        (edges("0.1->logits 0.1->logits@A"), "0.1->logits@A is there twice"),
        ("0.1->logits", "a circuit is .* not str: '0.1->logits'"),
        ([0.1], "a circuit is .* not list"),
        (torch.ones(2, 2, dtype=torch.bool), "a circuit is .* not Tensor"),
    ],
)
def test_what_is_no_circuit_of_the_graph_is_refused(tiny, circuit, why):
    with pytest.raises(CircuitError, match=why):
        faithfulness(tiny("gpt2"), random_prompts(1, LENGTHS), circuit)


def test_what_is_of_another_models_graph_is_refused(tiny):
    prompts = random_prompts(1, LENGTHS)
    scores = edge_scores(tiny("gpt2"), prompts, "eap")
    for other in ("neox", "llama"):
        with pytest.raises(CircuitError, match="these edges are of another model"):
            faithfulness_curve(tiny(other), prompts, scores)
        with pytest.raises(CircuitError, match="this circuit is of a graph of"):
            Cut(tiny(other), prompts).values([scores.graph.real])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_prompts_that_are_their_own_counterfactual_tell_nothing(tiny, name, dtype):
    """Then a cut edge carries what it does, and the difference is none: no share of what rounding makes of it."""
    prompts = random_prompts(1, LENGTHS)
    cut = Cut(tiny(name, dtype=dtype), prompts, source=replace(prompts, counterfactual=None))
    none, whole = cut.ends
    np.testing.assert_array_equal(none, whole)
    (some,) = cut.values([cut.mask(edges("0.1->logits input->1.0.k"))])
    np.testing.assert_array_equal(some, whole)


def test_areas_are_trapezoids(tiny):
    model, prompts = tiny("neox"), random_prompts(5, LENGTHS, per_template=1)
    scores = edge_scores(model, prompts, "eap")
    shares = (0.1, 0.4, 1.0)
    curve = faithfulness_curve(model, prompts, scores, shares=shares, assemble="top")
    n = len(scores.graph)
    assert curve.edges == tuple(round(share * n) for share in shares)
    by_hand = [faithfulness(model, prompts, scores.top(count)).mean for count in curve.edges]
    np.testing.assert_allclose([one.mean for one in curve.faithfulness], by_hand, rtol=0, atol=1e-9)
    a, b, c = by_hand
    assert curve.cpr == pytest.approx(0.3 * (a + b) / 2 + 0.6 * (b + c) / 2)
    assert curve.cmd == pytest.approx(0.3 * (abs(1 - a) + abs(1 - b)) / 2 + 0.6 * (abs(1 - b) + abs(1 - c)) / 2)
    assert curve.cmd_interval[0] <= curve.cmd <= curve.cmd_interval[1]
    assert curve.outside == tuple(share for share, f in zip(shares, by_hand, strict=True) if f < 0 or f > 1 + 1e-6)
    for wrong in ((), (0.0, 1.0), (0.5, 0.1), (0.5, 1.5)):
        with pytest.raises(MechcheckError, match="shares of all edges rise"):
            faithfulness_curve(model, prompts, scores, shares=wrong)


def test_a_search_brings_its_own_circuits(tiny):
    model, prompts = tiny("neox"), random_prompts(5, LENGTHS)
    found = information_flow(Cut(model, prompts))
    curve = faithfulness_curve(model, prompts, found, shares=(0.2, 0.6))
    by_hand = [faithfulness(model, prompts, found.edges(count)).mean for count in curve.edges]
    np.testing.assert_allclose([one.mean for one in curve.faithfulness], by_hand, rtol=0, atol=1e-9)


def test_worse_than_nothing_is_told(tiny):
    """Where a part of the model does more than the whole, the curve says at which sizes."""
    model, prompts = tiny("gpt2"), random_prompts(9, LENGTHS)
    scores = edge_scores(model, prompts)
    curve = faithfulness_curve(model, prompts, scores, assemble="top", metric=logit_diff)
    outside = [share for share, one in zip(curve.shares, curve.faithfulness, strict=True) if not 0 <= round(one.mean, 6) <= 1]
    assert list(curve.outside) == outside
    assert outside
