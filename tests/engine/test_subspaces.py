"""Sites within a subspace: what is read along it, and what changes there while all else stays."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_spans_as_sites import LENGTHS, pair
from tiny import LAYOUTS, SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.codes import direction, subspace
from mechcheck.notation.interventions import Ablate, Patch, Permute, Put, Scale, Steer
from mechcheck.notation.metrics import logit_diff, loss
from mechcheck.notation.sites import (
    Site,
    Sites,
    attn_outs,
    heads,
    keys,
    mlp_hidden,
    mlps,
    neurons,
    patterns,
    resid,
    resid_mid,
    resid_post,
    values,
)

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
KINDS = {
    "head": heads("0.1"), "k": keys("1.0"), "v": values("0.0"), "resid": resid("1"), "post": resid_post("0"), "mid": resid_mid("0"),
    "mlp": mlps("0"), "hidden": mlp_hidden("1"), "attn": attn_outs("1"),
}  # fmt: skip


def some_rows(model, site: Site, width: int, seed: int = 0):
    d = {"head": "d_head", "k": "d_head", "v": "d_head", "neuron": "d_mlp"}.get(site.kind, "d_model")
    return torch.randn(width, getattr(model.cfg, d), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@few
@given(st.data())
def test_it_is_what_putting_the_whole_activation_is(tiny, data):
    """The oracle: capture all of it, change it by hand with a projection matrix, and put it back."""
    layout = data.draw(st.sampled_from((*LAYOUTS, "bert")))
    model, prompts = tiny(layout), pair(data.draw(st.integers(0, 5)))
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    sites = KINDS[kind].at(data.draw(st.sampled_from([None, "A", "AB", "END"])))
    try:
        (whole,) = capture(model, prompts, sites).values()
    except SiteError:
        return  # the layout has no such place
    (site,) = sites
    (other,) = capture(model, prompts.counterfactual, sites).values()
    basis = subspace(some_rows(model, site, data.draw(st.integers(1, 3)), 7))
    projector = (basis.basis.T @ basis.basis).to(whole)
    how = data.draw(st.sampled_from(["zero", "patch", "scale", "steer"]))
    coordinates = torch.arange(1.0, 1 + basis.size[0], dtype=torch.float64)
    done, right = {
        "zero": (Ablate(sites.within(basis), "zero"), whole - whole @ projector),
        "patch": (Patch(sites.within(basis)), whole + (other - whole) @ projector),
        "scale": (Scale(sites.within(basis), 3.0), whole + 2 * whole @ projector),
        "steer": (Steer(coordinates, sites.within(basis), 0.5), whole + (0.5 * coordinates @ basis.basis).to(whole)),
    }[how]
    metric = data.draw(st.sampled_from([logit_diff, logit_diff.over("ALL") if layout == "bert" else loss]))
    found, expected = sweep(model, prompts, [done, Put({site: right})], metric)
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_FORWARD[layout])
    with plain_hooks():
        np.testing.assert_allclose(sweep(model, prompts, [done], metric)[0], expected, rtol=0, atol=SAME_FORWARD[layout])


def test_projecting_out_by_hand(tiny, hugging_face):
    prompts, model = random_prompts(3, LENGTHS), hugging_face("gpt2")
    basis = subspace(torch.randn(2, model.config.n_embd, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    flat = torch.eye(model.config.n_embd, dtype=torch.float64) - basis.basis.T @ basis.basis
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):

        def flattened(module, args):
            return (args[0] @ flat.to(args[0]), *args[1:])

        handle = model.transformer.h[1].register_forward_pre_hook(flattened)
        with torch.no_grad():
            logits = model(prompts.tokens[row : row + 1, :n]).logits[0, -1]
        handle.remove()
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    found = run(tiny("gpt2", processing="raw"), prompts, Ablate(resid("1").within(basis), "zero")).values
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-9)


def test_what_is_read_is_the_coordinates(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, LENGTHS)
    place = resid("1@END")
    (whole,) = capture(model, prompts, place).values()
    one = direction(some_rows(model, next(iter(place)), 1)[0], name="one")
    ((site, read),) = capture(model, prompts, place.within(one)).items()
    torch.testing.assert_close(read, whole @ one.basis.to(whole).T)
    assert str(site) == "resid 1@END[one]"
    mean, zero = Ablate(place.within(one), "mean"), Ablate(place.within(one), "zero")
    ((_, read_mean),) = capture(model, prompts, place.within(one), mean).items()
    reference = capture(model, prompts.reference, place.within(one))[site]
    torch.testing.assert_close(read_mean, reference.mean(0).expand_as(read_mean), rtol=0, atol=1e-5)
    assert float(capture(model, prompts, place.within(one), zero)[site].abs().max()) < 1e-5


def test_all_of_it_is_the_whole_site(tiny):
    """A basis of the whole space leaves nothing out: a patch within it is the patch."""
    model, prompts = tiny("llama"), pair(1)
    whole = subspace(some_rows(model, Site("resid_pre", 1), model.cfg.d_model))
    within, plain = sweep(model, prompts, [Patch(resid("1@A").within(whole)), Patch(resid("1@A"))])
    np.testing.assert_allclose(within, plain, rtol=0, atol=1e-9)


def test_positions_exchanged_within_a_subspace_keep_the_rest(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    one = direction(some_rows(model, Site("resid_pre", 1), 1)[0])
    (before,) = capture(model, prompts, resid("1")).values()
    (after,) = capture(model, prompts, resid("1"), Permute(resid("1").within(one), seed=3)).values()
    read = one.basis.to(before)
    torch.testing.assert_close(before - (before @ read.T) @ read, after - (after @ read.T) @ read)
    n = int(prompts.lengths[0])
    found, original = (sorted((some[0, :n] @ read.T)[:, 0].tolist()) for some in (after, before))
    np.testing.assert_allclose(found, original, atol=1e-12)
    assert not torch.allclose(after @ read.T, before @ read.T)


def test_what_cannot_be_is_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    right = direction(torch.ones(model.cfg.d_model), name="ones")
    sizes = rf"'ones' reads activations of {model.cfg.d_model} numbers, and head 0.1@END has {model.cfg.d_head}"
    with pytest.raises(SiteError, match=sizes):
        run(model, prompts, Ablate(heads("0.1@END").within(right)))
    for sites in (patterns("0.1@END"), neurons("0.3@END")):
        with pytest.raises(SiteError, match="has no subspaces or features"):
            run(model, prompts, Scale(sites.within(right), 0.5))
    with pytest.raises(PromptError, match="changed twice at once"):
        run(model, prompts, [Ablate(resid("1@END").within(right)), Ablate(resid("1@END"))])
    with pytest.raises(MechcheckError, match="needs an activation of shape"):
        run(model, prompts, Put({site: torch.zeros(len(prompts), model.cfg.d_model) for site in resid("1@END").within(right)}))


@pytest.mark.parametrize(
    ("vectors", "why"),
    [
        (torch.zeros(0, 4), "rows of numbers"),
        (torch.ones(4), "rows of numbers"),
        (torch.zeros(1, 4), "points nowhere"),
        (torch.tensor([[1.0, 2.0], [2.0, 4.0]]), "lies in the span of the others"),
        (torch.eye(3)[:, :2], "cannot be independent"),
        (torch.tensor([[1.0, torch.nan]]), "not finite"),
    ],
)
def test_what_spans_nothing_is_refused(vectors, why):
    with pytest.raises(MechcheckError, match=why):
        subspace(vectors)


def test_a_basis_keeps_the_first_direction_and_its_sign():
    rows = torch.tensor([[-3.0, 4.0, 0.0], [1.0, 1.0, 1.0]])
    found = subspace(rows)
    torch.testing.assert_close(found.basis[0], torch.tensor([-0.6, 0.8, 0.0], dtype=torch.float64))
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(2, dtype=torch.float64))
    assert subspace(found.basis).basis.equal(found.basis)
    torch.testing.assert_close(direction([0.0, -2.0]).basis, torch.tensor([[0.0, -1.0]], dtype=torch.float64))


def test_two_sites_are_the_same_where_their_subspaces_are():
    one, same, other = direction([1.0, 2.0], name="x"), direction([2.0, 4.0], name="x"), direction([1.0, 2.1], name="x")
    assert len(Sites([*resid("1").within(one), *resid("1").within(same), *resid("1").within(other)])) == 2
    assert len(resid("1") | resid("1").within(one)) == 2


def test_two_directions_span_a_plane():
    plane = direction([1.0, 0.0, 0.0], name="x") | direction([1.0, 1.0, 0.0], name="y")
    torch.testing.assert_close(plane.basis, torch.eye(3, dtype=torch.float64)[:2])
    assert plane.name == "x+y"


def test_the_hidden_activation_of_an_mlp_is_all_of_its_neurons(tiny, layout):
    model, prompts = tiny(layout), pair(2)
    every = neurons([(0, i) for i in range(model.cfg.d_mlp)])
    together, apart = sweep(model, prompts, [Patch(mlp_hidden("0@B")), Patch(every.at("B"))])
    np.testing.assert_allclose(together, apart, rtol=0, atol=SAME_FORWARD[layout])
    assert abs(together - run(model, prompts).values).min() > 1e-6
    (hidden,) = capture(model, prompts, mlp_hidden("0@B")).values()
    one_by_one = capture(model, prompts, every.at("B"))
    torch.testing.assert_close(hidden, torch.cat([one_by_one[site] for site in every.at("B")], dim=1))
    with pytest.raises(PromptError, match=r"neuron 1.0@END is changed twice at once"):
        run(model, prompts, [Ablate(mlp_hidden("1")), Ablate(neurons("1.0@END"))])
