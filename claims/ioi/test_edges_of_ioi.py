"""Circuits of edges: what was found on the discovery prompts is, on others, faithful, complete, minimal, and no chance.

Which edges these are, and how few, was decided on discovery prompts alone (see discover.py): the fewest that are 90% faithful there. The
margins (claims/conftest.py) were fixed on those prompts too. In seed 4 and in the NeoX layout one head of the first layer reads the
subjects, and speaks to the queries of the heads that write; seed 0, which has a shortcut, has no such head, and its edges are others.
"""

import pytest

from mechcheck import claim, edge_graph

WANG, SHI = "Wang et al. 2022, arXiv:2211.00593", "Shi et al. 2024, arXiv:2410.13032"
MODELS = ["names-gpt2-seed4", "names-gpt2-seed0", "names-neox-seed2"]


@pytest.fixture
def make_prompts(make_prompts, edge_claims):
    """Prompts of another seed than the run's own."""
    return lambda model, *, n, seed, split: make_prompts(model, n=n, seed=seed + edge_claims.apart, split=split)


@claim("The edges alone do what the model does", source=WANG, task="ioi", kind="sufficiency", models=MODELS)
def test_edges_are_faithful(model, prompts, circuit, check, edge_claims):
    edge_claims.faithful(check, model, prompts, circuit.edges)


@claim(
    "Whatever is taken out of the edges and out of the model, both take it alike: nothing else stands in for them",
    source=WANG, task="ioi", kind="necessity", models=MODELS,
)  # fmt: skip
def test_edges_are_complete(model, prompts, circuit, check, edge_claims):
    edge_claims.complete(check, model, prompts, circuit.edges)


@claim("Each edge is needed, alone or where its like are gone", source=WANG, task="ioi", kind="necessity", models=MODELS)
def test_edges_are_minimal(model, prompts, circuit, check, edge_claims):
    worth = edge_claims.minimal(check, model, prompts, circuit.edges)
    check.figure(lambda: edge_graph(circuit.edges, worth, title="What each edge is worth", roles=circuit.roles))


@claim("The edges are nearer to the model than random circuits of their size", source=SHI, task="ioi", kind="specificity", models=MODELS)
def test_edges_beat_random_circuits(model, prompts, circuit, check, edge_claims):
    edge_claims.beat_random_circuits(check, model, prompts, circuit.edges)
