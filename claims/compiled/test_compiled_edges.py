"""Edges where all of them are known: what was built is faithful and complete, one edge less is not, nor is a random circuit.

The circuit is everything that heads were built to read, as far as it leads to the logits (`built_edges`). Some of it says the same on a
prompt and on its counterfactual, so that it is not missed there: minimality is no claim about what was built.
"""

import pytest

from mechcheck import (
    Cut,
    Measurement,
    Patch,
    Sites,
    claim,
    completeness,
    edge_graph,
    minimality,
    path_graph,
    path_heatmap,
    path_patching,
    provenance,
    random_sites,
    resid,
    run,
)
from mechcheck.compiled import built_edges, known_circuit

WANG, SHI = "Wang et al. 2022, arXiv:2211.00593", "Shi et al. 2024, arXiv:2410.13032"
MODELS = ["compiled-induction", "compiled-ioi", "compiled-negative", "compiled-redundant"]
PROMPTS = 12  # effects are exactly one thing or the other, so that these show what all would
MARGIN = 0.05
OTHERWISE = [{"circuit_of": "all but one"}, {"circuit_of": "random edges"}]


def chosen(model, circuit_of):
    """What was built, or something else: without the answer's way into the logits, or as many other edges."""
    built = built_edges(provenance(model).name)
    if circuit_of == "random edges":
        return random_sites(model, built, outside=built, n=1, seed=0)[0]
    return built - Sites([next(edge for edge in built if str(edge.to) == "logits")] if circuit_of == "all but one" else [])


@pytest.mark.parametrize("circuit_of", ["all that was built"])
@claim(
    "The edges that were built alone do what the model does",
    source=WANG, kind="sufficiency", models=MODELS, decoy=OTHERWISE,
)  # fmt: skip
def test_built_edges_are_faithful(model, prompts, check, circuit_of):
    edges, prompts = chosen(model, circuit_of), prompts[:PROMPTS]
    check.faithful(edges, prompts, margin=MARGIN)
    title = "What each edge that was built is worth"
    check.figure(lambda: edge_graph(edges, worth_of(model, prompts, edges), title=title, roles=roles_of(model)))


def worth_of(model, prompts, edges):
    """What each edge is worth, alone or where its like are gone."""
    return {one.part: one.change for one in minimality(Cut(model, prompts), edges)}


def roles_of(model):
    """Role -> its heads."""
    return known_circuit(provenance(model).name).roles


@pytest.mark.parametrize("circuit_of", ["all that was built"])
@claim(
    "Whatever is taken out of the built edges and out of the model, both take it alike",
    source=WANG, kind="necessity", models=MODELS, decoy=OTHERWISE,
)  # fmt: skip
def test_built_edges_are_complete(model, prompts, check, circuit_of):
    cut = Cut(model, prompts[:PROMPTS])
    none, whole = cut.ends
    way = cut.measured(whole, "model") - cut.measured(none, "all cut")
    worst = completeness(cut, chosen(model, circuit_of), subsets=8, greedy=0).worst
    check.equivalent((worst.circuit - worst.model) / way, MARGIN, label=f"largest gap of 8 sets taken out, as a share < {MARGIN}")


@pytest.mark.parametrize("circuit_of", ["all that was built"])
@claim(
    "The edges that were built are nearer to the model than random circuits of their size",
    source=SHI, kind="specificity", models=["compiled-induction", "compiled-redundant"], decoy={"circuit_of": "random edges"},
)  # fmt: skip
def test_built_edges_beat_random_circuits(model, prompts, check, circuit_of):
    check.beats_random_circuits(chosen(model, circuit_of), prompts[:PROMPTS], n=40)


@pytest.mark.parametrize("path", ["0.0->1.0.v->2.0.q->logits"])
@claim(
    "What flips the answer runs along one path: the name that stood before, to the S-inhibition head's value, to the mover's query",
    source=WANG, kind="structure", models=["compiled-ioi"],
    decoy=[{"path": "0.0->1.0.k->2.0.q->logits"}, {"path": "0.0->1.0.v->3.0.q->logits"}],
)  # fmt: skip
def test_the_built_path_carries_the_answer(model, prompts, check, path):
    prompts = prompts[:PROMPTS]
    clean, flipped = run(model, prompts), run(model, prompts, Patch(resid(0)))
    paths = list(dict.fromkeys([path, "0.0->1.0.v->2.0.q->logits", "0.0->1.0.k->2.0.q->logits", "0.1->1.0.v->2.0.q->logits"]))
    effects = path_patching(model, prompts, paths) - clean.values
    along = Measurement(effects[0], prompts.ids, prompts.templates, f"effect of {path}", "logits")
    check.above(along / (flipped - clean), 0.95, f"share of the way along {path} > 0.95")
    check.figure(lambda: path_graph(paths, effects, prompts, title="What runs along each path", roles=roles_of(model)))
    check.figure(lambda: path_heatmap(paths, effects, title="What runs along each path"))
