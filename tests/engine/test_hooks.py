"""Hooks: each fires, none is left, and the model is as it was."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import HookError
from mechcheck.engine.hooks import record
from mechcheck.engine.run import observe, plain_hooks, run, sweep
from mechcheck.notation import sites as _sites
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import attn_outs, heads, mlps, resid

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.fixture(params=["suffix runner", "plain hooks"], autouse=True)
def runner(request):
    """Both ways to run a variant."""
    with plain_hooks() if request.param == "plain hooks" else nullcontext():
        yield


def test_weights_and_hooks_are_as_before(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    tokens = prompts.tokens.clone()
    before = run(model, prompts).values
    sweep(model, prompts, [[Ablate(heads("0.1"), "mean")], [Patch(resid(1))]])
    with pytest.raises(ZeroDivisionError):
        observe(model, prompts, {0: ("blocks.1.hook_resid_pre", lambda x, rows: 1 / 0)}, Ablate(heads("0.1")))
    assert hooks_left(model) == []
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(prompts.tokens, tokens)
    np.testing.assert_array_equal(run(model, prompts).values, before)


def hooks_left(model) -> list[str]:
    return [name for name, point in model.hook_dict.items() if point.fwd_hooks or point._forward_hooks]


def test_hooks_left_would_be_seen(tiny, layout):
    model = tiny(layout)
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", lambda x, hook: x)]):
        assert "blocks.0.attn.hook_z" in hooks_left(model)


def test_a_hook_that_does_not_exist_is_an_error(tiny, layout, monkeypatch):
    monkeypatch.setitem(_sites._HOOKS, "mlp_out", "blocks.{layer}.hook_mlp_output")
    with pytest.raises(HookError, match=r"has no hook blocks\.1\.hook_mlp_output"):
        run(tiny(layout), random_prompts(3, LENGTHS), Ablate(mlps(1)))


def test_a_hook_that_does_not_fire_is_an_error(tiny, layout, monkeypatch):
    """Each layout has hooks that exist and never fire."""
    silent = "blocks.{layer}.mlp.in.hook_in" if layout == "llama" else "blocks.{layer}.attn.qkv.hook_out"
    monkeypatch.setitem(_sites._HOOKS, "attn_out", silent)
    with pytest.raises(HookError, match=r"these hooks did not fire .*: blocks\.0\."):
        run(tiny(layout), random_prompts(3, LENGTHS), Ablate(attn_outs(0)))
    assert hooks_left(tiny(layout)) == []


@pytest.mark.parametrize("read", [None, 3, (0, 2, 5)], ids=str)
def test_logits_are_made_only_where_they_are_wanted(tiny, layout, read):
    """Prompts end at different positions, so that a column that is another one for each row is put to the right one."""
    model, prompts = tiny(layout), random_prompts(3, (5, 9, 7, 7))
    at = None if read is None else torch.tensor(read).expand(len(prompts), *([] if isinstance(read, int) else [3]))
    made = []
    handle = model.unembed.register_forward_hook(lambda _module, args, _out: made.append(args[0].shape[1]))
    try:
        found = record(model, prompts, read=at).logits
    finally:
        handle.remove()
    with torch.no_grad():
        every = model(prompts.tokens)
    rows = torch.arange(len(prompts))
    expected = every[rows, prompts.lengths - 1] if at is None else every[rows[:, None] if at.ndim > 1 else rows, at]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    wanted = (prompts.lengths - 1 if at is None else at).unique()
    assert made == [len(wanted)]
