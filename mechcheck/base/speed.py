"""How fast this machine multiplies matrices, measured in a moment."""

import time

import torch

_SECONDS = 0.05
_ROWS = 256


def multiplications(inner: int, outer: int, *, device: str = "cpu", dtype: str = "float32") -> float:
    """Floating-point operations in a second of products [256, inner] x [inner, outer]: the best of a twentieth of a second."""
    kind = getattr(torch, dtype)
    x, weight = (torch.zeros(shape, device=device, dtype=kind) for shape in ((_ROWS, inner), (inner, outer)))
    best, end = float("inf"), time.perf_counter() + _SECONDS
    with torch.no_grad():
        _timed(x, weight)
        while time.perf_counter() < end:
            best = min(best, _timed(x, weight))
    return 2 * _ROWS * inner * outer / min(best, 1e9)


def _timed(x: torch.Tensor, weight: torch.Tensor) -> float:
    began = time.perf_counter()
    x @ weight
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began
