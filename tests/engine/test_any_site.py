"""Sites as drawn: all kinds that a model has and none that it lacks, and what holds of every site."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from test_spans_as_sites import pair
from tiny import LAYOUTS, SAME_FORWARD

from mechcheck import strategies
from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.interventions import Ablate, Patch, Put, Scale
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import mlps
from mechcheck.prompts.spans import ALL

few = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
PLACES = (None, "A", "AB", "END")


@few
@given(st.data())
def test_what_holds_of_every_site(tiny, data):
    """Put back as it was nothing changes; both runners do the same to it; scaled by 1 it is itself, by 0 it is ablated."""
    name = data.draw(st.sampled_from((*LAYOUTS, "neox-sequential", "bert")))
    model, prompts = tiny(name), pair(data.draw(st.integers(0, 3)))
    sites = data.draw(strategies.sites(model, at=PLACES, within=True))
    where = logit_diff.over(data.draw(st.sampled_from(["END", "B", ALL])))
    clean = run(model, prompts, metric=where).values
    exact = SAME_FORWARD[name]
    whole, gone, back, patched, zero = sweep(
        model,
        prompts,
        [Scale(sites, 1.0), Scale(sites, 0.0), Put(capture(model, prompts, sites)), Patch(sites), Ablate(sites, "zero")],
        where,
    )
    np.testing.assert_allclose(whole, clean, rtol=0, atol=exact)
    np.testing.assert_allclose(back, clean, rtol=0, atol=exact)
    np.testing.assert_allclose(gone, zero, rtol=0, atol=exact)
    with plain_hooks():
        np.testing.assert_allclose(sweep(model, prompts, [Patch(sites)], where)[0], patched, rtol=0, atol=exact)


def test_kinds_are_those_that_a_model_has(tiny):
    def drawn(name: str) -> set[str]:
        found: set[str] = set()

        @settings(max_examples=300, deadline=None, database=None, derandomize=True)
        @given(strategies.sites(tiny(name)))
        def collect(sites):
            (site,) = sites
            found.add("edge" if site.to else site.kind)

        collect()
        return found

    both = {"head", "q", "k", "v", "pattern", "resid_pre", "resid_post", "neuron"}
    decoder = both | {"attn_out", "mlp_out", "embed", "edge"}
    assert drawn("gpt2") == decoder | {"resid_mid", "pos_embed"}
    assert drawn("neox") == decoder
    assert drawn("bert") == both | {"mlp_out"}


def test_the_simplest_head_is_the_first(tiny):
    found = find(strategies.sites(tiny("gpt2"), at=PLACES, within=True), lambda some: next(iter(some)).kind == "head")
    assert str(found) == "0.0"


def test_only_some_kinds(tiny):
    assert find(strategies.sites(tiny("gpt2"), kinds=["mlp_out"]), lambda _: True) == mlps("0")
    edge = find(strategies.sites(tiny("gpt2"), kinds=["edge"], at=["END"]), lambda _: True)
    assert str(edge) == "input->0.0.q@END"
    with pytest.raises(MechcheckError, match=r"no sites of kind 'heads'; .*did you mean"):
        strategies.sites(tiny("gpt2"), kinds=["heads"])
    with pytest.raises(MechcheckError, match="the model has no sites of kind edge"):
        strategies.sites(tiny("bert"), kinds=["edge"])
    assert torch.is_tensor(next(iter(capture(tiny("gpt2"), pair(1), edge).values())))
