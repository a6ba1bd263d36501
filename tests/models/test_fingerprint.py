"""A model that was changed is told from one that was not."""

import pytest
import torch

from mechcheck.base.errors import HookError
from mechcheck.models import fingerprint
from mechcheck.models.fingerprint import ModelState, check_untouched


def test_changed_weights_are_noticed(own_model):
    for parameter in (*own_model.parameters(), *own_model.buffers()):
        before = ModelState(own_model)
        check_untouched(before)
        with torch.no_grad():
            kept = parameter.clone()
            parameter[(0,) * parameter.ndim] += 1e-3
        with pytest.raises(HookError, match="the model's weights were changed; models are shared and read-only"):
            check_untouched(before)
        with torch.no_grad():
            parameter.copy_(kept)
    check_untouched(before)


@pytest.mark.parametrize("kept", [fingerprint.KEPT, 0], ids=["copied", "too large to copy"])
@pytest.mark.parametrize("dim", [0, 1])
def test_swapped_weights_are_noticed(own_model, monkeypatch, dim, kept):
    """Two heads that change places leave the sum of all weights as it was."""
    monkeypatch.setattr(fingerprint, "KEPT", kept)
    before = ModelState(own_model)
    with torch.no_grad():
        own_model.embed.weight.copy_(own_model.embed.weight.flip(dim))
    with pytest.raises(HookError, match="the model's weights were changed"):
        check_untouched(before)


def test_left_hooks_are_counted(own_model):
    """Hooks of TransformerLens and of plain PyTorch alike."""
    before = ModelState(own_model)
    own_model.blocks[0].hook_resid_pre.add_hook(lambda x, hook: x)
    own_model.base_model.h[1].register_forward_hook(lambda *_: None)
    with pytest.raises(HookError, match="2 hooks were left on the model; use run, capture or"):
        check_untouched(before)
