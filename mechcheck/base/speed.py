"""How fast this machine multiplies matrices, measured in a moment."""

import time

import torch

_SECONDS = 0.05
_ROWS = 256


def multiplications(inner: int, outer: int, *, device: str = "cpu", dtype: str = "float32") -> float:
    """Floating-point operations in a second of products [256, inner] x [inner, outer]: the best of a twentieth of a second."""
    kind = getattr(torch, dtype)
    x, weight = (torch.zeros(shape, device=device, dtype=kind) for shape in ((_ROWS, inner), (inner, outer)))
    best, end = 1e9, time.perf_counter() + _SECONDS
    with torch.no_grad():
        _timed(x, weight)
        while best == 1e9 or time.perf_counter() < end:
            best = min(best, max(_timed(x, weight), 1e-7))
    return 2 * _ROWS * inner * outer / best


def _timed(x: torch.Tensor, weight: torch.Tensor) -> float:
    """Seconds of one product; on one thread those of the processor, which do not depend on what else runs."""
    clock = time.process_time if x.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    x @ weight
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return clock() - began
