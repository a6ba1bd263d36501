"""Where in prompts something stands: a position in each, or a span, several positions of each prompt, of differing number."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad as filled

from mechcheck.base.errors import PromptError
from mechcheck.prompts.padding import ids_of, listed

END = "END"
"""The last token of a prompt, unless it is said otherwise."""
ALL = "ALL"
"""Every token of a prompt."""
NEW = "NEW"
"""In `generate`, the tokens that were generated so far."""
Places = Int[Tensor, " prompt"] | Sequence[int] | Sequence[int | Sequence[int]]
"""A position in each prompt, or several."""


class Named(NamedTuple):
    """What names stand for."""

    positions: dict[str, Int[Tensor, " prompt"]]
    """Name -> position in each prompt; the last one of a span."""
    spans: dict[str, Bool[Tensor, "prompt pos"]]
    """Name -> which positions, for those names that stand for several."""


def named_places(places: Mapping[str, Places], lengths: Sequence[int], cut: Sequence[int] | None = None) -> Named:
    """Single positions, and spans: a name stands for a span where any prompt has several positions, or a list of them, for it.

    Args:
        places: as they are given.
        lengths: of the prompts, without padding.
        cut: how much padding stood in front of each, which is counted in what is given.

    Raises:
        PromptError: a name that is taken, a span without a position, or one outside of its prompt.
    """
    cut = [0] * len(lengths) if cut is None else cut
    positions, spans = {}, {}
    for name, given in places.items():
        if name == ALL:
            raise PromptError(f"{ALL} is every token of a prompt: choose another name")
        at = [listed(place, f"position {name}") for place in listed(given, f"position {name}")]
        if not any(isinstance(place, Sequence) for place in at):
            positions[name] = torch.tensor(ids_of(at, f"position {name}")) - torch.tensor(cut)
            continue
        several = [sorted(set(ids_of(place if isinstance(place, Sequence) else [place], f"span {name}"))) for place in at]
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
        for prompt, (place, length, front) in enumerate(zip(several, lengths, cut, strict=True)):
            if not place:
                raise PromptError(f"span {name} has no position in prompt {prompt}")
            if not front <= place[0] <= place[-1] < front + length:
                raise PromptError(
                    f"span {name} is {place[0]}-{place[-1]} in prompt {prompt}, which has tokens {front}-{front + length - 1}"
                )
            mask[prompt, [position - front for position in place]] = True
        spans[name] = mask
        positions[name] = torch.tensor([place[-1] - front for place, front in zip(several, cut, strict=True)])
    return Named(positions, spans)


class Placed:
    """Prompts in which something stands where."""

    tokens: Int[Tensor, "prompt pos"]
    lengths: Int[Tensor, " prompt"]
    positions: Mapping[str, Int[Tensor, " prompt"]]
    spans: Mapping[str, Bool[Tensor, "prompt pos"]]
    appended: Int[Tensor, " prompt"] | None

    @property
    def own_lengths(self) -> Int[Tensor, " prompt"]:
        """Tokens in each prompt, without padding and without those of an answer that was put behind it."""
        return self.lengths if self.appended is None else self.lengths - self.appended

    @property
    def own(self) -> Bool[Tensor, "prompt pos"]:
        """Which positions those are."""
        return torch.arange(self.tokens.shape[1]) < self.own_lengths[:, None]

    def position(self, name: str) -> Int[Tensor, " prompt"]:
        """The named position in each prompt; of a span its last one."""
        if name not in self.positions:
            raise PromptError(f"no position {name!r}; these prompts have {', '.join(sorted(self.positions))}")
        return self.positions[name]

    def span(self, name: str) -> Bool[Tensor, "prompt pos"]:
        """Which positions a name stands for: those of a span, the one of a position, or, as ALL, every token."""
        width = self.tokens.shape[1]
        if name in self.spans:
            return filled(self.spans[name], (0, width - self.spans[name].shape[1]))
        positions = torch.arange(width)
        return positions < self.lengths[:, None] if name == ALL else positions == self.position(name)[:, None]

    def several(self, at: str | None) -> bool:
        """Whether a site's place is several positions of each prompt: all of them (None), or a span."""
        return at is None or at in self.spans

    @property
    def next_tokens(self) -> Int[Tensor, " prompt"]:
        """The token that follows END in each prompt.

        Raises:
            PromptError: END is the last token, which nothing follows.
        """
        end = self.position(END)
        if bool((end + 1 >= self.lengths).any()):
            prompt = int((end + 1 >= self.lengths).int().argmax())
            raise PromptError(f"no token follows END in prompt {prompt}: read elsewhere, for example loss.over({ALL!r})")
        return self.tokens[torch.arange(len(self.tokens)), end + 1]
