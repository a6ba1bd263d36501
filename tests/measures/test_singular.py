"""Every inverse, solution and decomposition at an input that has none, or no single one."""

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.measures.heads.composition import composition
from mechcheck.measures.heads.vocabulary_circuits import copying_eigenvalue_scores, ov_circuit
from mechcheck.measures.stream.alignment import LinearMap, activations, fit_linear_map
from mechcheck.measures.stream.cross_model import between_heads, shared_vocabulary, vocabulary_map
from mechcheck.measures.stream.pseudo_inverse import pseudo_inverse
from mechcheck.measures.stream.tuned_lens import fit_tuned_lens
from mechcheck.notation.sites import heads


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (12, 12)])
@pytest.mark.parametrize("rank", [1, 5, 11])
def test_what_rounding_put_into_a_matrix_is_not_inverted(shape, rank, dtype):
    exact = drawn(0, shape[0], rank) @ drawn(1, rank, shape[1])
    rounded = exact.to(dtype if dtype != torch.float64 else torch.float32).double()
    found = pseudo_inverse(rounded, dtype, "it")
    precision = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    right = np.linalg.pinv(exact.numpy(), rcond=1e-10)
    assert np.linalg.norm(found.matrix.numpy() - right) < 50 * found.condition * precision * np.linalg.norm(right)
    sizes = np.linalg.svd(exact.numpy(), compute_uv=False)
    assert found.condition == pytest.approx(sizes[0] / sizes[rank - 1], rel=50 * found.condition * precision)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_a_matrix_of_zeros_and_one_that_is_not_finite(shape):
    with pytest.raises(MechcheckError, match="it is zero everywhere"):
        pseudo_inverse(torch.zeros(shape, dtype=torch.float64), torch.float32, "it")
    with pytest.raises(MechcheckError, match="it is not finite"):
        pseudo_inverse(torch.full(shape, torch.nan, dtype=torch.float64), torch.float32, "it")


def identity(width):
    return LinearMap(torch.eye(width, dtype=torch.float64), drawn(0, width) * 0, drawn(0, width) * 0)


def test_heads_that_write_in_fewer_directions_than_they_have(own_model):
    """Two heads that write the same: what goes through them is shared between both, as the smallest solution has it."""
    prompts, sites = random_prompts(3, (7, 7, 9)), heads("1.0 1.1", at="END")
    attention = own_model.blocks[1].attn
    with torch.no_grad():
        attention.W_O[1] = attention.W_O[0]
        across = between_heads(identity(24), own_model, prompts, sites, own_model, prompts, sites)
        half = torch.eye(8, dtype=torch.float64) / 2
        torch.testing.assert_close(across.weight, torch.cat([torch.cat([half, half])] * 2, dim=1), rtol=0, atol=1e-9)
        assert 1 <= across.condition < 1e3
        attention.W_O[:2] = 0
        with pytest.raises(MechcheckError, match=r"W_O of .* zero everywhere"):
            between_heads(identity(24), own_model, prompts, sites, own_model, prompts, sites)


def test_a_vocabulary_that_is_not_told_apart(own_model):
    shared = shared_vocabulary(own_model, own_model)
    with torch.no_grad():
        own_model.unembed.weight.copy_(torch.ones_like(own_model.unembed.weight))
    with pytest.raises(MechcheckError, match=r"unembedding of .* zero everywhere"):
        vocabulary_map(own_model, own_model, shared)


@pytest.mark.parametrize("ridge", [1e-8, 1e-3, 1.0])
def test_regression_on_columns_that_depend_on_each_other(ridge):
    """The weight goes to both of two equal columns, and half of it to each."""
    x, y = drawn(0, 40, 4), drawn(1, 40, 3)
    twice = torch.cat([x, x], dim=1)
    found = fit_linear_map(twice, y, ridge=ridge)
    torch.testing.assert_close(found.weight[:4], found.weight[4:], rtol=0, atol=1e-6)
    torch.testing.assert_close(found(twice), fit_linear_map(x, y, ridge=ridge / 2)(x), rtol=0, atol=1e-6)


def test_a_penalty_that_decides_nothing_is_refused():
    x, y = drawn(0, 40, 4), drawn(1, 40, 3)
    with pytest.raises(MechcheckError, match="ridge=1e-14 is too small for activations whose columns depend on each other"):
        fit_linear_map(torch.cat([x, x], dim=1), y, ridge=1e-14)
    wide = drawn(2, 5, 9)  # fewer rows than columns
    with pytest.raises(MechcheckError, match="too small"):
        fit_linear_map(wide, drawn(3, 5, 2), ridge=1e-14)
    fit_linear_map(x, y, ridge=1e-14)  # which are independent


def test_a_lens_on_fewer_tokens_than_dimensions(tiny):
    lens = fit_tuned_lens(tiny("gpt2"), random_prompts(3, (3, 3)), steps=0)
    assert torch.isfinite(lens.weight).all()
    assert lens.weight.abs().max() < 100


def test_eigenvalues_of_heads_whose_circuit_has_no_full_rank(own_model):
    """One direction that copies: 1. One that comes back nowhere (its matrix squared is zero): 0. None at all: NaN."""
    attention, chosen = own_model.blocks[1].attn, list(range(3, 20))
    with torch.no_grad():
        embedded, read = own_model.W_E[chosen], own_model.W_U[:, chosen] - own_model.W_U[:, chosen].mean(-1, keepdim=True)
        through = read @ embedded  # what a written vector becomes when the words that it says are read again
        attention.W_O[:3] = 0
        attention.W_V[:3] = 0
        written = drawn(5, 24)
        attention.W_O[0, 0] = written
        attention.W_V[0, :, 0] = through.T @ written @ torch.eye(24, dtype=torch.float64)
        attention.W_O[1, 0] = written
        seen = through.T @ written
        away = drawn(6, 24)
        attention.W_V[1, :, 0] = away - seen * (away @ seen) / (seen @ seen)
    scores = copying_eigenvalue_scores(own_model, chosen)[1]
    assert scores[0] == pytest.approx(1.0, abs=1e-6)
    assert scores[1] == 0
    assert np.isnan(scores[2])
    for head, right in zip(("1.0", "1.1", "1.2"), scores, strict=False):
        circuit = ov_circuit(own_model, head, tokens=chosen)
        assert circuit.own_token_score == pytest.approx(right, abs=1e-6, nan_ok=True)
        assert circuit.own_token.mean == pytest.approx(right, abs=1e-6, nan_ok=True)


def test_composition_of_one_direction(own_model):
    """A writer and a reader of one and the same direction compose fully, whatever other dimensions they leave empty."""
    first, second = own_model.blocks[0].attn, own_model.blocks[1].attn
    direction = drawn(0, 24)
    direction -= direction.mean()
    with torch.no_grad():
        first.W_O[0] = 0
        first.W_O[0, 0] = direction
        second.W_V[0] = 0
        second.W_V[0, :, 0] = direction
    found = composition(own_model, "V", "0.0", "1.0", n=50)
    assert found.scores[0, 0] == pytest.approx(1.0)
    assert found.beats_random.mean == 1.0
    assert np.isfinite(found.random).all()


def test_activations_that_do_not_vary(tiny):
    prompts = random_prompts(3, (7, 7))
    x = activations(tiny("gpt2"), prompts[[0, 0, 0]], heads("0.1@END"))
    with pytest.raises(MechcheckError, match="every row of x is the same"):
        fit_linear_map(x, x, ridge=1e-3)
