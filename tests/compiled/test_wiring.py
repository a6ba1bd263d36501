"""The true edges of compiled models: by hand, against the roles' connections, and against their weights."""

from dataclasses import replace

import numpy as np
import pytest

from mechcheck import Cut, Sites, graph
from mechcheck.compiled import Blueprint, Head, Match, Move, blueprint, compiled_models, flag, scratch, wiring, words
from mechcheck.notation.edges import edges
from mechcheck.notation.sites import heads

BY_HAND = {
    # 3.0, the backup, reads the answer that 2.0 wrote in its query and in its key; nobody reads 0.1.
    "compiled-ioi": "input->0.0.qkv 0.0->1.0.kv input->1.0.qkv 1.0->2.0.q input->2.0.qkv 1.0->3.0.q 2.0->3.0.q 2.0->3.0.k input->3.0.qkv "
    "2.0->logits 3.0->logits",
    # 0.1 and 1.1 attend as the true ones do, and write nothing.
    "compiled-induction": "input->0.0.qkv 0.0->1.0.k input->1.0.qkv 1.0->logits",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    assert wiring(blueprint(name)) == edges(BY_HAND[name].replace("0.0->1.0.kv", "0.0->1.0.k 0.0->1.0.v"))


@pytest.mark.parametrize("name", compiled_models())
def test_edges_between_heads_are_those_between_their_roles(name):
    declared = blueprint(name)
    kinds = {"q": "query", "k": "key", "v": "value", "logits": "logits"}
    found = set()
    for edge in wiring(declared):
        if edge.kind == "head":
            reader = "logits" if edge.to.kind == "logits" else declared.heads[f"{edge.to.layer}.{edge.to.index}"].role
            found.add((declared.heads[f"{edge.layer}.{edge.index}"].role, reader, kinds[edge.to.kind]))
    roles = {(edge.writer, edge.reader, edge.by) for edge in declared.edges}
    assert found <= roles
    assert {reader for _, reader, _ in roles - found} <= {"induction_lookalike"}  # which reads, and writes nothing


@pytest.mark.parametrize("name", compiled_models())
def test_all_other_edges_together_do_nothing(name, compiled):
    """Cutting every edge that is not wired leaves the model as it is; cutting those that are wired takes all of it."""
    model, prompts, _ = compiled(name)
    whole = graph(model)
    wired = whole.mask(wiring(blueprint(name)))
    for instead in ("counterfactual", "resample"):
        cut = Cut(model, prompts, instead)
        none, full = cut.ends
        kept, rest = cut.values([wired, whole.real & ~wired])
        np.testing.assert_allclose(kept, full, rtol=0, atol=0.01)
        np.testing.assert_allclose(rest, none, rtol=0, atol=0.01)
        assert np.abs(full - none).mean() > 5


def test_what_leads_nowhere_is_not_wired():
    """A head that reads a head that nobody reads; a move that is read in the same layer only; a register of two writers."""
    name = words("name", ["Mary", "John"])
    registers = (name, flag("is_name", ["Mary"]), scratch("lost", 2), scratch("said", 2), scratch("answer", 2), scratch("mark"))
    match = (Match("is_name", "is_name", 5.0),)
    found = wiring(Blueprint("made up", registers, {
        "0.0": Head("one", None, match, (Move("name", "said"), Move("is_name", "mark"))),
        "0.1": Head("other", None, (), (Move("name", "said"),)),
        "1.0": Head("lost", None, (Match("is_name", "mark", 5.0),), (Move("said", "lost"),)),
        "1.1": Head("answers", None, match, (Move("said", "answer"),)),
        "2.0": Head("too late", None, (Match("is_name", "mark", 5.0),), (Move("lost", "lost"),)),
    }, outputs={"answer": "name"}))  # fmt: skip
    assert found == edges("input->0.0.qkv input->0.1.v 0.0-1->1.1.v input->1.1.q input->1.1.k 1.1->logits")
    assert Sites(replace(one, to=None) for one in found) - heads("0.0-1 1.1") == Sites(
        [replace(edges("input->logits").members[0], to=None)]
    )
