"""Steering against plain hooks on the Hugging Face model, and its statistics against numpy by hand."""

from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import run
from mechcheck.measures.stream import steering as _steering
from mechcheck.measures.stream.curves import SteeringCurve, steering_figure
from mechcheck.measures.stream.steering import (
    class_vectors,
    random_directions,
    shuffled_vectors,
    steering_curve,
    steering_curves,
    steering_vector,
    swap_directions,
)
from mechcheck.notation.metrics import kl_divergence, probability
from mechcheck.notation.sites import Site, heads, resid, resid_post

LENGTHS = (7, 9, 12, 9)
SCALES = (-1.0, 0.0, 0.5, 2.0)


def stream(model, prompts, site: Site) -> torch.Tensor:
    """[prompt, d]: the site's activation at its position, by plain hooks."""
    return plain.activation(model, prompts, site)[torch.arange(len(prompts)), prompts.positions[site.at]]


def curve(values, scales) -> SteeringCurve:
    values = np.asarray(values, dtype=float)
    n = values.shape[1]
    return SteeringCurve(tuple(scales), values, tuple("abcdef"[:n]), ("t",) * n, "logit difference", "logits")


@pytest.mark.parametrize("against", ["counterfactual", "reference", "given"])
def test_difference_of_means(tiny, hugging_face, layout, against):
    prompts, oracle, site = random_prompts(5, LENGTHS), hugging_face(layout), Site("resid_pre", 1, None, "A")
    other = random_prompts(6, (8, 8)) if against == "given" else getattr(prompts, against)
    found = steering_vector(tiny(layout, processing="raw"), prompts, resid("1@A"), other if against == "given" else against)
    expected = stream(oracle, prompts, site).mean(0) - stream(oracle, other, site).mean(0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=HUGGING_FACE[layout])


