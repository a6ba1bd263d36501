"""Maps between models against numpy's least squares, across layouts, widths and tokenizers."""

import numpy as np
import plain
import pytest
import torch
from other_vocabulary import renumbered
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.measures.stream.alignment import (
    LinearMap,
    activations,
    align,
    check_same_texts,
    fit_linear_map,
    search_alignment,
    unexplained,
)
from mechcheck.notation.sites import Site, heads, resid, resid_post

LENGTHS = (7, 9, 12, 9) * 15


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ridge_by_hand(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Least squares with the penalty as further rows."""
    centred = x - x.mean(0)
    penalty = np.sqrt(ridge * len(x) * np.square(centred).mean()) * np.eye(x.shape[1])
    targets = np.concatenate([y - y.mean(0), np.zeros((x.shape[1], y.shape[1]))])
    return np.linalg.lstsq(np.concatenate([centred, penalty]), targets, rcond=None)[0]


@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_ridge_regression(ridge):
    x, y = 3 + 5 * drawn(0, 40, 6), drawn(1, 40, 4) - 2
    found = fit_linear_map(x.float(), y.float(), ridge=ridge)
    np.testing.assert_allclose(found.weight, ridge_by_hand(x.float().double().numpy(), y.float().double().numpy(), ridge), atol=1e-9)
    torch.testing.assert_close(found(x.mean(0)), y.mean(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.direction(x[0] - x[1]), found(x[0]) - found(x[1]), rtol=0, atol=1e-9)


def test_the_penalty_does_not_depend_on_the_size_of_the_stream():
    x, y = drawn(0, 40, 6), drawn(1, 40, 4)
    small, large = (fit_linear_map(scale * x, y, ridge=0.1)(scale * x) for scale in (1.0, 1000.0))
    torch.testing.assert_close(small, large, rtol=0, atol=1e-9)


def test_an_affine_relation_is_found_and_explains_everything():
    x, weight = drawn(0, 60, 6), drawn(1, 6, 4)
    y = x @ weight + 7
    found = fit_linear_map(x, y, ridge=1e-12)
    torch.testing.assert_close(found.weight, weight, rtol=0, atol=1e-8)
    prompts = random_prompts(3, LENGTHS)
    assert unexplained(found, x, y, prompts).mean == pytest.approx(0, abs=1e-12)


def test_the_unexplained_share_is_one_minus_r_squared():
    prompts, x, y = random_prompts(3, LENGTHS), drawn(0, 60, 6), drawn(1, 60, 4)
    mapped = LinearMap(drawn(2, 6, 4), x.mean(0), y.mean(0) + 1)
    predicted = ((x - x.mean(0)) @ mapped.weight + y.mean(0) + 1).numpy()
    expected = np.square(y.numpy() - predicted).sum() / np.square(y.numpy() - y.numpy().mean(0)).sum()
    measured = unexplained(mapped, x, y, prompts)
    assert measured.mean == pytest.approx(expected)
    assert measured.ids == prompts.ids
    nothing = LinearMap(torch.zeros(6, 4, dtype=torch.float64), x.mean(0), y.mean(0))
    assert unexplained(nothing, x, y, prompts).mean == pytest.approx(1)


def test_models_of_two_layouts_and_tokenizers(tiny, hugging_face):
    here = random_prompts(3, LENGTHS)
    there = renumbered(here)
    gpt2, neox = tiny("gpt2", processing="raw"), tiny("neox", processing="raw")
    found = align(gpt2, neox, (here, there), (resid("1@A"), heads("0.3 1.1", at="END")), ridge=0.2)
    rows = torch.arange(len(here))
    x = plain.activation(hugging_face("gpt2"), here, Site("resid_pre", 1))[rows, here.positions["A"]]
    y = torch.cat(
        [plain.activation(hugging_face("neox"), there, Site("head", *at))[rows, here.positions["END"]] for at in ((0, 3), (1, 1))], -1
    )
    np.testing.assert_allclose(found.weight, ridge_by_hand(x.numpy(), y.numpy(), 0.2), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.mean_to, y.mean(0), rtol=0, atol=1e-4)


def test_a_search_ranks_by_the_score_of_each_place_and_penalty(tiny):
    here = random_prompts(3, LENGTHS)
    gpt2, neox = tiny("gpt2"), tiny("neox")
    scores = {(1, 0.1): 1.0, (1, 1.0): 4.0, (2, 0.1): 3.0, (2, 1.0): 2.0}
    asked = []

    def score(fitted, site_from, site_to):
        place = 1 if site_to == resid("1@END") else 2
        ridge = next(
            r for r in (0.1, 1.0) if torch.equal(fitted.weight, align(gpt2, neox, (here, here), (site_from, site_to), ridge=r).weight)
        )
        asked.append((place, ridge))
        return scores[place, ridge]

    found = search_alignment(gpt2, neox, (here, here), [resid("1@A")], [resid("1@END"), resid_post("1@END")], [0.1, 1.0], score)
    assert sorted(asked) == sorted(scores)
    assert [(one.score, one.ridge) for one in found] == [(4.0, 1.0), (3.0, 0.1), (2.0, 1.0), (1.0, 0.1)]
    assert (found[0].sites_from, found[0].sites_to) == (resid("1@A"), resid("1@END"))


def test_other_prompts_are_refused():
    prompts = random_prompts(3, (7, 9, 12, 9))
    check_same_texts(prompts, renumbered(prompts))
    for other in (prompts[:2], prompts[[1, 0, 2, 3]], random_prompts(4, (7, 9, 12, 9))):
        with pytest.raises(PromptError, match="not the same prompts for two models"):
            check_same_texts(prompts, other)


def test_errors(tiny):
    gpt2, prompts = tiny("gpt2"), random_prompts(3, (7, 9))
    with pytest.raises(PromptError, match="name the position of resid 1 "):
        activations(gpt2, prompts, resid(1))
    for x, y in ((drawn(0, 4, 2), drawn(0, 3, 2)), (drawn(0, 1, 2), drawn(0, 1, 2)), (drawn(0, 4), drawn(0, 4))):
        with pytest.raises(MechcheckError, match="as many rows"):
            fit_linear_map(x, y, ridge=1.0)
    with pytest.raises(MechcheckError, match="ridge=0: the penalty must be positive"):
        fit_linear_map(drawn(0, 4, 2), drawn(0, 4, 2), ridge=0)
    with pytest.raises(MechcheckError, match="not finite"):
        fit_linear_map(drawn(0, 4, 2) / 0, drawn(0, 4, 2), ridge=1.0)
    with pytest.raises(MechcheckError, match="every row of x is the same"):
        fit_linear_map(torch.ones(4, 2), drawn(0, 4, 2), ridge=1.0)
    with pytest.raises(MechcheckError, match="the score of an alignment is NaN"):
        search_alignment(gpt2, gpt2, (prompts, prompts), [resid("1@A")], [resid("1@A")], [1.0], lambda *_: float("nan"))
