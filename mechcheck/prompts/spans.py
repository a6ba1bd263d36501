"""Spans: several positions of each prompt, of differing number, under one name."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechcheck.base.errors import PromptError

ALL = "ALL"
"""Every token of a prompt."""
Places = Int[Tensor, " prompt"] | Sequence[int] | Sequence[int | Sequence[int]]
"""A position in each prompt, or several."""


class Named(NamedTuple):
    """What names stand for."""

    positions: dict[str, Int[Tensor, " prompt"]]
    """Name -> position in each prompt; the last one of a span."""
    spans: dict[str, Bool[Tensor, "prompt pos"]]
    """Name -> which positions, for those names that stand for several."""


def named_places(places: Mapping[str, Places], lengths: Sequence[int]) -> Named:
    """Single positions, and spans: a name stands for a span where any prompt has several positions, or a list of them, for it.

    Raises:
        PromptError: a name that is taken, a span without a position, or one outside of its prompt.
    """
    positions, spans = {}, {}
    for name, given in places.items():
        if name == ALL:
            raise PromptError(f"{ALL} is every token of a prompt: choose another name")
        at = [place.tolist() if isinstance(place, Tensor) else place for place in given]
        if not any(isinstance(place, Sequence) for place in at):
            positions[name] = torch.as_tensor(given)
            continue
        several = [sorted(set(map(int, place))) if isinstance(place, Sequence) else [int(place)] for place in at]
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
        for prompt, (place, length) in enumerate(zip(several, lengths, strict=True)):
            if not place:
                raise PromptError(f"span {name} has no position in prompt {prompt}")
            if not 0 <= place[0] <= place[-1] < length:
                raise PromptError(f"span {name} is {place[0]}-{place[-1]} in prompt {prompt}, which has tokens 0-{length - 1}")
            mask[prompt, place] = True
        spans[name] = mask
        positions[name] = torch.tensor([place[-1] for place in several])
    return Named(positions, spans)