def test_class_vectors_are_centred_on_all_prompts(tiny, hugging_face):
    prompts = random_prompts(5, LENGTHS)
    found = class_vectors(tiny("gpt2", processing="raw"), prompts, resid_post("0@END"), ["x", "y", "x", "x"])
    rows = stream(hugging_face("gpt2"), prompts, Site("resid_post", 0, None, "END"))
    np.testing.assert_allclose(found["x"], rows[[0, 2, 3]].mean(0) - rows.mean(0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["y"], rows[1] - rows.mean(0), rtol=0, atol=1e-9)
    swapped = swap_directions(found, ["x", "y"], ["y", "y"])
    np.testing.assert_allclose(swapped[0], rows[1] - rows[[0, 2, 3]].mean(0), rtol=0, atol=1e-9)
    assert not swapped[1].any()


@pytest.mark.parametrize("at", ["A", None])
@pytest.mark.parametrize("one_for_each", [False, True])
def test_a_curve_adds_the_scaled_vector(tiny, hugging_face, layout, one_for_each, at):
    prompts, oracle, site = random_prompts(5, LENGTHS), hugging_face(layout), Site("resid_pre", 1, None, at)
    width = oracle.config.hidden_size
    vector = torch.randn((len(prompts), width) if one_for_each else width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = steering_curve(tiny(layout, processing="raw"), prompts, vector, resid(1, at=at), SCALES)
    clean = plain.activation(oracle, prompts, site)
    for scale, values in zip(SCALES, found.values, strict=True):
        added = clean + scale * (vector[:, None] if one_for_each else vector)
        expected = plain.logit_diff_with(oracle, prompts, {site: added})
        np.testing.assert_allclose(values, expected, rtol=0, atol=HUGGING_FACE[layout])
    assert found.scales == SCALES
    assert (found.ids, found.name, found.unit) == (prompts.ids, "logit difference", "logits")


def test_many_vectors_are_swept_at_once_each_by_itself(tiny, layout):
    model, prompts = tiny(layout), random_prompts(5, LENGTHS)
    vector = torch.randn(model.cfg.d_head, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first, second = steering_curves(model, prompts, [vector, -vector], heads("0.0 1.1@END"), SCALES, probability)
    np.testing.assert_allclose(first.values[1], second.values[1], rtol=0, atol=SAME_FORWARD[layout])
    alone = steering_curve(model, prompts, -vector, heads("0.0 1.1@END"), SCALES, probability)
    np.testing.assert_allclose(second.values, alone.values, rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(first.at(0.0).values, run(model, prompts, metric=probability).values, rtol=0, atol=SAME_FORWARD[layout])
    assert np.abs(first.values[3] - second.values[3]).max() > 1e-6
    assert first.name == "p(answer)"


def test_divergence_from_the_untouched_run(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    vector = torch.ones(24, dtype=torch.float64) * torch.arange(24)
    found = steering_curve(model, prompts, vector, resid("1@END"), (0.0, 0.1, 1.0), kl_divergence)
    np.testing.assert_allclose(found.values[0], 0, rtol=0, atol=1e-12)
    assert (found.values[2] > found.values[1]).all()


def test_slope_and_nonlinearity_by_hand():
    scales = [-1.0, 0.0, 0.5, 2.0]
    values = np.column_stack([np.polyval([3.0, 1.0], scales), np.polyval([2.0, -1.0, 0.5], scales), np.tanh(scales)])
    found = curve(values, scales)
    for column, slope in zip(values.T, found.slope.values, strict=True):
        assert slope == pytest.approx(np.polyfit(scales, column, 1)[0])
    total = sum(np.polyfit(scales, column, 1, full=True)[1].sum() for column in values.T)
    assert found.nonlinearity.mean == pytest.approx(total / np.square(values - values.mean(0)).sum())
    assert curve(values[:, :1], scales).nonlinearity.mean == pytest.approx(0, abs=1e-12)
    assert curve([[1.0], [0.0], [1.0]], [-1.0, 0.0, 1.0]).nonlinearity.mean == pytest.approx(1)
    assert found.slope.unit == "logits per unit of scale"


def test_a_curve_with_a_value_that_is_not_finite_is_drawn_without_an_interval_there():
    values = np.array([[1.0, 2.0, 4.0], [np.nan, 0.0, 1.0], [3.0, 1.0, 2.0]])
    ((low, high),) = steering_figure("curve", {"own": curve(values, (0.0, 1.0, 2.0))}).bands.values()
    assert np.isnan([low[1], high[1]]).all()
    assert np.isfinite([low[0], high[0], low[2], high[2]]).all()


def test_one_scale_as_a_measurement():
    found = curve([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], [0.0, 1.0, 2.0])
    assert found.at(1).values.tolist() == [3.0, 4.0]
    assert found.mean.tolist() == [1.5, 3.5, 6.0]
    with pytest.raises(MechcheckError, match="scale 3 was not swept; there are 0, 1, 2"):
        found.at(3)
    with pytest.raises(MechcheckError, match="a line through 2 scales"):
        _ = curve([[1.0], [2.0]], [0.0, 1.0]).slope


@pytest.mark.parametrize("shape", [(24,), (5, 24)])
def test_random_directions_have_the_vectors_norm_and_no_other_likeness(shape):
    vector = torch.arange(float(np.prod(shape))).reshape(shape)
    found = random_directions(vector, 200, seed=3)
    norms = torch.stack([one.norm(dim=-1) for one in found])
    torch.testing.assert_close(norms, vector.norm(dim=-1).expand_as(norms))
    cosines = torch.stack([torch.cosine_similarity(one, vector, dim=-1) for one in found])
    assert abs(cosines.mean()) < 0.03
    assert cosines.std() == pytest.approx(24**-0.5, rel=0.15)
    torch.manual_seed(0)
    assert torch.equal(random_directions(vector, 1, seed=3)[0], found[0])
    assert not torch.equal(found[0], found[1])


def test_shuffled_labels_exchange_aligned_prompts(tiny, hugging_face):
    prompts, site = random_prompts(5, LENGTHS), Site("resid_pre", 1, None, "END")
    model, oracle = tiny("gpt2", processing="raw"), hugging_face("gpt2")
    gap = (stream(oracle, prompts, site) - stream(oracle, prompts.counterfactual, site)).numpy()
    possible = np.array([(2 * np.array(coins) - 1) @ gap / 4 for coins in np.ndindex(2, 2, 2, 2)])
    found = np.stack(shuffled_vectors(model, prompts, resid("1@END"), 30, seed=2, same_norm=False))
    distance = np.abs(found[:, None] - possible[None]).max(-1)
    assert (distance.min(1) < 1e-9).all()
    assert len(set(distance.argmin(1))) > 8
    longer = np.stack(shuffled_vectors(model, prompts, resid("1@END"), 30, seed=2))
    lengths = np.linalg.norm(longer, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(gap.mean(0)), rtol=1e-9)
    np.testing.assert_allclose((longer * found).sum(1) / lengths / np.linalg.norm(found, axis=1), 1, rtol=1e-9)


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    bare = replace(prompts, counterfactual=None)
    with pytest.raises(PromptError, match="these prompts have no counterfactual"):
        steering_vector(model, bare, resid("1@END"))
    with pytest.raises(MechcheckError, match="cannot steer against 'foil'"):
        steering_vector(model, prompts, resid("1@END"), "foil")
    for sites in (resid("1"), resid("0-1@END")):
        with pytest.raises(MechcheckError, match="one site at a named position"):
            steering_vector(model, prompts, sites)
    with pytest.raises(MechcheckError, match="3 labels for 4 prompts"):
        class_vectors(model, prompts, resid("1@END"), [1, 2, 3])
    with pytest.raises(MechcheckError, match="no vector for 7"):
        swap_directions({1: torch.ones(2)}, [1], [7])
    with pytest.raises(MechcheckError, match="3 numbers cannot steer resid 1@END, which has 24"):
        steering_curve(model, prompts, torch.ones(4, 3), resid("1@END"), SCALES)
    with pytest.raises(PromptError, match="3 steering vectors for 4 prompts"):
        steering_curve(model, prompts, torch.ones(3, 24), resid("1@END"), SCALES)
    with pytest.raises(MechcheckError, match="at least one vector and one scale"):
        steering_curve(model, prompts, torch.ones(24), resid("1@END"), [])
    with pytest.raises(PromptError, match="1 prompts against 4"):
        shuffled_vectors(model, prompts, resid("1@END"), 3, 0, prompts[:1])
    with pytest.raises(MechcheckError, match="do not differ at resid 1@END"):
        shuffled_vectors(model, prompts, resid("1@END"), 3, 0, prompts)


def test_shuffled_pairs_that_cancel_give_no_direction(tiny, monkeypatch):
    model, prompts = tiny("gpt2"), random_prompts(3, (6, 6))
    gap = torch.ones(2, model.cfg.d_model, dtype=torch.float64)
    found = iter([gap, torch.zeros_like(gap)])
    monkeypatch.setattr(_steering, "_activation", lambda *args: next(found))
    with pytest.raises(MechcheckError, match="cancel each other exactly"):
        shuffled_vectors(model, prompts, resid("1@END"), 20, seed=0)
