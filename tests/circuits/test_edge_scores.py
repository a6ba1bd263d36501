"""Edge scores: exact ones against hooks, estimates against small exact changes, and what stands beside estimates."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import LAYOUTS, random_prompts

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError, SiteError
from mechcheck.circuits.edge_scores import METHODS, edge_scores
from mechcheck.engine.run import capture, plain_hooks, sweep
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Ablate, Patch, Put
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss
from mechcheck.notation.sites import Sites, heads, resid

LENGTHS = (7, 7, 10, 10, 8, 8)


def of_edges(scores) -> np.ndarray:
    """[prompt, edge], in the graph's order."""
    return scores.values[:, scores.graph.real.numpy()]


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_exact_scores_are_those_of_hooks(tiny, name):
    model, prompts = tiny(name), random_prompts(3, LENGTHS)
    found = edge_scores(model, prompts, metric=loss)
    with plain_hooks():
        right = sweep(model, prompts, [[], *(Patch(Sites([edge])) for edge in found.graph.in_order)], loss)
    np.testing.assert_allclose(of_edges(found), (right[1:] - right[0]).T, rtol=0, atol=1e-4)
    assert np.isnan(found.values[:, ~found.graph.real.numpy()]).all()
    assert found.beside is None


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
@pytest.mark.parametrize("metric", [logit_diff, loss])
def test_eap_is_the_slope_of_a_small_exact_change(tiny, name, metric):
    """The derivative along each edge, by central differences of exact runs."""
    model, prompts = tiny(name), random_prompts(3, LENGTHS)
    every = graph(model).edges
    own, other = capture(model, prompts, every), capture(model, prompts.counterfactual, every)
    step = 1e-3
    little = [[Put({e: own[e] + sign * step * (other[e] - own[e])}) for sign in (1, -1)] for e in graph(model).in_order]
    values = sweep(model, prompts, [[one] for pair in little for one in pair], metric)
    slopes = (values[0::2] - values[1::2]).T / (2 * step)
    found = of_edges(edge_scores(model, prompts, "eap", metric=metric))
    np.testing.assert_allclose(found, slopes, rtol=0, atol=2e-3 * np.abs(slopes).max())


def test_where_gradients_are_taken(tiny):
    """With one point on the way from the other input it is that input's own: the slope of the way back, there."""
    model, prompts = tiny("gpt2"), random_prompts(4, LENGTHS)
    swapped = replace(prompts.counterfactual, counterfactual=prompts)
    first, back = edge_scores(model, prompts, "eap-ig-inputs", steps=1), edge_scores(model, swapped, "eap")
    np.testing.assert_allclose(of_edges(first), -of_edges(back), rtol=0, atol=1e-9)


def test_many_points_come_to_what_the_whole_way_does(tiny):
    """Integrated gradients are complete: what the input says to all who read it adds up to the effect of the other input."""
    model, prompts = tiny("gpt2"), random_prompts(4, LENGTHS)
    found = edge_scores(model, prompts, "eap-ig-inputs", steps=400)
    from_input = np.nansum(found.values[:, :, 0], axis=1)
    other, clean = sweep(model, prompts, [Patch(resid("0")), []])
    np.testing.assert_allclose(from_input, other - clean, rtol=0, atol=0.02 * np.abs(other - clean).max())


@pytest.mark.parametrize("instead", ["zero", "mean", "resample", "counterfactual"])
def test_what_edges_carry_instead(tiny, instead):
    model, prompts = tiny("llama"), random_prompts(5, LENGTHS)
    found = edge_scores(model, prompts, instead=instead)
    (edge,) = [e for e in found.graph.in_order if str(e) == "0.1->mlp1"]
    done = Patch(Sites([edge])) if instead == "counterfactual" else Ablate(Sites([edge]), instead)
    changed, clean = sweep(model, prompts, [done, []])
    np.testing.assert_allclose(found[edge].values, changed - clean, rtol=0, atol=1e-9)
    sender = Sites([replace(edge, to=None)])
    (own,), (other,) = (capture(model, prompts, sender, some).values() for some in ([], replace(done, sites=sender)))
    step = 1e-2 * (other - own)
    up, down = sweep(model, prompts, [Put({edge: own + step}), Put({edge: own - step})])
    slope = edge_scores(model, prompts, "eap", instead=instead, sample=2)[edge].values
    np.testing.assert_allclose(slope, (up - down) / 2e-2, rtol=0, atol=2e-2 * np.abs(slope).max())


