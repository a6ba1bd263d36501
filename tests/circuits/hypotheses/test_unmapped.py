"""What is not aligned is taken from elsewhere, and what is aligned is kept: at one place, at several, within a subspace."""

from dataclasses import replace

import pytest
import torch
from tiny import random_prompts

from mechcheck.circuits.hypotheses.unmapped import Unmapped, components
from mechcheck.engine.run import capture
from mechcheck.notation.codes import subspace
from mechcheck.notation.sites import Sites, attn_outs, heads, keys, mlp_hidden, mlps, neurons, patterns, queries, resid

PROMPTS = random_prompts(3, (7, 9))
SPAN = torch.tensor([[False, True, False, True, False, False, False, False, False], [True, False, False, False, False, True] + [False] * 3])
SPANNED = replace(PROMPTS, spans={"SOME": SPAN}, positions={**PROMPTS.positions, "SOME": torch.tensor([3, 5])})


def unmapped(model, aligned: Sites, prompts=PROMPTS) -> Unmapped:
    return Unmapped(model, prompts, aligned, capture(model, PROMPTS.counterfactual, components(model)))


def test_all_that_adds_to_the_stream_is_a_component(tiny):
    assert components(tiny("gpt2")) == heads("0-1.0-2") | mlps("0-1")
    assert components(tiny("bert")) == heads("0-1.0-3") | mlps("0-1")


@pytest.mark.parametrize(
    ("layout", "aligned", "free", "left_out"),
    [
        ("gpt2", heads("0.1@A") | resid("1@END"), Sites(), Sites()),
        ("gpt2", heads("0.1") | mlps("1"), Sites(), heads("0.1") | mlps("1")),
        ("gpt2", queries("1.0@END") | patterns("0.2"), heads("1.0 0.2"), Sites()),
        ("gpt2", mlp_hidden("0@A") | neurons("1.3"), mlps("0-1"), Sites()),
        ("llama", keys("1.1@A"), heads("1.2-3"), Sites()),
        ("gpt2", attn_outs("0@A"), Sites(), Sites()),
    ],
)
def test_what_holds_something_aligned_is_computed(tiny, layout, aligned, free, left_out):
    model = tiny(layout)
    found = unmapped(model, aligned)
    assert found.free == free
    assert found.members == components(model) - free - left_out


def test_a_whole_head_within_a_subspace_is_still_perturbed(tiny):
    model = tiny("gpt2")
    part = heads("0.1").within(subspace(torch.eye(model.cfg.d_head)[:2]))
    assert heads("0.1") - unmapped(model, part).members == Sites()


@pytest.mark.parametrize("place", ["A", "SOME", None])
@pytest.mark.parametrize("part", ["whole", "subspace"])
def test_what_is_aligned_is_kept_where_it_is(tiny, place, part):
    model = tiny("gpt2")
    aligned, whole = heads("0.1").at(place) | mlps("1").at(place), heads("0.1") | mlps("1")
    codes = {site.kind: subspace(torch.eye(d)[:2]) for site, d in zip(whole, (model.cfg.d_head, model.cfg.d_model), strict=True)}
    if part == "subspace":
        aligned = Sites(replace(site, code=codes[site.kind]) for site in aligned)
    found = unmapped(model, aligned, SPANNED)
    pinned = capture(model, SPANNED, aligned)
    put = found.replaced(whole | heads("0.0"), pinned).values
    here, there = capture(model, SPANNED, whole), capture(model, PROMPTS.counterfactual, whole | heads("0.0"))
    assert set(put) == set(whole | heads("0.0"))
    kept = torch.ones_like(SPAN) if place is None else SPANNED.span(place)
    for site in whole:
        components_kept = torch.arange(here[site].shape[-1]) < (2 if part == "subspace" else 10**6)
        expected = torch.where(kept[..., None] & components_kept, here[site], there[site])
        torch.testing.assert_close(put[site], expected, rtol=0, atol=1e-12)
    (other,) = heads("0.0")
    torch.testing.assert_close(put[other], there[other], rtol=0, atol=0)


def test_what_is_aligned_elsewhere_is_put_beside(tiny):
    model = tiny("gpt2")
    aligned = heads("0.1@A") | resid("1@END")
    pinned = capture(model, PROMPTS, aligned)
    assert set(unmapped(model, aligned).replaced(heads("0.0"), pinned).values) == set(heads("0.0") | aligned)
    assert set(unmapped(model, aligned).replaced(heads("0.1"), pinned).values) == set(heads("0.1") | resid("1@END"))
