"""Row space and null space: the split of a direction, and the illusion that it tells."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_direction import GAIN, word_pairs, write_planted
from tiny import random_prompts

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.engine.run import capture, run
from mechcheck.measures.subspaces.fitting import difference_of_means
from mechcheck.measures.subspaces.split import null_space_split, reading_map
from mechcheck.models.loading import load_model
from mechcheck.notation.codes import direction, subspace
from mechcheck.notation.interventions import Ablate, Put
from mechcheck.notation.sites import Site, heads, mlp_hidden, mlps, queries, resid, values

HIDDEN = mlp_hidden("0@END")
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def illusory(tmp_path_factory):
    return load_model(write_planted(tmp_path_factory.mktemp("illusory"), illusion=True), dtype="float64")


def test_the_illusion_is_told(illusory):
    """Neuron 0 differs by 2 between the prompts and is not read; neuron 1 is read and never differs. Along their sum both move by 1."""
    prompts = word_pairs(24, 0)
    found = null_space_split(illusory, prompts, HIDDEN.within(direction([1.0, 1.0, 0.0, 0.0], name="illusion")))
    np.testing.assert_allclose(found.within.shift.values, 2 * GAIN * np.ones(24), atol=1e-9)
    np.testing.assert_allclose(found.by_row.shift.values, 0, atol=1e-9)
    np.testing.assert_allclose(found.by_null.shift.values, 0, atol=1e-9)
    np.testing.assert_allclose(found.within.whole_shift.values, 0, atol=1e-9)
    assert found.row_share == pytest.approx(0.5)
    assert found.kept.mean == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(found.row.basis.abs(), torch.tensor([[0.0, 1.0, 0.0, 0.0]], dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.null.basis.abs(), torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64), atol=1e-6, rtol=0)


def test_what_is_read_alone_keeps_it_all_and_what_is_not_does_nothing(illusory):
    prompts = word_pairs(24, 0)
    read, unread = (null_space_split(illusory, prompts, HIDDEN.within(direction(torch.eye(4)[i]))) for i in (1, 0))
    assert (read.null, read.row_share) == (None, pytest.approx(1))
    assert (unread.row, unread.row_share) == (None, 0.0)
    np.testing.assert_allclose(unread.within.shift.values, 0, atol=1e-12)
    np.testing.assert_allclose(read.within.shift.values, 0, atol=1e-12)


@few
@given(st.data())
def test_it_is_what_projections_by_hand_do(tiny, data):
    layout = data.draw(st.sampled_from(["gpt2", "neox", "llama", "bert"]))
    model, prompts = tiny(layout, processing="raw"), random_prompts(data.draw(st.integers(0, 3)), (6, 8, 5))
    place = data.draw(st.sampled_from([mlp_hidden("0@A"), heads("0.1@A"), values("0.1@A")]))
    (site,) = place
    d = model.cfg.d_mlp if site.together and site.kind == "neuron" else model.cfg.d_head
    code = subspace(torch.randn(data.draw(st.integers(1, 2)), d, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    tolerance = data.draw(st.sampled_from([None, 0.6]))
    found = null_space_split(model, prompts, place.within(code), tolerance=tolerance)
    whole = reading_map(model, site).double()
    u, s, _ = np.linalg.svd(whole.numpy(), full_matrices=False)
    kept = u[:, s > (1e-10 if tolerance is None else tolerance) * s[0]]
    parts = [np.linalg.svd(code.basis.numpy() @ p, full_matrices=False) for p in (kept @ kept.T, np.eye(d) - kept @ kept.T)]
    (own,), (theirs,) = (capture(model, some, place).values() for some in (prompts, prompts.counterfactual))
    clean = run(model, prompts).values
    atol = 1e-4 if layout == "llama" else 1e-9
    for (_, lengths, rows), part in zip(parts, (found.by_row, found.by_null), strict=True):
        basis = torch.from_numpy(rows[lengths > 1e-6])
        mixed = run(model, prompts, Put({site: own + (theirs - own) @ (basis.T @ basis).to(own)})).values
        np.testing.assert_allclose(part.shift.values, clean - mixed, rtol=0, atol=atol)


@pytest.mark.parametrize("layout", ["gpt2", "neox", "llama", "bert"])
def test_a_site_is_read_by_its_map_alone(tiny, layout):
    """Its own head's, or of grouped values those of all heads that read them."""
    model = tiny(layout, processing="raw")
    for place in (heads("0.1@END"), values("1.1@END"), mlp_hidden("1@END")):
        (site,) = place
        read = reading_map(model, site)
        assert read.shape[0] == (model.cfg.d_mlp if site.together and site.kind == "neuron" else model.cfg.d_head)
    group = model.cfg.n_heads // (model.cfg.n_key_value_heads or model.cfg.n_heads)
    assert reading_map(model, Site("v", 0, 1)).shape[1] == group * model.cfg.d_model
    torch.testing.assert_close(reading_map(model, Site("v", 0, 1))[:, : model.cfg.d_model], reading_map(model, Site("head", 0, group)))


def test_a_part_is_verified_on_other_prompts_too(illusory):
    learnt = word_pairs(20, 0, range(0, 20))
    found = difference_of_means(illusory, learnt, HIDDEN)
    with pytest.raises(PromptError, match="was fitted on 20 of these"):
        null_space_split(illusory, learnt, found.sites)
    split = null_space_split(illusory, word_pairs(20, 1, range(20, 38)), found.sites)
    assert split.null.fitted_on == found.subspace.fitted_on
    assert split.row is None  # the class lies in the neuron that nobody reads


@pytest.mark.parametrize(
    ("sites", "why"),
    [
        (HIDDEN, "one site within a subspace"),
        ((heads("0.0@END") | heads("0.0@A")).within(direction([1.0] * 8)), "one site within a subspace"),
        (resid("1@END").within(direction([1.0] * 24)), "no one linear reader"),
        (mlps("1@END").within(direction([1.0] * 24)), "no one linear reader"),
        (queries("1.0@END").within(direction([1.0] * 8)), "no one linear reader"),
        (mlp_hidden("7@END").within(direction([1.0] * 20)), "no layer 7"),
        (mlp_hidden("0@END").within(direction([1.0] * 24)), "reads activations of 24"),
    ],
)
def test_what_cannot_be_split_is_refused(tiny, sites, why):
    with pytest.raises(SiteError, match=why):
        null_space_split(tiny("gpt2"), random_prompts(0, (6, 8)), sites)


def test_projecting_out_what_is_not_read_changes_nothing(illusory):
    prompts = word_pairs(24, 0)
    unread, read = (run(illusory, prompts, Ablate(HIDDEN.within(direction(torch.eye(4)[i])), "zero")).values for i in (0, 1))
    np.testing.assert_array_equal(unread, run(illusory, prompts).values)
    np.testing.assert_allclose(read, run(illusory, prompts).values - 2 * GAIN)
