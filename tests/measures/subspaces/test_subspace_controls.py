"""Controls of a found subspace: each is what it says, and together they tell a subspace from what any would do."""

import numpy as np
import pytest
import torch
from planted_direction import DECIDES, word_pairs, write_planted
from tiny import random_prompts
from transformer_lens.tools.analysis.interchange import NormMatchedPlacebo, SubspaceInterchange

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.base.seeds import seed_from
from mechcheck.engine.run import capture, run
from mechcheck.measures.causal.effect import Effect
from mechcheck.measures.subspaces.controls import subspace_controls
from mechcheck.measures.subspaces.das import das
from mechcheck.measures.subspaces.fitting import difference_of_means, probe
from mechcheck.measures.subspaces.overlap import overlap
from mechcheck.models.loading import load_model
from mechcheck.notation.codes import RandomSubspace, direction, subspace
from mechcheck.notation.interventions import Patch, Put
from mechcheck.notation.sites import heads, resid
from mechcheck.verdicts.check import Check

END = resid("0@END")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return load_model(write_planted(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def halves():
    return word_pairs(60, 0, range(0, 20)), word_pairs(60, 1, range(20, 38))


@pytest.fixture(scope="module")
def found(planted, halves):
    return das(planted, halves[0], END, epochs=25, rate=3e-2)


@pytest.fixture(scope="module")
def controls(planted, halves, found):
    return subspace_controls(planted, halves[1], found, n=8, seed=3)


def test_they_tell_the_planted_direction_from_the_rest(controls):
    assert controls.found.accuracy.mean == 1.0
    for name in ("norm-matched", "random", "random among activations", "random neurons", "arbitrary labels", "random weights"):
        assert controls.named[name][0].accuracy.ids == controls.found.accuracy.ids
    assert {name: len(some) for name, some in controls.named.items()} == {
        "norm-matched": 8, "random": 8, "random among activations": 8, "random neurons": 8, "arbitrary labels": 1, "random weights": 1,
    }  # fmt: skip
    uniform, among = (np.mean([one.share.mean for one in some]) for some in (controls.random, controls.among_activations))
    assert uniform < 0.3 < among  # the class is most of what differs between words, so mixtures of them find it, and uniform draws do not
    assert controls.found.share.mean > max(one.share.mean for one in (*controls.random, *controls.neurons, *controls.arbitrary))


def test_the_strongest_is_the_one_with_the_highest_accuracy(controls):
    every = [one for name, some in controls.named.items() for one in some if name != "random weights"]
    assert controls.strongest.accuracy.mean == max(one.accuracy.mean for one in every)


def test_a_random_subspace_is_the_one_of_its_seed(planted, halves, controls):
    code = RandomSubspace(1, 8, seed_from("subspace controls 3 2"), "random 1 of 8")
    patched = run(planted, halves[1], Patch(END.within(code))).values
    np.testing.assert_allclose(controls.random[2].shift.values, run(planted, halves[1]).values - patched, atol=1e-5)


def test_the_placebo_moves_as_far_as_the_subspace(planted, halves, found, controls):
    (base,), (source,) = (capture(planted, some, END).values() for some in (halves[1], halves[1].counterfactual))
    other = RandomSubspace(1, 8, seed_from("subspace controls 3 5"), "random 1 of 8").basis
    moved = NormMatchedPlacebo(SubspaceInterchange(found.subspace.basis.T), other.T)(base, source)
    own = base + (source - base) @ (found.subspace.basis.T @ found.subspace.basis).to(base)
    torch.testing.assert_close((moved - base).norm(dim=1), (own - base).norm(dim=1))
    clean, put = (run(planted, halves[1], change).values for change in ([], Put({next(iter(END)): moved})))
    np.testing.assert_allclose(controls.norm_matched[5].shift.values, clean - put, atol=1e-5)


def test_arbitrary_labels_and_random_weights_are_fits_of_their_own(planted, halves, found, controls):
    seed = seed_from("subspace controls 3 0")
    again = found.again(planted, seed)
    assert again.how == "das"
    patched = run(planted, halves[1], Patch(again.sites)).values
    np.testing.assert_allclose(controls.arbitrary[0].shift.values, run(planted, halves[1]).values - patched, atol=1e-6)
    assert controls.reinitialised[0].whole_shift.mean != controls.found.whole_shift.mean


def test_they_are_the_same_every_time(planted, halves, found, controls):
    again = subspace_controls(planted, halves[1], found, n=8, seed=3)
    for name, some in controls.named.items():
        for one, other in zip(some, again.named[name], strict=True):
            np.testing.assert_array_equal(one.shift.values, other.shift.values)
    other = subspace_controls(planted, halves[1], found, n=2, seed=4, fits=0)
    assert other.random[0].shift.mean != controls.random[0].shift.mean
    assert other.arbitrary == other.reinitialised == ()


@pytest.mark.parametrize("layout", ["gpt2", "neox", "llama", "bert"])
def test_every_layout_and_kind_of_fit(tiny, layout):
    model, learnt, others = tiny(layout), random_prompts(0, (6, 8, 5, 6, 7, 6)), random_prompts(9, (6, 8, 5, 6))
    for fit in (difference_of_means(model, learnt, heads("0.1@A")), probe(model, learnt, heads("0.1@A"), [0, 1] * 3)):
        some = subspace_controls(model, others, fit, n=2)
        assert all(np.isfinite(one.shift.values).all() for group in some.named.values() for one in group)
        assert len(some.named) == 6


def test_prompts_of_the_fit_are_refused_and_no_controls_are_none(planted, halves, found):
    with pytest.raises(PromptError, match="was fitted on 60 of these"):
        subspace_controls(planted, halves[0], found)
    for n, fits in ((0, 1), (1, -1)):
        with pytest.raises(MechcheckError, match="at least one random subspace"):
            subspace_controls(planted, halves[1], found, n=n, fits=fits)


def test_a_found_subspace_beats_random_ones_in_a_claim(planted, halves, found):
    """Its controls are mixtures of activations, and not uniform draws."""
    check = Check(model=planted)
    check.beats_random(Effect(planted, halves[1], Patch), found.sites, n=40)
    (expectation,) = check.expectations
    assert all("among activations" in label for label in expectation.control.labels)
    assert expectation.control.effect == pytest.approx(float((Effect(planted, halves[1], Patch)(found.sites)).mean))


def test_a_claim_on_the_prompts_of_the_fit_is_refused(planted, halves, found):
    with pytest.raises(PromptError, match="was fitted on 60 of these"):
        Check(model=planted).beats_random(Effect(planted, halves[0], Patch), found.sites)


def test_overlap_is_that_of_the_principal_angles():
    from transformer_lens.tools.analysis.projection_kernel import orthonormal_subspace, projection_kernel

    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(k, 12, generator=generator, dtype=torch.float64) for k in (2, 5))
    cosines = projection_kernel(orthonormal_subspace(one.T), orthonormal_subspace(other.T)).cosines
    assert overlap(subspace(one), subspace(other)) == pytest.approx(float(cosines.square().mean()), abs=1e-9)
    assert overlap(subspace(other), subspace(one)) == pytest.approx(overlap(subspace(one), subspace(other)))
    assert overlap(subspace(other), subspace(other[:2])) == pytest.approx(1)
    assert overlap(direction(DECIDES), direction(torch.eye(8)[7])) == 0
    draws = [overlap(RandomSubspace(2, 12, seed, "r"), RandomSubspace(5, 12, -seed - 1, "r")) for seed in range(400)]
    assert np.mean(draws) == pytest.approx(5 / 12, abs=0.02)
    with pytest.raises(MechcheckError, match="among 8 dimensions and 'y' among 3"):
        overlap(direction(DECIDES, name="x"), direction([1.0, 0.0, 0.0], name="y"))


def test_a_fit_at_no_one_place_is_refused(planted, halves):
    with pytest.raises(SiteError, match="one site"):
        difference_of_means(planted, halves[0], resid("0"))
