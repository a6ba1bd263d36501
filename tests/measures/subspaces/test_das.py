"""Distributed alignment search: it finds what was planted, is the same every time, and leaves the model as it was."""

from dataclasses import replace

import pytest
import torch
from planted_direction import ANSWER, DECIDES, FOIL, word_pairs, write_planted
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import run
from mechcheck.measures.subspaces.das import das
from mechcheck.measures.subspaces.interchange import interchange
from mechcheck.measures.subspaces.overlap import overlap
from mechcheck.models.loading import load_model
from mechcheck.notation.codes import direction
from mechcheck.notation.interventions import Patch
from mechcheck.notation.sites import embed, heads, keys, mlp_hidden, mlps, neurons, patterns, resid, resid_mid, resid_post, values

END = resid("0@END")
PLACES = [heads("0.1@A"), keys("0.1@A"), values("0.0@A"), resid("1@A"), resid_post("0@A"), mlps("0@A"), mlp_hidden("0@A")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return load_model(write_planted(tmp_path_factory.mktemp("planted")))


def test_it_finds_the_planted_direction_and_verifies_on_other_words(planted):
    found = das(planted, word_pairs(96, 0, range(0, 20)), END, epochs=30, rate=3e-2)
    assert overlap(found.subspace, direction(DECIDES)) > 0.9
    assert found.in_sample == 1.0
    assert found.losses[-1] < 0.2 < found.losses[0]
    measured = interchange(planted, word_pairs(64, 1, range(20, 38)), found.sites)
    assert measured.accuracy.mean == 1.0
    assert measured.share.mean > 0.8
    arbitrary = found.again(planted, 0)
    assert overlap(arbitrary.subspace, direction(DECIDES)) < 0.5
    assert interchange(planted, word_pairs(64, 1, range(20, 38)), arbitrary.sites).accuracy.mean < 0.9


def test_pairs_that_keep_the_answer_are_trained_to_keep_it(planted):
    """Every second source is of the base's own class, and its answer is expected; trained on both kinds it finds the direction."""
    pairs = word_pairs(96, 0)
    rows = torch.arange(96) % 2 == 0
    tokens = torch.where(rows[:, None], pairs.counterfactual.tokens, pairs.tokens.roll(1, 0))
    mixed = replace(pairs, counterfactual=replace(pairs.counterfactual, tokens=tokens))
    expected = torch.where(rows, FOIL, ANSWER)
    found = das(planted, mixed, END, expected=expected, epochs=30, rate=3e-2)
    assert found.in_sample == 1.0
    assert overlap(found.subspace, direction(DECIDES)) > 0.9
    assert das(planted, mixed, END, epochs=5).in_sample < 0.6  # where the foil is expected of all, half of the sources cannot bring it


@pytest.mark.parametrize(
    ("layout", "processing"), [("gpt2", "folded"), ("gpt2", "raw"), ("neox", "raw"), ("llama", "folded"), ("bert", "raw")]
)
def test_it_trains_what_our_own_patch_does(tiny, layout, processing):
    """On every layout, padded, at every kind of site: after training, the patch within the subspace moves the answer as it was asked to."""
    model, prompts = tiny(layout, dtype="float32", processing=processing), random_prompts(0, (7, 9, 5, 7, 8, 9))
    flags = [(p.requires_grad, p.grad) for p in model.parameters()]
    weights = [p.clone() for p in model.parameters()]
    for site in PLACES:
        found, less = (das(model, prompts, site, 2, epochs=epochs, rate=5e-2) for epochs in (8, 1))
        patched, untrained = (run(model, prompts, Patch(some.sites)) for some in (found, less))
        losses = [torch.nn.functional.softplus(torch.tensor(some.values)).mean() for some in (patched, untrained)]
        assert float(losses[0]) < float(losses[1]), site
        assert float(losses[0]) == pytest.approx(found.losses[-1], rel=0.3, abs=0.05), site
    assert [(p.requires_grad, p.grad) for p in model.parameters()] == flags
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), weights, strict=True))


def test_the_loss_is_that_of_the_first_basis(tiny):
    """One step of one batch: the loss that is told is of the basis before it, so a rate of nearly nothing gives the loss of ours."""
    model, prompts = tiny("llama", dtype="float32"), random_prompts(0, (7, 9, 5, 7))
    found = das(model, prompts, heads("0.1@A"), 2, epochs=1, rate=1e-9)
    measured = run(model, prompts, Patch(found.sites)).values
    assert found.losses[0] == pytest.approx(float(torch.nn.functional.softplus(torch.tensor(measured)).mean()), abs=1e-4)


def test_it_is_the_same_every_time_and_another_with_another_seed(planted):
    pairs = word_pairs(32, 0)
    once = das(planted, pairs, END, 2, epochs=2)
    torch.manual_seed(99)
    with torch.inference_mode():
        again = das(planted, pairs, END, 2, epochs=2)
    assert again.subspace.basis.equal(once.subspace.basis)
    assert again.losses == once.losses
    assert not das(planted, pairs, END, 2, epochs=2, seed=1).subspace.basis.equal(once.subspace.basis)
    state = torch.random.get_rng_state()
    das(planted, pairs, END, epochs=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_in_training_mode_is_found_in_it_again(own_model):
    prompts = random_prompts(0, (7, 9, 5, 7))
    once = das(own_model, prompts, resid("1@A"), epochs=1)
    own_model.train()
    assert das(own_model, prompts, resid("1@A"), epochs=1).losses == once.losses
    assert own_model.training
    assert not own_model.eval().training


@pytest.mark.parametrize(
    ("site", "options", "error", "why"),
    [
        (resid("0"), {}, SiteError, "one site and one named position"),
        (resid("0@END") | heads("0.0@END"), {}, SiteError, "one site and one named position"),
        (resid("0@END"), {"dim": 0}, MechcheckError, "from 1 to 23"),
        (resid("0@END"), {"dim": 24}, MechcheckError, "from 1 to 23"),
        (heads("0.0@END"), {"dim": 8}, MechcheckError, "from 1 to 7"),
        (resid("0@END"), {"epochs": 0}, MechcheckError, "at least 1"),
        (resid("0@NOWHERE"), {}, PromptError, "NOWHERE"),
        (patterns("0.0@END"), {}, SiteError, "no subspace is fitted"),
        (neurons("0.0@END"), {}, SiteError, "no subspace is fitted"),
        (resid_mid("0@END"), {}, SiteError, "no subspace can be trained"),
        (resid("9@END"), {}, SiteError, "no layer 9"),
    ],
)
def test_bad_input_is_refused(tiny, site, options, error, why):
    with pytest.raises(error, match=why):
        das(tiny("gpt2"), random_prompts(0, (7, 9)), site, **options)


def test_embeddings_can_be_trained_on(tiny):
    found = das(tiny("gpt2"), random_prompts(0, (7, 9)), embed(at="A"), epochs=2)
    assert str(found.sites) == "embed @A[das]"
