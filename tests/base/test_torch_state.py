"""Whatever torch remembers of a piece of code is told, and put back."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.base.torch_state import TorchState

CHANGES = {
    "torch's gradients (on, now off)": "torch.set_grad_enabled(False)",
    "torch's default dtype (float32, now float64)": "torch.set_default_dtype(torch.float64)",
    "torch's default device (cpu, now meta)": "torch.set_default_device('meta')",
    "torch's number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's deterministic algorithms": "torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())",
    "torch's precision of matrix products": "torch.set_float32_matmul_precision('medium')",
    "torch's autocast": "torch.set_autocast_enabled('cpu', True)",
    "torch's settings of cuDNN": "torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark",
    "torch's kernels of attention": "torch.backends.cuda.enable_flash_sdp(False)",
    "torch's anomaly mode": "torch.autograd.set_detect_anomaly(True)",
    "numpy's floating-point errors": "np.seterr(all='ignore')",
    "torch's hooks on every module (forward_hooks)": "torch.nn.modules.module.register_module_forward_hook(print)",
    "torch's hooks on every module (forward_pre_hooks)": "torch.nn.modules.module.register_module_forward_pre_hook(print)",
    "torch.softmax (replaced)": "torch.softmax = print",
    "torch.nn.functional.gelu (replaced)": "del torch.nn.functional.gelu",
    "torch.Tensor.mean (replaced)": "torch.Tensor.mean = print",
    "torch.Tensor.backward (replaced)": "torch.Tensor.backward = print",
    "torch.nn.modules.linear.Linear.forward (replaced)": "torch.nn.Linear.forward = print",
    "torch.nn.modules.linear.Linear.__call__ (replaced)": "torch.nn.Linear.__call__ = print",
    "numpy.linalg.norm (replaced)": "np.linalg.norm = print",
    "math.exp (replaced)": "math.exp = print",
    "mechcheck.base.torch_state.TorchState (replaced)": "sys.modules['mechcheck.base.torch_state'].TorchState = None",
}


def said(state: TorchState) -> list[str]:
    return [found.what for found in state.changed()]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told_and_put_back(what):
    state = TorchState([torch.nn.Linear])
    assert not state.changed()
    try:
        exec(CHANGES[what])
        (found,) = said(state)
        assert found.startswith(what)
    finally:
        state.restore()
    assert not state.changed()
    assert float(torch.nn.Linear(2, 2)(torch.ones(2)).softmax(-1).mean().detach()) == pytest.approx(math.exp(0) / 2)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@given(st.lists(st.sampled_from(sorted(CHANGES)), unique=True, max_size=6))
def test_several_at_once(names):
    state = TorchState([torch.nn.Linear])
    try:
        for name in names:
            exec(CHANGES[name])
        assert len(said(state)) == len(names)
    finally:
        state.restore()
    assert not TorchState([torch.nn.Linear]).changed()
    assert not state.changed()


def test_inference_mode():
    state = TorchState()
    kept = torch.inference_mode()
    kept.__enter__()
    assert "torch's inference mode (off, now on)" in said(state)
    state.restore()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_what_is_of_no_consequence(monkeypatch):
    """A module that is brought in, a note in a variable, a new attribute of a class that hides nothing."""
    state = TorchState([torch.nn.Linear])
    monkeypatch.setattr(torch, "told", 1, raising=False)
    monkeypatch.setattr(torch.nn.Linear, "told", 1, raising=False)
    monkeypatch.setattr(sys.modules["numpy"], "__version__", "0")
    assert not state.changed()
    assert np.__version__ == "0"
