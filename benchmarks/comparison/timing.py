"""Reading the clock, and the rate of matrix products on this machine."""

import time
from collections.abc import Callable
from typing import Any

import torch

from comparison.flops import Flops, Shape

# Rows of the products whose rate is measured; the fastest counts, so that the floor is not too high.
_ROWS = (256, 512, 1024)
_ROWS_CUDA = (1024, 8192, 32768)


def seconds(device: str) -> float:
    """Now. On a CPU the time that this process (one thread) has computed, so that other jobs on the machine do not count; on a GPU
    the time of day when all its work is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the work gave."""
    start = seconds(device)
    result = work()
    return seconds(device) - start, result


def floor(shape: Shape, work: Flops, device: str) -> float:
    """Seconds that the operations would take at the rate at which this machine multiplies matrices of these shapes now."""
    rates = {name: _rate(inner, outer, device) for name, (inner, outer) in shape.products.items() if name != "unembed"}
    rates |= {"attention": rates["qkv"], "unembed": rates["qkv"]}
    return sum(count / rates[name] for name, count in work.items())


def _rate(inner: int, outer: int, device: str) -> float:
    """Operations a second of [rows, inner] @ [inner, outer] + bias."""
    weight, bias = torch.randn(inner, outer, device=device), torch.randn(outer, device=device)
    rates = []
    for rows in _ROWS if device == "cpu" else _ROWS_CUDA:
        x = torch.randn(rows, inner, device=device)
        torch.addmm(bias, x, weight)
        taken = [timed(device, lambda x=x: torch.addmm(bias, x, weight))[0] for _ in range(5)]
        rates.append(2 * rows * inner * outer / min(taken))
    return max(rates)
