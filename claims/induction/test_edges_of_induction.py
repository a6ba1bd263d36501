"""Circuits of edges: what was found on the discovery prompts is, on others, faithful, complete, minimal, and no chance.

Which edges these are, and how few, was decided on discovery prompts alone (see discover.py): the fewest that are 90% faithful there. The
margins below were fixed on those prompts too. The edges are those of the textbook: a head of the first layer reads which token stood
before, the keys of the second layer read it, and these heads write the answer.
"""

import pytest

from mechcheck import Cut, claim, completeness, edge_graph, minimality

OLSSON, WANG, SHI = "Olsson et al. 2022, arXiv:2209.11895", "Wang et al. 2022, arXiv:2211.00593", "Shi et al. 2024, arXiv:2410.13032"
MODELS = ["names-gpt2-seed4", "names-neox-seed2"]
PROMPTS = 32
MARGIN = 0.2  # of the way from all edges cut to the whole model
WORTH = 0.05  # of it, at least, is what an edge is worth
APART = 1_000


@pytest.fixture
def make_prompts(make_prompts):
    """Prompts of another seed: circuits of other sizes, and other decoys, were tried on those of the run's own."""
    return lambda model, *, n, seed, split: make_prompts(model, n=n, seed=seed + APART, split=split)


def way_of(cut):
    """The metric of the whole model, less that with every edge cut."""
    none, whole = cut.ends
    return cut.measured(whole, "model") - cut.measured(none, "all cut")


@claim("The edges alone do what the model does", source=OLSSON, task="induction", kind="sufficiency", models=MODELS)
def test_edges_are_faithful(model, prompts, circuit, check):
    check.faithful(circuit.edges, prompts[:PROMPTS], margin=MARGIN)


@claim(
    "Whatever is taken out of the edges and out of the model, both take it alike: nothing else stands in for them",
    source=WANG, task="induction", kind="necessity", models=MODELS,
)  # fmt: skip
def test_edges_are_complete(model, prompts, circuit, check):
    cut = Cut(model, prompts[:PROMPTS])
    worst = completeness(cut, circuit.edges, subsets=8, greedy=0).worst
    check.equivalent((worst.circuit - worst.model) / way_of(cut), MARGIN, label=f"largest gap of 8 sets taken out, as a share < {MARGIN}")


@claim("Each edge is needed, alone or where its like are gone", source=WANG, task="induction", kind="necessity", models=MODELS)
def test_edges_are_minimal(model, prompts, circuit, check):
    cut = Cut(model, prompts[:PROMPTS])
    parts, way = minimality(cut, circuit.edges), way_of(cut)
    for one in parts:
        check.above(one.change / way, WORTH, f"share of the way lost without {one.part}")
    check.figure(
        lambda: edge_graph(circuit.edges, {one.part: one.change for one in parts}, title="What each edge is worth", roles=circuit.roles)
    )


@claim(
    "The edges are nearer to the model than random circuits of their size", source=SHI, task="induction", kind="specificity", models=MODELS
)
def test_edges_beat_random_circuits(model, prompts, circuit, check):
    check.beats_random_circuits(circuit.edges, prompts[:PROMPTS], n=40)
