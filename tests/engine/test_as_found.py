"""What a caller has set changes no number, and is left as found: inference mode, a default dtype, autocast, a model in training mode."""

import inspect
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tiny import random_prompts

import mechcheck as m
from mechcheck.base.device import usual_torch
from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout
from mechcheck.conformance.support_rows import ROWS, Bench
from mechcheck.conformance.support_table import _arrays
from mechcheck.engine.hooks import as_loaded
from mechcheck.engine.run import logits_at_end, plain_hooks
from mechcheck.engine.untouched_cache import forget_runs


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def training(model):
    model.train()
    try:
        yield
    finally:
        model.eval()


STATES = {
    "inference mode": lambda model: torch.inference_mode(),
    "float64 by default": lambda model: default_dtype(torch.float64),
    "bfloat16 by default": lambda model: default_dtype(torch.bfloat16),
    "autocast": lambda model: torch.autocast("cpu", dtype=torch.bfloat16),
    "no gradients": lambda model: torch.no_grad(),
    "training": training,
}


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """Layout -> its model (with dropout, where it is trained), its prompts, and what each row of the support table says of them."""
    root, made = tmp_path_factory.mktemp("layouts"), {}
    for name in ("gpt2", "llama", "bert"):
        model = m.load_model(save_layout(name, root / name))
        bench = Bench(model, layout_prompts(model, LAYOUTS[name]))
        made[name] = bench, every_row(bench)
    return made


def every_row(bench):
    """Row of the support table -> its numbers, or its refusal."""
    forget_runs()
    found = {}
    for rows in ROWS.values():
        for row, attempt in rows.items():
            try:
                found[row] = [np.array(array) for array in _arrays(attempt(bench))]
            except ValueError as error:  # MechcheckError and those that derive from it
                found[row] = str(error)
    return found


@pytest.mark.parametrize(
    ("name", "state"),
    [*(("gpt2", state) for state in STATES), ("llama", "bfloat16 by default"), ("llama", "autocast"), ("bert", "training")],
)
@pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
def test_every_primitive_says_the_same(benches, name, state):
    bench, right = benches[name]
    with STATES[state](bench.model):
        found = every_row(bench)
    forget_runs()
    for row, expected in right.items():
        if isinstance(expected, str) or isinstance(found[row], str):
            assert found[row] == expected, row
            continue
        for array, one in zip(found[row], expected, strict=True):
            np.testing.assert_allclose(array, one, rtol=0, atol=1e-9, err_msg=row)


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_dropout_would_change_the_prediction(benches, name):
    """Else the test above shows nothing."""
    bench, _ = benches[name]
    tokens = bench.prompts.tokens
    with torch.no_grad(), training(bench.model):
        assert (bench.model(tokens) - bench.model(tokens)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("layout", "state"), [*(("gpt2", state) for state in STATES), *((name, "bfloat16 by default") for name in ("llama", "bert"))]
)
def test_loading_in_that_state(model_dirs, layout, state):
    prompts = random_prompts(4, (7, 9))
    right = {how: logits_at_end(m.load_model(model_dirs[layout], processing=how), prompts) for how in ("folded", "raw")}
    twin = logits_at_end(m.reinitialised(m.load_model(model_dirs[layout]), 3), prompts)
    m.forget_models()
    with STATES[state](torch.nn.Module()):
        for how, expected in right.items():
            model = m.load_model(model_dirs[layout], processing=how)
            torch.testing.assert_close(logits_at_end(model, prompts), expected, rtol=0, atol=1e-9)
            assert not any(parameter.is_inference() for parameter in model.parameters())
        model = m.load_model(model_dirs[layout])
        assert torch.equal(logits_at_end(m.reinitialised(model, 3), prompts), twin)
    assert torch.equal(logits_at_end(model, prompts), right["folded"])
    assert torch.equal(m.load_model(model_dirs[layout]).W_U, model.W_U)
    m.forget_models()


def flags(model):
    return [module.training for part in (model, model.original_model) for module in part.modules()]


@pytest.mark.parametrize("runner", ["own", "hooks"])
def test_a_model_is_left_as_it_was_found(benches, runner):
    """Training mode of the whole, or of one part; also where the run fails."""
    bench, _ = benches["gpt2"]
    model, prompts = bench

    def broken(logits, prompts):
        raise KeyError("mine")

    right = m.run(model, prompts).values
    for switch in (model.train, model.original_model.transformer.drop.train, model.blocks[1].train, model.eval):
        forget_runs()
        switch()
        before = flags(model)
        with m.plain_hooks() if runner == "hooks" else usual_torch():
            np.testing.assert_allclose(m.run(model, prompts).values, right, rtol=0, atol=1e-4)
            m.attention(model, prompts, "0.1")
            with pytest.raises(KeyError, match="mine"):
                m.run(model, prompts, metric=broken)
        assert flags(model) == before
        model.eval()


def test_torch_is_left_as_it_was_found(benches):
    (model, prompts), _ = benches["llama"]
    with torch.inference_mode(), default_dtype(torch.bfloat16), torch.autocast("cpu"):
        m.run(model, prompts)
        with plain_hooks():
            m.run(model, prompts)
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.bfloat16
        assert not torch.is_grad_enabled()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled), as_loaded(model):
            assert torch.is_grad_enabled() == enabled
    assert inspect.signature(m.fit_tuned_lens).parameters  # a decorator hides no signature
