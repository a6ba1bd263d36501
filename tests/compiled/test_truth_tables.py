"""The engine against models whose circuit is known: every intervention gives what it must give."""

import importlib.util

import numpy as np
import pytest
import torch

from mechcheck import Ablate, Patch, attention, head_patching, heads, induction_scores, previous_token_scores, run, sweep
from mechcheck.base.paths import data_dir
from mechcheck.compiled import (
    Attention,
    Edge,
    Near,
    Row,
    blueprint,
    built_edges,
    compile_weights,
    compiled_models,
    known_circuit,
    known_edges,
    lay_out,
    token_ids,
    truth_table,
)
from mechcheck.conformance.truth_tables import disagreements, measure_row

LOOKALIKES = {"previous_token": "previous_token_lookalike", "induction": "induction_lookalike"}
each_model = pytest.mark.parametrize("name", compiled_models())


@each_model
def test_truth_table(name, compiled):
    model, prompts, circuit = compiled(name)
    assert disagreements(model, prompts, truth_table(name), circuit) == []


@each_model
def test_the_table_says_something_about_every_role(name, compiled):
    _, _, circuit = compiled(name)
    rows = truth_table(name)
    assert {role for row in rows for role in row.roles} == set(circuit)
    assert rows[0].method == "untouched"
    assert len(set(map(str, rows))) == len(rows)
    assert all(row.why and (row.logit_diff or row.prefers_foil or row.attention) for row in rows)


def test_a_wrong_table_is_noticed(compiled):
    model, prompts, circuit = compiled("compiled-negative")
    wrong = Row(("name_mover",), "zero", "a lie", Near(3.0, 0.1), Near(0.0, 0.1), (Attention("name_mover", "END", "S1", Near(0.5, 0.1)),))
    assert [found.agrees for found in measure_row(model, prompts, wrong, circuit)] == [False] * 3
    told = disagreements(model, prompts, [wrong], circuit)
    assert told[1].startswith("zero name_mover: logit difference is -5, must be 3 within 0.1 (a lie)")


@each_model
def test_edges_are_in_the_weights_and_no_others(name):
    """Composition of every pair of heads, exactly zero but where the blueprint has an edge."""
    declared, weights = blueprint(name), compile_weights(blueprint(name), token_ids())
    layout, found = lay_out(declared), set()
    unembedding = weights["lm_head.weight"].T
    for (layer, index), writer in declared.placed:
        rows = slice(index * layout.d_head, (index + 1) * layout.d_head)
        wrote = weights[f"transformer.h.{layer}.attn.c_proj.weight"][rows]
        if (wrote @ unembedding).any():
            found.add((writer.role, "logits", "logits"))
        for (later, other), reader in declared.placed:
            if later > layer:
                reads = weights[f"transformer.h.{later}.attn.c_attn.weight"]
                for i, by in enumerate(("query", "key", "value")):
                    first = i * layout.d_model + other * layout.d_head
                    if (wrote @ reads[:, first : first + layout.d_head]).any():
                        found.add((writer.role, reader.role, by))
    assert found == {edge[:3] for edge in known_edges(name)}


def test_known_edges():
    assert known_edges("compiled-redundant") == {
        Edge("duplicate_token", "s_inhibition_one", "key", "repeated"),
        Edge("duplicate_token", "s_inhibition_two", "key", "repeated"),
        Edge("duplicate_token", "s_inhibition_one", "value", "earlier"),
        Edge("duplicate_token", "s_inhibition_two", "value", "earlier"),
        Edge("s_inhibition_one", "name_mover", "query", "avoid"),
        Edge("s_inhibition_two", "name_mover", "query", "avoid"),
        Edge("name_mover", "logits", "logits", "answer"),
    }
    assert not [edge for edge in known_edges("compiled-ioi") if edge.writer == "previous_token"]


