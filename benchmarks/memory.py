"""The memory that a head sweep takes beside the model, with batches sized by default, each case in a process of its own."""

import re
import resource
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from comparison.flops import Shape, shape_of
from comparison.jobs import Job, every_head, ours
from comparison.shapes import FIRST_CHANGE, WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options
from comparison.timing import timed

from mechcheck import load_model

MIB = 2**20
COLUMNS = ("prompts", "variants", "most beside the model, MiB", "all variants in one batch, MiB", "s")


class Case(NamedTuple):
    """One sweep."""

    prompts: int
    at: tuple[int | None, ...]
    """The positions, one at a time; None: all at once."""


class Found(NamedTuple):
    """What it took."""

    variants: int
    peak: int
    """Bytes beside the model."""
    unbounded: int
    """Bytes of the rows at their widest, were all variants in one batch."""
    seconds: float


def measure(case: Case, device: str) -> Found:
    """Run one case; the peak is that of this process since the model was ready."""
    torch.set_num_threads(1)
    config = gpt2()
    model = load_model(directory(config), device=device)
    prompts = prompt_pairs(config.vocab_size, case.prompts)
    job = every_head(prompts, model.cfg.n_layers, model.cfg.n_heads, at=case.at)
    ours(model, Job(job.name, prompts[:2], job.method, job.variants[:4]))
    before = forget_peak(device)
    seconds, _ = timed(device, lambda: ours(model, job))
    return Found(len(job.variants), peak(device) - before, _in_one_batch(shape_of(model), job, case.at), seconds)


def _in_one_batch(shape: Shape, job: Job, at: Sequence[int | None]) -> int:
    windows = sum(len(job.variants) // len(at) * (WIDTH - (FIRST_CHANGE if place is None else place)) for place in at)
    return windows * len(job.prompts) * (4 * shape.d_model + 2 * shape.d_mlp) * 4


def forget_peak(device: str) -> int:
    """Begin to measure: what is in use now."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # what loading took cannot be forgotten here
    reset.write_text("5")
    return _status("VmRSS")


def peak(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM") if Path("/proc/self/status").exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("memory", "Memory of a head sweep", chosen)
    places = tuple(range(FIRST_CHANGE, WIDTH))
    sizes = (8, 32) if chosen.quick else (16, 64, 256)
    cases = [*(Case(n, (None,)) for n in sizes), Case(sizes[0], places)]
    page.heading(f"GPT-2 small: every head patched, prompt pairs of {WIDTH} tokens that first differ at position {FIRST_CHANGE}", COLUMNS)
    directory(gpt2())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for case in cases:
            found = fresh.submit(measure, case, chosen.device).result()
            cells = (case.prompts, found.variants, round(found.peak / MIB), round(found.unbounded / MIB), f"{found.seconds:.3g}")
            page.row([str(cell) for cell in cells])
    page.save()


if __name__ == "__main__":
    main()
