"""Tests of circuits on made-up numbers whose truth is known, and on models."""

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.circuit_tests import circuit_tests, equivalence, independence, random_circuits
from mechcheck.circuits.completeness import completeness, minimality
from mechcheck.circuits.edge_search import prune_edges
from mechcheck.circuits.evaluation import Cut
from mechcheck.engine.run import sweep
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Patch
from mechcheck.notation.sites import Sites, heads

LENGTHS = (7, 7, 10, 10, 8, 8)


def test_what_is_the_same_is_equivalent_and_what_is_ahead_is_not():
    assert equivalence(np.zeros(100), 0.05, 0.1).passed
    assert not equivalence(np.ones(100), 0.05, 0.1).passed
    assert not equivalence(np.zeros(10), 0.05, 0.1).passed  # too few to tell
    half = np.where(np.arange(400) % 2, 1.0, -1.0)
    found = equivalence(half, 0.05, 0.1)
    assert found.passed
    assert found.statistic == 0.5
    assert found.p == pytest.approx(2.3e-5, rel=0.5)  # P(200 or more of 400, at .4)


def test_equivalence_keeps_its_level():
    """At the margin itself it passes one time in twenty, at most."""
    rng = np.random.default_rng(0)
    passed = [equivalence(np.where(rng.random(200) < 0.6, 1.0, -1.0), 0.05, 0.1).passed for _ in range(1000)]
    assert 0.01 < np.mean(passed) < 0.065


def test_independence_keeps_its_level_and_sees_what_is_there():
    rng = np.random.default_rng(0)
    rejected = [not independence(rng.normal(size=40), rng.normal(size=40), 0.1, 99, seed).passed for seed in range(200)]
    assert 0.05 < np.mean(rejected) < 0.16
    x = rng.normal(size=60)
    assert not independence(x**2, x, 0.05, 199, 0).passed  # no correlation, and yet not independent
    assert independence(x, x, 0.05, 199, 0).p == 1 / 200  # never 0: the order that was found is one of 200


def test_random_circuits_are_uniform(tiny):
    """Each edge is as likely as any other, and each circuit has its size."""
    whole = graph(tiny("gpt2"))
    drawn = torch.stack(random_circuits(whole, 10, 1000, 0))
    assert (drawn.sum((1, 2)) == 10).all()
    share = drawn.float().mean(0)[whole.real]
    expected = 10 / len(whole)
    assert not drawn[:, ~whole.real].any()
    assert float((share - expected).abs().max()) < 5 * (expected / 1000) ** 0.5
    with pytest.raises(MechcheckError, match="no circuit of 0"):
        random_circuits(whole, 0, 1, 0)


def test_a_good_circuit_and_a_bad_one(tiny):
    """What pruning leaves beats random circuits of its size; a random one does not."""
    cut = Cut(tiny("gpt2"), random_prompts(3, (8,) * 12))
    good = prune_edges(cut).edges(25)
    by_name = {one.name: one for one in circuit_tests(cut, good)}
    assert by_name["sufficiency"].passed
    assert by_name["sufficiency"].statistic > 0.9
    (mask,) = random_circuits(cut.graph, 25, 1, 5)
    bad = {one.name: one for one in circuit_tests(cut, cut.graph.chosen(mask))}
    assert not bad["sufficiency"].passed
    assert not bad["minimality"].passed
    assert "edges are not told from random ones" in bad["minimality"].says


def test_the_whole_model_is_equivalent_to_itself_and_nothing_is_random_beside_it(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(3, (8,) * 120))
    by_name = {one.name: one for one in circuit_tests(cut, cut.graph.edges)}
    assert by_name["equivalence"].passed
    assert "nothing random" in by_name["sufficiency"].says
    assert not by_name["sufficiency"].passed


def test_too_few_draws_are_refused(tiny):
    with pytest.raises(MechcheckError, match=r"20 draws cannot tell a probability above 0\.9 .*29 or more can"):
        circuit_tests(Cut(tiny("gpt2"), random_prompts(3, LENGTHS)), heads("0.1"), draws=20)


def test_completeness_takes_the_same_out_of_both(tiny):
    model, prompts = tiny("gpt2"), random_prompts(4, LENGTHS)
    cut, circuit = Cut(model, prompts), heads("0.0 0.1 1.0")
    found = completeness(cut, circuit, subsets=6, greedy=1)
    gaps = [one.gap for one in found.subsets]
    assert gaps == sorted(gaps, reverse=True)
    assert found.worst.gap == gaps[0]
    assert {one.how for one in found.subsets} == {"random", "greedy"}
    others = heads("0.0-2 1.0-2") - circuit
    for one in found.subsets:
        right = sweep(model, prompts, [Patch(others | one.parts), Patch(one.parts)])
        np.testing.assert_allclose([one.circuit.values, one.model.values], right, rtol=0, atol=1e-9)
    assert completeness(cut, circuit, subsets=6, greedy=1).worst.parts == found.worst.parts


def test_minimality_is_told_part_by_part(tiny):
    model, prompts = tiny("gpt2"), random_prompts(4, (8,) * 12)
    cut = Cut(model, prompts)
    circuit = Circuit({"a": heads("0.0 0.1"), "b": heads("1.0")}, "here")
    found = {str(one.part): one for one in minimality(cut, circuit)}
    assert set(found) == {"0.0", "0.1", "1.0"}
    rest = heads("0.0-2 1.0-2") - circuit.sites
    kept, alone = sweep(model, prompts, [Patch(rest), Patch(rest | heads("1.0"))])
    np.testing.assert_allclose(found["1.0"].change.values, kept - alone, rtol=0, atol=1e-9)
    assert len(found["1.0"].without) == 0
    without, both = sweep(model, prompts, [Patch(rest | heads("0.1")), Patch(rest | heads("0.0 0.1"))])
    candidates = [kept - sweep(model, prompts, [Patch(rest | heads("0.0"))])[0], without - both]
    largest = max(candidates, key=lambda some: abs(some.mean()))
    np.testing.assert_allclose(found["0.0"].change.values, largest, rtol=0, atol=1e-9)


def test_an_edge_nobody_needs_is_told(tiny):
    """An edge into an MLP that the circuit does not hear changes nothing."""
    cut = Cut(tiny("gpt2"), random_prompts(4, (8,) * 12))
    found = {str(one.part): one for one in minimality(cut, edges("input->logits input->mlp0 1.0->logits"))}
    assert found["input->mlp0"].p_adjusted == 1.0
    assert np.abs(found["input->mlp0"].change.values).max() < 1e-12
    assert np.abs(found["input->logits"].change.values).min() > 0.01


def test_one_part_has_nothing_to_take_out(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(4, LENGTHS))
    for ask in (completeness, minimality):
        with pytest.raises(CircuitError, match="a circuit of 1 part has nothing to take out"):
            ask(cut, Sites(heads("0.1")))
