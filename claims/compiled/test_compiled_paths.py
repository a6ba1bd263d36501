"""Path patching where every connection is known: it finds those that were built, and no other.

One head writes what it writes with the second subject flipped, while every other head is held as it was. What a later head then
reads as its query, key or value is put into the untouched run, and nothing else: that is one edge of the circuit. With the name
mover silent the same shows the edges of its backup, which otherwise sleeps.
"""

from typing import NamedTuple

import numpy as np
import pytest

from mechcheck import (
    Ablate,
    CircuitEdge,
    CircuitGraph,
    CircuitNode,
    Measurement,
    Patch,
    Put,
    Sites,
    Table,
    all_heads,
    capture,
    claim,
    keys,
    queries,
    resid,
    run,
    sweep,
    values,
)
from mechcheck.compiled import LOGITS, known_circuit, known_edges

GOLDOWSKY_DILL = "Goldowsky-Dill et al. 2023, arXiv:2304.05969"
MODEL = "compiled-ioi"
PROMPTS = 64  # every effect is exactly one thing or the other, so that these show what all would
NONE = 0.001  # a share of the way that is none
READ_AS = {"query": queries, "key": keys, "value": values}
MOVERS = ("name_mover", "backup_name_mover")


class Edge(NamedTuple):
    """What one role writes, as another reads it."""

    writer: str
    reader: str
    by: str


BUILT = {Edge(edge.writer, edge.reader, edge.by) for edge in known_edges(MODEL)}


def edge_effects(model, prompts, circuit, ablated, others):
    """Edge -> the logit difference that is lost by flipping it, with some heads ablated throughout."""
    silence = [Ablate(ablated)] if len(ablated) else []
    roles = {role: sites.at(None) for role, sites in circuit.items() if not len(sites.at(None) - (all_heads(model) - ablated))}
    still = capture(model, prompts, all_heads(model) - ablated, silence)
    variants = {None: silence}
    for writer, own in roles.items():
        flipped = capture(model, prompts.counterfactual, own, silence)
        written = [*silence, Put({**still, **flipped} if others == "held" else flipped)]
        variants[Edge(writer, LOGITS, "logits")] = written
        inputs = {
            Edge(writer, reader, by): kind(sites.pairs)
            for reader, sites in roles.items() if sites.pairs[0][0] > own.pairs[0][0]
            for by, kind in READ_AS.items()
        }  # fmt: skip
        read = capture(model, prompts, Sites(site for sites in inputs.values() for site in sites), written)
        variants |= {edge: [*silence, Put({site: read[site] for site in sites})] for edge, sites in inputs.items()}
    clean, *changed = sweep(model, prompts, list(variants.values()))
    edges = [edge for edge in variants if edge]
    return {edge: Measurement(clean - m, prompts.ids, prompts.templates, "lost", "logits") for edge, m in zip(edges, changed, strict=True)}


def circuit_graph(title, model, circuit, shares):
    """Edges that were built or have an effect; what is read as query, key and value apart."""
    places = {role: str(sites.at(None)) for role, sites in circuit.items()} | {LOGITS: LOGITS}
    nodes = [CircuitNode(places[role], sites.pairs[0][0], role) for role, sites in circuit.items()]
    edges = [
        CircuitEdge(places[edge.writer], places[edge.reader], share, edge.by[0] if edge.by in READ_AS else "")
        for edge, share in shares.items() if edge in BUILT or abs(share) > NONE
    ]  # fmt: skip
    return CircuitGraph(title, [*nodes, CircuitNode(LOGITS, model.cfg.n_layers)], edges, "of the way")


@pytest.mark.parametrize("others", ["held"])
@pytest.mark.parametrize("mover", ["name_mover", "backup_name_mover"])
@claim(
    "What flips the answer runs along the connections that were built, and no other connection has an effect",
    source=GOLDOWSKY_DILL, kind="sufficiency", models=[MODEL], decoy={"others": "free"},
)  # fmt: skip
def test_edges_are_those_that_were_built(model, prompts, check, mover, others):
    """If other heads are free to pass the change on, heads seem connected that are not."""
    circuit, prompts = known_circuit(MODEL), prompts[:PROMPTS]
    ablated = Sites() if mover == "name_mover" else circuit["name_mover"].at(None)
    silence = [Ablate(ablated)] if len(ablated) else []
    way = run(model, prompts, silence) - run(model, prompts, [*silence, Patch(resid(0))])
    effects = edge_effects(model, prompts, circuit, ablated, others)
    for edge in (Edge("duplicate_token", "s_inhibition", "value"), Edge("s_inhibition", mover, "query"), Edge(mover, LOGITS, "logits")):
        check.above(effects[edge] / way, 0.95, f"share of the way by {edge.writer} to {edge.reader} ({edge.by}) > 0.95")
    stray = np.max([abs(effect.values) for edge, effect in effects.items() if edge not in BUILT], axis=0)
    check.below(Measurement(stray, prompts.ids, prompts.templates, "largest effect of a connection that was not built", "logits"), 0.1)
    shares = {edge: (effect / way).mean for edge, effect in effects.items()}
    state = "the backup asleep" if mover == "name_mover" else "the name mover silent"
    check.figure(lambda: circuit_graph(f"The circuit by path patching, {state}", model, circuit, shares))
    shown = {edge: round(share, 4) + 0.0 for edge, share in shares.items() if edge in BUILT or abs(share) > NONE}
    rows = [[*edge, edge in BUILT, share] for edge, share in sorted(shown.items(), key=lambda found: -abs(found[1]))]
    title = f"Connections that were built, or have an effect ({len(shares)} were tried)"
    check.figure(Table(title, ["writes", "reads", "as", "was built", "share of the way"], rows))
