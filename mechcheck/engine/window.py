"""The positions that a sweep's rows have: a window up to the last one that is read, and those that are, which leave the last layer."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.reading import Read
from mechcheck.prompts.prompt_set import PromptSet

Rows = Float[Tensor, "prompt variant pos d"]


class Place(NamedTuple):
    """Positions of a window: all of them, or those that are read."""

    positions: Int[Tensor, "prompt pos"]
    """Absolute; what lies beyond the last that is read is computed too, and never seen from there."""
    sees: Bool[Tensor, "prompt 1 1 1 pos key"]
    """Which of the window's keys a query here sees."""
    within: Int[Tensor, "prompt pos"] | None
    """Where in the window these positions are; None: these are all of them."""

    def of(self, rows: Rows) -> Rows:
        """What is here, of rows that hold the whole window."""
        if self.within is None:
            return rows
        return rows[torch.arange(len(rows), device=rows.device)[:, None], :, self.within].transpose(1, 2)

    def read(self, whole: Float[Tensor, "prompt all d"]) -> Float[Tensor, "prompt pos d"]:
        """What is here, of an activation at all positions of the prompts."""
        row = torch.arange(len(whole), device=whole.device)[:, None]
        return whole[row, self.positions.clamp(max=whole.shape[1] - 1)]


class Window(NamedTuple):
    """The positions that are computed: from each prompt's start to the last one that is read."""

    everywhere: Place
    leaving: Place
    """Those that are read, but for the first columns, which no variant of the window changes in any prompt."""
    skipped: int
    """How many columns these are."""
    past: int
    """How many earlier positions the longest prompt has."""
    sees_past: Bool[Tensor, "prompt 1 1 1 1 past"] | None
    """Which of them a prompt has itself; None: all of them."""


def window(arithmetic: Arithmetic, prompts: PromptSet, read: Read, start: Int[Tensor, " prompt"], device: torch.device) -> Window:
    """The window of the rows that begin at `start`."""
    width = prompts.tokens.shape[1]
    if not arithmetic.causal:
        positions = torch.arange(width).expand(len(prompts), -1)
        real = positions < prompts.lengths[:, None]
        return Window(
            everywhere=_place(positions, real[:, None].expand(-1, width, -1), None, device),
            leaving=_place(read.positions, real[:, None].expand(-1, read.positions.shape[1], -1), read.positions, device),
            skipped=0,
            past=0,
            sees_past=None,
        )
    last = read.positions[:, -1]
    start = torch.minimum(start, last)
    skipped = int((read.positions >= start[:, None]).any(0).int().argmax())
    leaving = read.positions[:, skipped:]
    within = (leaving - start[:, None]).clamp(min=0)  # what is read before the start is not changed, and not looked at
    steps = torch.arange(int(within.max()) + 1)
    past = int(start.max())
    earlier = torch.arange(past) < start[:, None]
    everywhere = _place(start[:, None] + steps, (steps <= steps[:, None])[None], None, device)
    whole = 1 < leaving.shape[1] == len(steps) and bool((within == steps).all())
    return Window(
        everywhere=everywhere,
        leaving=everywhere if whole else _place(leaving, steps <= within[:, :, None], within, device),
        skipped=skipped,
        past=past,
        sees_past=None if bool(earlier.all()) else earlier[:, None, None, None, None].to(device),
    )


def _place(
    positions: Int[Tensor, "prompt pos"],
    sees: Bool[Tensor, "prompt pos key"],
    within: Int[Tensor, "prompt pos"] | None,
    device: torch.device,
) -> Place:
    broadcast = sees[:, None, None, None]  # over heads and variants
    return Place(positions.to(device), broadcast.to(device), None if within is None else within.to(device))
