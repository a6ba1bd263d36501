"""Weights in oneDNN's layout multiply as the others do, wherever the fast runner goes; and are made only where they pay."""

import numpy as np
import pytest
import torch
from tiny import LAYOUTS, MORE_LAYOUTS, random_prompts, save_model

from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.engine.arithmetic import layer, packing
from mechcheck.engine.arithmetic.layer import ACTIVATIONS, Linear
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.graphs.lesions import sweep_without
from mechcheck.engine.run import plain_hooks, sweep
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import Sites, heads, mlps

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
VARIANTS = [Ablate(heads("0.1"), "zero"), Patch(heads("1.0@END")), Patch(mlps("0"))]


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """packed(layout): a model whose weights are packed, however small."""
    monkeypatch.setattr(packing, "_LARGE", 0)

    def made(layout):
        save_model(layout, tmp_path)
        model = load_model(tmp_path)
        assert all(product.packed is not None for layer in arithmetic(model).layers for product in layer.products)
        return model

    return made


@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product(rows, bias):
    generator = torch.Generator().manual_seed(rows)
    weight, given = (torch.randn(size, generator=generator) for size in ((512, 640), (640,)))
    linear, x = Linear(weight, given if bias else None), torch.randn(2, rows, 512, generator=generator)
    packed = linear.with_packed()
    assert packed.packed is not None
    exact = x.double() @ weight.double() + (given.double() if bias else 0)
    torch.testing.assert_close(packed(x).double(), exact, atol=1e-4, rtol=0)
    part = packed.columns(10, 30)
    torch.testing.assert_close(part(x), packed(x)[..., 10:30], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "silu", "relu"])
def test_a_function_behind_the_product(name):
    generator = torch.Generator().manual_seed(0)
    linear, x = Linear(torch.randn(512, 640, generator=generator), None), torch.randn(7, 512, generator=generator) / 10
    packed, act = linear.with_packed(), ACTIVATIONS[name]
    assert act in layer._BEHIND_A_PRODUCT
    torch.testing.assert_close(packed(x, act), act(packed(x)), atol=1e-5, rtol=0)
    assert torch.equal(linear(x, act), act(linear(x)))
    assert torch.equal(packed(x, torch.sin), packed(x).sin())  # of which oneDNN does not know


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_a_sweep_is_that_of_plain_hooks(packed, layout):
    model, prompts = packed(layout), random_prompts(3, (7, 7, 9, 9))
    found = sweep(model, prompts, VARIANTS)
    with plain_hooks():
        expected = sweep(model, prompts, VARIANTS)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - found[:1]).max() > 1e-2


def test_gradients_pass(packed, tmp_path, monkeypatch):
    model, prompts = packed("gpt2"), random_prompts(3, (7, 7, 9, 9))
    found = edge_scores(model, prompts, method="eap").values
    monkeypatch.setattr(packing, "PACKED_BYTES", 0)
    np.testing.assert_allclose(found, edge_scores(load_model(tmp_path), prompts, method="eap").values, atol=1e-4)
    assert np.nanmax(np.abs(found)) > 1e-3


def test_a_lesion_multiplies_with_its_own_weights(packed):
    model, prompts = packed("gpt2"), random_prompts(3, (7, 7, 9, 9))
    silent = Sites([*heads("0.1"), *mlps("1")])
    (found,) = sweep_without(model, prompts, silent, lambda sites: Ablate(sites, "zero"), [*heads("1.0")], [logit_diff])
    expected = sweep(model, prompts, [[Ablate(silent, "zero")], [Ablate(Sites([*silent, *heads("1.0")]), "zero")]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_changed_weights_are_packed_anew(packed):
    model, prompts = packed("gpt2"), random_prompts(3, (7, 7, 9, 9))
    before = sweep(model, prompts, VARIANTS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    after = sweep(model, prompts, VARIANTS)
    with plain_hooks():
        np.testing.assert_allclose(after, sweep(model, prompts, VARIANTS), atol=1e-4)
    assert np.abs(after - before).max() > 1e-2


@pytest.mark.parametrize(
    ("shape", "dtype", "most"),
    [((500, 500), torch.float32, 2**30), ((600, 600), torch.float64, 2**30), ((600, 600), torch.bfloat16, 2**30),
     ((600, 600), torch.float32, 600 * 600 * 4 - 1)],
    ids=["small", "float64", "bfloat16", "too much"],
)  # fmt: skip
def test_what_is_not_packed(monkeypatch, shape, dtype, most):
    monkeypatch.setattr(packing, "PACKED_BYTES", most)
    weight = torch.zeros(shape, dtype=dtype)
    assert not packing.packs([weight]) or packing.pack(weight) is None


def test_without_onednn_nothing_is_packed(monkeypatch):
    weight = torch.zeros(600, 600)
    assert packing.packs([weight])
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not packing.packs([weight])
