"""Interchange within a subspace: who is answered, and what is counted, against hooks written by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import SAME_FORWARD, random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.engine.run import capture, run
from mechcheck.measures.subspaces.interchange import interchange
from mechcheck.measures.subspaces.pairs import traces
from mechcheck.notation.codes import direction, subspace
from mechcheck.notation.interventions import Put
from mechcheck.notation.sites import heads, mlp_hidden, resid

LENGTHS = (7, 9, 5, 7)
PLACES = {"stream": resid("1@A"), "head": heads("0.1@A"), "hidden": mlp_hidden("0@A")}


def prompts_with_source(seed=0):
    """Counterfactuals of other lengths, whose named positions stand elsewhere."""
    prompts = random_prompts(seed, LENGTHS)
    other = random_prompts(seed + 50, LENGTHS[::-1])
    return replace(prompts, counterfactual=replace(other, ids=prompts.ids, answers=prompts.answers, foils=prompts.foils))


def plane(model, place):
    (site,) = place
    d = {"head": model.cfg.d_head, "neuron": model.cfg.d_mlp}.get(site.kind, model.cfg.d_model)
    return subspace(torch.randn(2, d, generator=torch.Generator().manual_seed(4), dtype=torch.float64), name="plane")


@pytest.mark.parametrize("layout", ["gpt2", "neox", "llama", "bert"])
@pytest.mark.parametrize("place", PLACES)
def test_it_is_what_hooks_by_hand_say(tiny, layout, place):
    model, prompts = tiny(layout), prompts_with_source()
    (site,) = PLACES[place]
    code = plane(model, PLACES[place])
    found = interchange(model, prompts, PLACES[place].within(code))
    own = capture(model, prompts, PLACES[place])[site]
    (theirs,) = capture(model, prompts.counterfactual, PLACES[place]).values()
    projector = (code.basis.T @ code.basis).to(own)
    clean = run(model, prompts).values
    mixed, whole = (run(model, prompts, Put({site: some})).values for some in (own + (theirs - own) @ projector, theirs))
    atol = SAME_FORWARD[layout]
    np.testing.assert_allclose(found.shift.values, clean - mixed, rtol=0, atol=atol)
    np.testing.assert_allclose(found.whole_shift.values, clean - whole, rtol=0, atol=atol)
    assert found.accuracy.values.tolist() == (mixed < 0).tolist()
    assert found.whole_accuracy.values.tolist() == (whole < 0).tolist()
    assert found.share.mean == pytest.approx((clean - mixed).sum() / (clean - whole).sum(), rel=1e-6 if atol < 1e-8 else 1e-2)
    assert found.untouched_accuracy.values.tolist() == (clean < 0).tolist()
    assert found.accuracy.is_yes_no
    assert found.accuracy.ids == prompts.ids
    assert found.source_accuracy.values.tolist() == (run(model, prompts.counterfactual).values < 0).tolist()


def test_the_source_says_what_is_expected_where_it_asks_for_something_else(tiny):
    model, prompts = tiny("gpt2"), prompts_with_source()
    own = torch.tensor([5, 6, 7, 8])
    found, told = (
        interchange(model, some, PLACES["stream"].within(plane(model, PLACES["stream"])), expected=given)
        for some, given in ((replace(prompts, counterfactual=replace(prompts.counterfactual, answers=own)), None), (prompts, own))
    )
    np.testing.assert_array_equal(found.shift.values, told.shift.values)
    compared = replace(prompts, foils=own)
    by_hand = interchange(model, compared, PLACES["stream"].within(plane(model, PLACES["stream"])))
    np.testing.assert_array_equal(told.shift.values, by_hand.shift.values)


def test_where_the_answer_itself_is_expected_it_is_compared_with_the_foil(tiny):
    model, prompts = tiny("gpt2"), prompts_with_source()
    kept = prompts.answers.clone()
    kept[0] = prompts.foils[0]
    sites = PLACES["stream"].within(plane(model, PLACES["stream"]))
    some, all_moved = interchange(model, prompts, sites, expected=kept), interchange(model, prompts, sites)
    np.testing.assert_allclose(some.shift.values, all_moved.shift.values * np.array([1, -1, -1, -1]), atol=1e-12)
    assert some.accuracy.values.tolist() == [all_moved.accuracy.values[0], *(1 - all_moved.accuracy.values[1:])]


def test_all_of_the_site_is_the_whole_patch(tiny):
    model, prompts = tiny("neox"), prompts_with_source()
    everything = subspace(torch.eye(model.cfg.d_model, dtype=torch.float64))
    found = interchange(model, prompts, resid("1@A").within(everything))
    assert found.share.mean == pytest.approx(1.0, abs=1e-9)


def test_prompts_that_it_was_fitted_on_are_refused(tiny):
    model, prompts = tiny("gpt2"), prompts_with_source()
    code = direction(torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(1)), name="found")
    sites = resid("1@A").within(replace(code, fitted_on=traces(prompts[[1, 2]])))
    with pytest.raises(PromptError, match=r"resid 1@A\[found\] was fitted on 2 of these prompts"):
        interchange(model, prompts, sites)
    other_question = replace(prompts[[1]], foils=torch.tensor([20]), ids=("another",))
    with pytest.raises(PromptError, match="was fitted on 1 of these"):
        interchange(model, other_question, sites)
    with pytest.raises(PromptError, match="or on their sources"):
        interchange(model, prompts[[0]], sites, source=prompts[[1]])
    assert len(interchange(model, prompts[[0, 3]], sites).accuracy) == 2


def test_the_union_of_two_remembers_the_prompts_of_both():
    one, other = (replace(direction(torch.eye(3)[i], name=str(i)), fitted_on=frozenset({str(i)})) for i in (0, 1))
    assert (one | other).fitted_on == {"0", "1"}
    assert (one | direction(torch.eye(3)[2])).fitted_on == {"0"}


@pytest.mark.parametrize(
    ("changed", "given", "why"),
    [
        ({"counterfactual": None}, {}, "give source="),
        ({}, {"expected": [1, 2]}, "one token id for each of 4 prompts"),
        ({}, {"expected": [0.5] * 4}, "one token id for each of 4 prompts"),
        ({"foils": torch.tensor([], dtype=torch.long)}, {}, "have no foils"),
    ],
)
def test_what_cannot_be_compared_is_refused(tiny, changed, given, why):
    model, prompts = tiny("gpt2"), prompts_with_source()
    with pytest.raises(PromptError, match=why):
        interchange(model, replace(prompts, **changed), resid("1@A"), **given)


def test_nothing_can_be_told_where_the_foil_is_the_answer(tiny):
    prompts = prompts_with_source()
    with pytest.raises(PromptError, match="the token that it is compared with"):
        interchange(tiny("gpt2"), replace(prompts, foils=prompts.answers), resid("1@A"))
    with pytest.raises(PromptError, match="2 sources for 4 prompts"):
        interchange(tiny("gpt2"), prompts, resid("1@A"), source=prompts[[0, 1]])
