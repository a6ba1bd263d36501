"""How much memory a sweep may take at once."""

import psutil
import torch

# A larger batch is no faster on a CPU once its matrix products are large, and its activations no longer stay in the cache.
_CPU_BYTES = 256 * 2**20
_SHARE = 0.25


def free_bytes(device: torch.device) -> int:
    """What one batch may take: a quarter of what is free on the device, on a CPU at most 256 MiB."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for its next tensors
        return int(_SHARE * (torch.cuda.mem_get_info(device)[0] + kept))
    available = int(_SHARE * psutil.virtual_memory().available)  # an Apple GPU has no memory of its own
    return min(_CPU_BYTES, available) if device.type == "cpu" else available


def kept_bytes(device: torch.device) -> int:
    """What is kept of all layers of one untouched run: twice that, on a CPU at most 512 MiB."""
    return 2 * free_bytes(device)


def ran_out(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error) or "out of memory" in str(error)
