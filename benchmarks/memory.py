"""The memory that a head sweep takes beside the model, with batches sized by default, each case in a process of its own."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import torch
from comparison.flops import Shape, shape_of
from comparison.jobs import Job, every_head, ours
from comparison.shapes import FIRST_CHANGE, WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options
from comparison.timing import timed

from mechcheck import load_model
from mechcheck.base.peak import forget_peak, peak, resident

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
    forget_peak(device)
    before = _now(device)
    seconds, _ = timed(device, lambda: ours(model, job))
    return Found(len(job.variants), (peak(device) or 0) - before, _in_one_batch(shape_of(model), job, case.at), seconds)


def _now(device: str) -> int:
    return torch.cuda.memory_allocated(device) if torch.device(device).type == "cuda" else resident() or 0


def _in_one_batch(shape: Shape, job: Job, at: Sequence[int | None]) -> int:
    windows = sum(len(job.variants) // len(at) * (WIDTH - (FIRST_CHANGE if place is None else place)) for place in at)
    return windows * len(job.prompts) * (4 * shape.d_model + 2 * shape.d_mlp) * 4


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
