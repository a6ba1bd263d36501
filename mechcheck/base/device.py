"""Where models are computed: whether a device is there, what it lacks, and how it is made to repeat."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import ModelError

KINDS = ("cpu", "cuda", "mps")
# Apple's GPUs have no numbers of 64 bits, and refuse to convert to them even on the way to the CPU.
WITHOUT_FLOAT64 = {"mps"}


def check_device(device: str, dtype: str = "float32") -> None:
    """Raise `ModelError` unless this machine has the device, and the device has the dtype."""
    kind, colon, number = device.partition(":")
    if kind not in KINDS or (colon and not number.isdecimal()):
        raise ModelError(f"unknown device {device!r}; choose cpu, cuda, cuda:N or mps")
    count = _how_many(kind)
    if not count:
        raise ModelError(f"device {device!r} is not available on this machine; use cpu{_why_not(kind)}")
    if colon and int(number) >= count:
        raise ModelError(f"device {device!r} is not available on this machine: it has {count} of them, {kind}:0 to {kind}:{count - 1}")
    if kind in WITHOUT_FLOAT64 and dtype == "float64":
        raise ModelError(f"device {device!r} has no float64; use --mech-dtype float32, or compute on the cpu")


def has_float64(device: torch.device) -> bool:
    """Whether the device knows numbers of 64 bits."""
    return device.type not in WITHOUT_FLOAT64


def exact(tensor: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return for_exact(tensor).double()


def for_exact(tensor: Tensor) -> Tensor:
    """The tensor, brought to where it can be computed with in float64."""
    return tensor if has_float64(tensor.device) else tensor.cpu()


def to_numpy(tensor: Tensor) -> Float[np.ndarray, "..."]:
    """The numbers in float64 on the host, of any dtype and from any device; its gradient stays behind."""
    return tensor.detach().cpu().double().numpy()  # first to the CPU: not every device has float64


def repeat_exactly() -> None:
    """Have torch repeat what it did bit for bit, and compute in the dtype that was asked for: no TF32, no sums in 16 bits."""
    # As use_deterministic_algorithms(True, warn_only=True), which imports the whole compiler beside it to tell it the same.
    torch.set_deterministic_debug_mode("warn")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


@contextmanager
def usual_torch() -> Iterator[None]:
    """Within it torch computes as in a fresh process, whatever the caller has set: inference mode, autocast, a default dtype."""
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))  # which also turns gradients on
        stack.enter_context(torch.set_grad_enabled(gradients))
        for kind in KINDS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        yield


def _how_many(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(kind == "cpu" or torch.backends.mps.is_available())


def _why_not(kind: str) -> str:
    if kind == "mps":
        return ": this torch does not see an Apple GPU"
    if torch.version.cuda is None and torch.version.hip is None:
        return f", or install a torch with CUDA ({torch.__version__} has none)"
    return ": torch sees no GPU (look at nvidia-smi and CUDA_VISIBLE_DEVICES)"
