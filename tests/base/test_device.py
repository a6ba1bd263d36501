"""Which devices are there, numbers in float64 from any of them, and runs that repeat."""

import numpy as np
import pytest
import torch
from devices import pretend

from mechcheck.base.device import check_device, repeat_exactly, to_numpy
from mechcheck.base.errors import ModelError
from mechcheck.models.loading import load_model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.bool])
def test_numbers_of_every_dtype_come_to_the_host_as_float64(dtype):
    found = to_numpy(torch.tensor([[0, 1], [1, 0], [1, 1]], dtype=dtype).T)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0, 1, 1], [1, 0, 1]])


def test_numbers_come_as_they_are_in_their_own_dtype():
    third = torch.tensor(1 / 3)
    assert to_numpy(third) == float(np.float32(1 / 3)) != 1 / 3
    assert to_numpy(third.bfloat16()) == 0.333984375


def test_numbers_come_without_their_gradient():
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    np.testing.assert_array_equal(to_numpy(weight * weight), [4.0, 9.0])


@pytest.mark.parametrize("float64", [True, False])
def test_numbers_come_from_a_device_with_and_without_float64(float64):
    with pretend(float64=float64) as name:
        found = to_numpy(torch.tensor([1.5, -2.0], dtype=torch.bfloat16, device=name))
    assert found.dtype == np.float64
    assert found.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("device", "dtype", "found", "message"),
    [
        ("tpu", "float32", {}, "unknown device 'tpu'; choose cpu, cuda, cuda:N or mps"),
        ("cuda:first", "float32", {"cuda": 2}, "unknown device 'cuda:first'"),
        ("cuda", "float32", {}, r"'cuda' is not available on this machine; use cpu"),
        ("cuda:7", "float32", {"cuda": 2}, "'cuda:7' is not available on this machine: it has 2 of them, cuda:0 to cuda:1"),
        ("mps", "float32", {}, "'mps' is not available on this machine; use cpu: this torch does not see an Apple GPU"),
        ("mps", "float64", {"mps": 1}, "'mps' has no float64"),
    ],
)
def test_devices_that_are_not_there(monkeypatch, device, dtype, found, message):
    monkeypatch.setattr("mechcheck.base.device._how_many", lambda kind: found.get(kind, 0))
    with pytest.raises(ModelError, match=message):
        check_device(device, dtype)
    with pytest.raises(ModelError, match=message):
        load_model("names-gpt2-seed1", device=device, dtype=dtype)


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float64"), ("cuda:1", "float64"), ("mps", "float32")])
def test_devices_that_are_there(monkeypatch, device, dtype):
    monkeypatch.setattr("mechcheck.base.device._how_many", {"cpu": 1, "cuda": 2, "mps": 1}.get)
    check_device(device, dtype)


def test_runs_repeat_and_compute_in_what_was_asked_for(monkeypatch):
    """An environment may have turned on what is faster and coarser."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_float32_matmul_precision("high")
        repeat_exactly()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
