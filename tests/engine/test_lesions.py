"""A model without some of its parts, swept as a model of its own, against plain hooks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LAYOUTS, random_prompts

from mechcheck.base.errors import SiteError
from mechcheck.engine.graphs.lesions import sweep_without
from mechcheck.engine.run import capture, plain_hooks, sweep
from mechcheck.notation.edges import edges
from mechcheck.notation.interventions import Ablate, Patch, Permute, Put
from mechcheck.notation.metrics import kl_divergence, loss
from mechcheck.notation.sites import Sites, heads, mlps, resid

LENGTHS = (7, 7, 10, 10)


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
@pytest.mark.parametrize("silent", [Sites(), heads("0.1"), heads("0.0 1.1") | mlps("0")], ids=["none", "a head", "three parts"])
def test_each_site_is_changed_in_the_lesioned_model(tiny, name, silent):
    """Hooks silence the parts; what a patch brings is captured with the parts silenced too."""
    model, prompts = tiny(name), random_prompts(3, LENGTHS)
    some = [*edges("0.2->1.0.q input->1.0.v 1.0->logits 0.2->1.2.q input->0.1.q 0.1->1.0.q"), *heads("0.2 1.0"), *mlps("1")]
    gone = [Ablate(silent)] if len(silent) else []
    some = [site for site in some if replace(site, to=None) not in silent]

    def patched(site):
        (value,) = capture(model, prompts.counterfactual, Sites([replace(site, to=None)]), gone).values()
        return Put({site: value})

    ways = {
        "patch": (Patch, patched),
        "zero": (lambda sites: Ablate(sites, "zero"), lambda site: Ablate(Sites([site]), "zero")),
        "permute": (lambda sites: Permute(sites, 3), lambda site: Permute(Sites([site]), 3)),
    }
    for change, by_hand in ways.values():
        found = sweep_without(model, prompts, silent, change, some, [loss, kl_divergence])
        with plain_hooks():
            right = sweep(model, prompts, [gone, *([*gone, by_hand(site)] for site in some)], loss)
        np.testing.assert_allclose(found[0], right, rtol=0, atol=1e-4)
        assert found[1].shape == right.shape


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
@pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
def test_edges_that_exchange_positions_are_swept(tiny, name):
    model, prompts = tiny(name), random_prompts(4, LENGTHS)
    variants = [Permute(edges(one), seed) for seed, one in enumerate(["0.2->1.0.q", "input->0.1.v", "mlp0->1.1.k", "1.0->logits"])]
    found = sweep(model, prompts, variants, loss)
    with plain_hooks():
        np.testing.assert_allclose(found, sweep(model, prompts, variants, loss), rtol=0, atol=1e-4)
    assert np.abs(found - sweep(model, prompts, [[]], loss)).max(1).min() > 1e-3


def test_edges_of_what_is_gone_and_into_it_are_worth_nothing(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    some = list(edges("0.1->1.0.q 0.1->logits input->0.1.q mlp0->1.1.v input->mlp0"))
    (found,) = sweep_without(model, prompts, heads("0.1") | mlps("0"), Patch, some, [loss])
    np.testing.assert_array_equal(found[1:], np.broadcast_to(found[0], found[1:].shape))
    (whole,) = sweep_without(model, prompts, Sites(), Patch, some, [loss])
    assert (np.abs(whole[1:] - whole[0]).max(1) > 1e-3).all()


def test_what_cannot_be_taken_out_is_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    for silent in (heads("0.1@END"), resid("1"), edges("0.1->logits")):
        with pytest.raises(SiteError, match="cannot be taken out whole"):
            sweep_without(model, prompts, silent, Patch, list(heads("0.0")), [loss])
    weight = model.blocks[0].attn.W_O.clone()
    sweep_without(model, prompts, heads("0.1"), Patch, list(heads("0.0")), [loss])
    assert torch.equal(weight, model.blocks[0].attn.W_O)