@pytest.mark.parametrize("name", compiled_models())
def test_built_edges_are_the_known_ones_that_lead_to_the_logits(name):
    """Between heads those of `known_edges`, without what nobody reads in the end; the rest is what these heads read of the input."""
    places = {site.place.partition("@")[0]: role for role, sites in known_circuit(name).items() for site in sites}
    named = {"q": "query", "k": "key", "v": "value", "logits": "logits"}
    found = {
        (places[edge.place.partition("->")[0]], places.get(f"{edge.to.layer}.{edge.to.index}", "logits"), named[edge.to.kind])
        for edge in built_edges(name) if edge.kind == "head"
    }  # fmt: skip
    known, reached = {edge[:3] for edge in known_edges(name)}, {"logits"}
    while more := {writer for writer, reader, _ in known if reader in reached} - reached:
        reached |= more
    assert found == {edge for edge in known if edge[1] in reached}
    heads_read = {places[f"{edge.to.layer}.{edge.to.index}"] for edge in built_edges(name) if edge.kind == "resid_pre"}
    assert heads_read == reached - {"logits"}


@pytest.mark.parametrize("method", ["zero", "mean", "resample", "patch"])
def test_distractors_have_no_effect_at_all(method, compiled):
    model, prompts, circuit = compiled("compiled-induction")
    sites = circuit["previous_token_lookalike"] | circuit["induction_lookalike"] | circuit["idle"] | circuit["idle_late"]
    changed = run(model, prompts, Patch(sites) if method == "patch" else Ablate(sites, method))
    np.testing.assert_array_equal(changed.values, run(model, prompts).values)


def test_lookalikes_attend_exactly_alike(compiled):
    model, prompts, circuit = compiled("compiled-induction")
    for role, lookalike in LOOKALIKES.items():
        one, other = (attention(model, prompts, circuit[which]) for which in (role, lookalike))
        assert torch.equal(one, other)
    for scores in (previous_token_scores(model, prompts.reference).mean, induction_scores(model, prompts).mean):
        assert np.array_equal(scores[:, 0], scores[:, 1])
        assert scores.max() > 0.99


def test_ablating_each_head_finds_the_circuit(compiled):
    expected = {
        "compiled-ioi": {(0, 0), (1, 0), (2, 0)},
        "compiled-induction": {(0, 0), (1, 0)},
        "compiled-negative": {(0, 0), (1, 0), (2, 0), (2, 1)},
        "compiled-redundant": {(0, 0), (2, 0)},
    }
    for name, circuit in expected.items():
        model, prompts, _ = compiled(name)
        places = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
        values = sweep(model, prompts, [[], *(Ablate(heads([place])) for place in places)]).mean(1)
        assert {place for place, value in zip(places, values[1:], strict=True) if abs(value - values[0]) > 0.01} == circuit


def test_patching_each_head_finds_both_of_the_redundant_ones(compiled):
    model, prompts, _ = compiled("compiled-redundant")
    moved = np.abs(head_patching(model, prompts).mean - run(model, prompts).mean) > 0.01
    assert {(int(layer), int(head)) for layer, head in np.argwhere(moved)} == {(0, 0), (1, 0), (1, 1), (2, 0)}


@pytest.mark.parametrize(
    ("name", "movers", "inhibition"),
    [
        ("compiled-ioi", "name_mover", ["s_inhibition"]),
        ("compiled-negative", "name_mover", ["s_inhibition"]),
        ("compiled-redundant", "name_mover", ["s_inhibition_one", "s_inhibition_two"]),
    ],
)
def test_discovery_finds_what_was_built(name, movers, inhibition, compiled):
    spec = importlib.util.spec_from_file_location("discover_ioi", data_dir("claims") / "ioi" / "discover.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model, prompts, circuit = compiled(name, split="discover")
    found = script.find_name_movers(model, prompts)
    assert (found.sites, found.met) == (circuit[movers], True)
    found = script.find_s_inhibition(model, prompts, found)
    assert (str(found.sites), found.met) == (" ".join(str(circuit[role]) for role in inhibition), True)
