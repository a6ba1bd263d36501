"""Runs of whole graphs against hooks at each edge."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import LAYOUTS, SAME_FORWARD, random_prompts

from mechcheck.conformance.layouts import layout_prompts
from mechcheck.conformance.native_layouts import NATIVE_LAYOUTS, save_native_layout
from mechcheck.engine.graphs.gradients import gradient_scores
from mechcheck.engine.graphs.runs import Graphs
from mechcheck.engine.graphs.senders import senders_of
from mechcheck.engine.run import plain_hooks, run, sweep
from mechcheck.models.loading import load_model
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss
from mechcheck.notation.sites import Sites

LENGTHS = (7, 7, 10, 10, 8, 8)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """A native model whose attention is not causal, and prompts of two lengths."""
    model = load_model(save_native_layout("native-both-ways", tmp_path_factory.mktemp("native") / "both"), dtype="float64")
    return model, layout_prompts(model, NATIVE_LAYOUTS["native-both-ways"])


@few
@given(st.data())
def test_a_graph_is_its_edges(tiny, data):
    name = data.draw(st.sampled_from((*LAYOUTS, "neox-sequential")))
    model, prompts = tiny(name), random_prompts(data.draw(st.integers(0, 5)), LENGTHS)
    how = data.draw(st.sampled_from(["patch", "zero", "mean", "resample"]))
    share, seed = data.draw(st.sampled_from([0.05, 0.5, 0.95])), data.draw(st.integers(0, 9))
    whole = graph(model)
    cuts = whole.real & (torch.rand(2, *whole.real.shape, generator=torch.Generator().manual_seed(seed)) < share)

    def done(sites: Sites) -> Patch | Ablate:
        return Patch(sites) if how == "patch" else Ablate(sites, how)

    metric = data.draw(st.sampled_from([logit_diff, loss, kl_divergence]))
    (found,) = Graphs(model, prompts, done(senders_of(model)), [metric]).measure(cuts)
    chosen = [whole.chosen(cut) for cut in cuts]
    with plain_hooks():
        right = sweep(model, prompts, [[done(sites)] if len(sites) else [] for sites in chosen], metric)
    np.testing.assert_allclose(found, right, rtol=0, atol=SAME_FORWARD[name])


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_nothing_cut_is_the_run_and_all_cut_the_other(tiny, name):
    model, prompts = tiny(name), random_prompts(1, LENGTHS)
    whole = graph(model)
    cuts = torch.stack([torch.zeros_like(whole.real), whole.real])
    (found,) = Graphs(model, prompts, Patch(senders_of(model)), [logit_diff]).measure(cuts)
    np.testing.assert_array_equal(found[0], run(model, prompts).values)
    np.testing.assert_allclose(found[1], run(model, prompts.counterfactual).values, rtol=0, atol=SAME_FORWARD[name])


def test_how_many_edges_there_are(tiny):
    """Two layers of three heads: (1 + 5) senders' edges counted by hand."""
    whole = graph(tiny("gpt2"))
    heads, layers = 3, 2
    by_hand = (
        sum((1 + (heads + 1) * layer) * 3 * heads + 1 + (heads + 1) * layer + heads for layer in range(layers)) + 1 + (heads + 1) * layers
    )
    assert len(whole) == len(whole.edges) == by_hand
    assert torch.equal(whole.mask(whole.edges), whole.real)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("metric", [logit_diff, kl_divergence])
def test_slopes_are_those_of_a_small_cut_more(tiny, name, metric):
    model, prompts = tiny(name), random_prompts(3, LENGTHS)
    graphs = Graphs(model, prompts, Patch(senders_of(model)), [metric])
    real, step = graphs.graph.real, 1e-4
    cuts = (real & (torch.rand(2, *real.shape, generator=torch.Generator().manual_seed(1)) < 0.4)).double()
    found = graphs.slopes(cuts)
    assert not found[:, :, ~real].any()
    for row, column in real.nonzero().tolist()[::9]:
        little = torch.zeros_like(cuts)
        little[:, row, column] = step
        up, down = (np.array(graphs.measure(cuts + sign * little)[0]) for sign in (1, -1))
        np.testing.assert_allclose(found[:, :, row, column], (up - down) / (2 * step), rtol=0, atol=1e-4 * float(found.abs().max()))


@pytest.mark.parametrize("name", [*LAYOUTS, "both ways"])
def test_slopes_of_the_whole_model_are_eap(tiny, both_ways, name):
    """Two ways to the same numbers: gradients at what each receiver reads, and at queries, keys and values, taken back by hand."""
    model, prompts = both_ways if name == "both ways" else (tiny(name), random_prompts(3, LENGTHS))
    graphs = Graphs(model, prompts, Patch(senders_of(model)), [logit_diff])
    found = graphs.slopes(torch.zeros(1, *graphs.graph.real.shape, dtype=torch.bool))[0]
    right = gradient_scores(model, prompts, Patch(senders_of(model)), logit_diff, "eap", 1)
    torch.testing.assert_close(found, right, rtol=0, atol=max(1e-7, 10 * SAME_FORWARD.get(name, 0)))


def test_attention_may_see_both_ways(both_ways):
    """Every edge cut by itself, and slopes, where later positions are seen and padding is not."""
    model, prompts = both_ways
    whole = graph(model)
    cuts = torch.zeros(len(whole), *whole.real.shape, dtype=torch.bool)
    cuts[torch.arange(len(whole)), *whole.real.nonzero().T] = True
    graphs = Graphs(model, prompts, Patch(senders_of(model)), [logit_diff])
    (found,) = graphs.measure(cuts)
    with plain_hooks():
        right = sweep(model, prompts, [Patch(Sites([edge])) for edge in whole.in_order])
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-6)
    step = 1e-5
    up, down = (graphs.measure(sign * step * cuts.double())[0] for sign in (1, -1))
    slopes = graphs.slopes(torch.zeros(1, *whole.real.shape))[0][:, whole.real].T
    np.testing.assert_allclose(slopes, (up - down) / (2 * step), rtol=0, atol=1e-4 * float(slopes.abs().max()))