def test_estimates_stand_beside_exact_values(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    exact, found = edge_scores(model, prompts), edge_scores(model, prompts, "eap", sample=10)
    beside = found.beside
    assert len(beside.edges) == 10
    np.testing.assert_allclose(beside.exact, [exact[edge].mean for edge in beside.edges], rtol=0, atol=1e-9)
    np.testing.assert_allclose(beside.estimated, [found[edge].mean for edge in beside.edges], rtol=0, atol=1e-12)
    errors = np.abs(beside.exact - beside.estimated)
    assert beside.worst_error == errors.max()
    assert beside.worst == beside.edges[int(errors.argmax())]
    assert set(found.top(5)) <= set(beside.edges)
    assert f"rank correlation with exact values {beside.rank_correlation:.2f}" in str(found)
    assert edge_scores(model, prompts, "eap", sample=10).beside.edges == beside.edges


def test_an_edge_is_asked_for_by_name(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    found = edge_scores(model, prompts, metric=kl_divergence)
    one = found["0.1->1.1.q"]
    assert (one.ids, one.templates, one.unit) == (prompts.ids, prompts.templates, "nats")
    assert found["mlp0->logits"].mean == pytest.approx(float(found.mean[-1, 4]))
    for text, why in (
        ("0.1->1.0-1.q", "names 2 edges"),
        ("0.1@END->1.1.q", "cannot read"),
        ("0.1->1.1.q@END", "no edge of the whole graph, whose edges act at every position"),
        (3, 'an edge is asked for as "0.3->1.1.q"'),
        (heads("0.1"), "an edge is asked for"),
        (heads("0.1").members[0], "an edge is asked for"),
    ):
        with pytest.raises(MechcheckError, match=why):
            found[text]
    with pytest.raises(MechcheckError, match="no 1000 largest"):
        found.top(1000)


@pytest.mark.parametrize("method", METHODS)
def test_effects_that_are_no_numbers_are_told(tiny, method):
    prompts = random_prompts(6, LENGTHS)

    def of(logits, some, clean):
        return logit_diff.of(logits, some, clean).masked_fill(some.answers == prompts.answers[1], float("nan"))

    shared = int((prompts.answers == prompts.answers[1]).sum())
    with pytest.raises(NonFiniteError, match=rf"logit difference.* is not finite on {shared} of {len(prompts)} prompts"):
        edge_scores(tiny("gpt2"), prompts, method, metric=replace(logit_diff, of=of, two_columns=False))


def test_what_has_no_edge_scores_is_refused(tiny):
    prompts = random_prompts(1, LENGTHS)
    with pytest.raises(MechcheckError, match=r"unknown method 'eap-ig'; choose one of .*did you mean"):
        edge_scores(tiny("gpt2"), prompts, "eap-ig")
    with pytest.raises(MechcheckError, match="unknown method None"):
        edge_scores(tiny("gpt2"), prompts, None)
    with pytest.raises(PromptError, match="there is no counterfactual"):
        edge_scores(tiny("gpt2"), replace(prompts, counterfactual=None))
    with pytest.raises(SiteError, match="in an encoder"):
        edge_scores(tiny("bert"), prompts)
    with pytest.raises(MechcheckError, match="has a value for each position"):
        edge_scores(tiny("gpt2"), prompts, metric=loss.each_of("ALL"))
