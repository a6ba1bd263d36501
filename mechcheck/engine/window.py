"""The positions that a sweep's rows have: a window that ends at END, and END alone, which is all that leaves the last layer."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic import Arithmetic
from mechcheck.prompts.prompt_set import END, PromptSet

Rows = Float[Tensor, "prompt variant pos d"]


class Place(NamedTuple):
    """Positions of a window: all of them, or END."""

    positions: Int[Tensor, "prompt pos"]
    """Absolute; what lies beyond a prompt's END is computed too, and never seen from END."""
    sees: Bool[Tensor, "prompt 1 1 1 pos key"]
    """Which of the window's keys a query here sees."""
    within: Int[Tensor, " prompt"] | None
    """Where in the window this one position is; None: these are all of them."""

    def of(self, rows: Rows) -> Rows:
        """What is here, of rows that hold the whole window."""
        if self.within is None:
            return rows
        return rows[torch.arange(len(rows), device=rows.device), :, self.within][:, :, None]

    def read(self, whole: Float[Tensor, "prompt all d"]) -> Float[Tensor, "prompt pos d"]:
        """What is here, of an activation at all positions of the prompts."""
        row = torch.arange(len(whole), device=whole.device)[:, None]
        return whole[row, self.positions.clamp(max=whole.shape[1] - 1)]


class Window(NamedTuple):
    """The positions that are computed: from each prompt's start to its END."""

    everywhere: Place
    end: Place
    past: int
    """How many earlier positions the longest prompt has."""
    sees_past: Bool[Tensor, "prompt 1 1 1 1 past"] | None
    """Which of them a prompt has itself; None: all of them."""


def window(arithmetic: Arithmetic, prompts: PromptSet, start: Int[Tensor, " prompt"], device: torch.device) -> Window:
    """The window of the rows that begin at `start`."""
    end, width = prompts.position(END), prompts.tokens.shape[1]
    if not arithmetic.causal:
        positions = torch.arange(width).expand(len(prompts), -1)
        real = positions < prompts.lengths[:, None]
        return Window(
            everywhere=_place(positions, real[:, None].expand(-1, width, -1), None, device),
            end=_place(end[:, None], real[:, None], end, device),
            past=0,
            sees_past=None,
        )
    start = torch.minimum(start, end)
    within = end - start
    steps = torch.arange(int(within.max()) + 1)
    past = int(start.max())
    earlier = torch.arange(past) < start[:, None]
    return Window(
        everywhere=_place(start[:, None] + steps, (steps <= steps[:, None])[None], None, device),
        end=_place(end[:, None], (steps <= within[:, None])[:, None], within, device),
        past=past,
        sees_past=None if bool(earlier.all()) else earlier[:, None, None, None, None].to(device),
    )


def _place(
    positions: Int[Tensor, "prompt pos"],
    sees: Bool[Tensor, "prompt pos key"],
    within: Int[Tensor, " prompt"] | None,
    device: torch.device,
) -> Place:
    broadcast = sees[:, None, None, None]  # over heads and variants
    return Place(positions.to(device), broadcast.to(device), None if within is None else within.to(device))
