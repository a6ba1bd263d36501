"""The most memory that was taken at once, since one asked for it to be forgotten."""

import re
from pathlib import Path

import torch


def forget_peak(device: str = "cpu") -> None:
    """Begin to measure anew; on a CPU where the system can, which is Linux."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak(device: str = "cpu") -> int | None:
    """Bytes: on a GPU what torch had allocated there at most, else what of the process was resident; None where the system does not say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def resident() -> int | None:
    """Bytes of the process that are resident now; None where the system does not say."""
    return _status("VmRSS")


def _status(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024
