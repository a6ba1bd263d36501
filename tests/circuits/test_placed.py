"""Circuits whose edges act at named positions: against hooks that exchange every other position, one at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import SAME_FORWARD, random_prompts

from mechcheck.base.errors import CircuitError, PromptError, SiteError
from mechcheck.circuits.circuit_tests import circuit_tests
from mechcheck.circuits.completeness import completeness, minimality
from mechcheck.circuits.evaluation import Cut, faithfulness
from mechcheck.engine.run import plain_hooks, run
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import loss
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.prompt_set import PromptSet

LENGTHS = (7, 7, 10, 10, 8, 8)
PLACED = "0.1->1.0.v@A mlp0->1.1.k@B 0.0->mlp1@END input->0.1.k@B 0.1->1.0.v@END"
EVERYWHERE = "input->0.0-1.qv input->mlp0 0.0->1.0.q 1.0-1->logits mlp0-1->logits"


def with_other_places(prompts: PromptSet, names: tuple[str, ...]) -> PromptSet:
    """The same prompts; all positions but those are called not_A, not_B, ..."""
    spans = {f"not_{name}": ~prompts.span(name) & prompts.own for name in names}
    both = prompts.span("A") | prompts.span("END")
    spans["not_A_END"] = ~both & prompts.own
    last = {name: torch.tensor([int(row.nonzero()[-1, 0]) for row in where]) for name, where in spans.items()}
    other = prompts.counterfactual
    named = {"positions": {**prompts.positions, **last}, "spans": spans}
    return replace(prompts, **named, counterfactual=None if other is None else replace(other, **named))


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama"])
def test_an_edge_stays_where_it_is_named_and_is_cut_elsewhere(tiny, name):
    """Plain hooks: every edge of the rest is patched everywhere, and each placed edge at all positions but its own."""
    model = tiny(name)
    prompts = with_other_places(random_prompts(2, LENGTHS), ("A", "B", "END"))
    # Grouped queries leave a model of one key/value head.
    circuit = edges(PLACED if name != "llama" else PLACED.replace("1.1.k", "1.0.k").replace("0.1.k", "0.0.k")) | edges(
        EVERYWHERE.replace("0.0-1.qv", "0.0-1.q") if name == "llama" else EVERYWHERE
    )
    whole = graph(model)
    rest = whole.edges - Sites(circuit.at(None))
    placed = [edge for edge in circuit if edge.at is not None]
    twice = [edge for edge in placed if str(edge.to) == "1.0.v"]  # at A and at END
    gone = Sites(replace(edge, at=f"not_{edge.at}") for edge in placed if edge not in twice) | Sites([replace(twice[0], at="not_A_END")])
    with plain_hooks():
        wanted = run(model, prompts, Patch(rest | gone), loss).values
        other = run(model, prompts, Patch(rest), loss).values
    cut = Cut(model, prompts, metric=loss)
    found = cut.values([cut.mask(circuit)])[0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SAME_FORWARD[name])
    assert np.abs(found - other).max() > 1e-3


def test_every_position_by_name_is_every_position(tiny):
    """Two names that share positions, and the rest: kept at each of them an edge is kept."""
    model, prompts = tiny("gpt2"), with_other_places(random_prompts(2, LENGTHS), ("A", "B", "END"))
    cut, plain = Cut(model, prompts), edges(EVERYWHERE + " 0.1->1.0.v")
    split = edges(EVERYWHERE + " 0.1->1.0.v@A 0.1->1.0.v@not_A")
    both = edges(EVERYWHERE + " 0.1->1.0.v@ALL")
    values = cut.values([cut.mask(plain), cut.mask(split), cut.mask(both)])
    np.testing.assert_allclose(values[1:], values[[0, 0]], rtol=0, atol=1e-6)
    assert faithfulness(model, prompts, split).mean == pytest.approx(faithfulness(model, prompts, plain).mean, abs=1e-6)


def test_what_is_read_at_the_end_needs_no_other_position(tiny):
    """Into the logits, which are read at END alone."""
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    every = graph(model).edges
    last = Sites(edge for edge in every if str(edge.to) == "logits")
    assert faithfulness(model, prompts, (every - last) | last.at("END")).mean == pytest.approx(1.0, abs=1e-6)
    assert faithfulness(model, prompts, (every - last) | last.at("A")).mean == pytest.approx(0.0, abs=1e-6)


def test_parts_at_positions_are_taken_out(tiny):
    """Completeness and minimality: the same edges at the same positions out of circuit and model."""
    model, prompts = tiny("gpt2"), with_other_places(random_prompts(2, LENGTHS), ("A", "B", "END"))
    circuit, cut = edges(PLACED + " " + EVERYWHERE), Cut(model, prompts)
    found = completeness(cut, circuit, subsets=6, greedy=0, seed=3)
    for one in found.subsets:
        with plain_hooks():
            model_without = run(model, prompts, Patch(one.parts)).values
        np.testing.assert_allclose(one.model.values, model_without, rtol=0, atol=SAME_FORWARD["gpt2"])
        if len(one.parts) < len(circuit):
            np.testing.assert_allclose(one.circuit.values, cut.values([cut.mask(circuit - one.parts)])[0], rtol=0, atol=1e-6)
    parts = minimality(cut, circuit)
    assert [one.part for one in parts] == list(circuit)
    one = next(part for part in parts if str(part.part) == "0.1->1.0.v@A")
    before = circuit - one.without
    by_hand = cut.values([cut.mask(before)])[0] - cut.values([cut.mask(before - Sites([one.part]))])[0]
    np.testing.assert_allclose(one.change.values, by_hand, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("circuit", "error", "message"),
    [
        (edges("0.1->logits@S2"), PromptError, "no position 'S2'; these prompts have A, B, END"),
        (edges("attn0->logits@END"), SiteError, "no edge of the whole graph"),
        (edges("0.1->logits@END") | heads("0.1"), CircuitError, "has edges and nodes"),
    ],
)
def test_what_has_no_such_positions(tiny, circuit, error, message):
    with pytest.raises(error, match=message):
        faithfulness(tiny("gpt2"), random_prompts(1, LENGTHS), circuit)


def test_random_edges_have_no_positions(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(1, LENGTHS))
    with pytest.raises(CircuitError, match="which act at every position: judge edges at named positions by faithfulness"):
        circuit_tests(cut, edges("0.1->logits@END 0.0->logits"))
