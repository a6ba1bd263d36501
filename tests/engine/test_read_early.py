"""Reading ends behind the last layer that is looked at: what is read is the same, to the bit, and the model is as it was."""

import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import HookError, SiteError
from mechcheck.conformance.layouts import layout_prompts
from mechcheck.conformance.support_table import _save, columns
from mechcheck.engine.hooks import check_exist, read, record
from mechcheck.engine.run import observe
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import _HOOKS, heads


def whole(activation, rows):
    return activation.clone()


def names(model):
    every = dict.fromkeys(hook.format(layer=layer) for hook in _HOOKS.values() for layer in range(model.cfg.n_layers))
    for name in every:
        try:
            check_exist(model, [name])
        except (HookError, SiteError):
            continue
        yield name


@pytest.mark.parametrize("name", columns())
def test_each_hook_of_each_layout(name, tmp_path):
    model = load_model(_save(name, tmp_path / name), dtype="float64")
    prompts = layout_prompts(model, columns()[name])
    before = record(model, prompts).logits
    read_some = 0
    for hook in names(model):
        try:
            expected = record(model, prompts, {0: (hook, whole)}).recorded[0]
        except HookError:  # it does not fire in this layout
            with pytest.raises(HookError, match="did not fire"):
                read(model, prompts, {0: (hook, whole)})
            continue
        torch.testing.assert_close(read(model, prompts, {0: (hook, whole)})[0], expected, rtol=0, atol=0)
        read_some += 1
    assert read_some >= 8
    torch.testing.assert_close(record(model, prompts).logits, before, rtol=0, atol=0)


def ran(model, of):
    """The layers whose attention a call ran."""
    seen = []
    held = [block.attn.register_forward_pre_hook(lambda *_, number=i: seen.append(number)) for i, block in enumerate(model.blocks)]
    try:
        of()
    finally:
        for one in held:
            one.remove()
    return seen


def test_what_lies_behind_is_not_run(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, (7, 7, 10))
    early, late = ({0: (f"blocks.{layer}.hook_mlp_out", whole)} for layer in (0, 1))
    assert ran(model, lambda: record(model, prompts, early)) == [0, 1]
    assert ran(model, lambda: read(model, prompts, early)) == [0]
    assert ran(model, lambda: read(model, prompts, late)) == [0, 1]
    assert ran(model, lambda: read(model, prompts, {0: ("ln_final.hook_normalized", whole)})) == [0, 1]
    # What is changed counts as well, or it would be said that its hook did not fire.
    assert ran(model, lambda: observe(model, prompts, early, Ablate(heads("1.1"), "zero"))) == [0, 1]
