"""Edges at named positions: which of them a circuit keeps at which kind of position."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Site
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import ALL

PlacedMask = Bool[Tensor, "receiver sender kind"]


@dataclass(frozen=True, eq=False)
class PositionKinds:
    """The positions of some prompts, told apart by the names they have: END, S2, both, or none."""

    prompts: PromptSet

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names of positions and spans."""
        return tuple(sorted(self.prompts.positions))

    @cached_property
    def _found(self) -> tuple[Bool[Tensor, "kind name"], Int[Tensor, " prompt*pos"]]:
        called = torch.stack([self.prompts.span(name) for name in self.names], dim=-1)
        return torch.unique(called.flatten(0, 1), dim=0, return_inverse=True)

    @property
    def of(self) -> Int[Tensor, "prompt pos"]:
        """Each position's kind."""
        return self._found[1].view_as(self.prompts.tokens)

    def called(self, name: str) -> Bool[Tensor, " kind"]:
        """Which kinds of positions have a name.

        Raises:
            PromptError: no position is called so.
        """
        self.prompts.position(name)
        return self._found[0][:, self.names.index(name)]

    def mask(self, whole: Graph, edges: Iterable[Site]) -> PlacedMask:
        """Where these edges are: at every kind of position, or at those that they name.

        Raises:
            SiteError: a site that is none of the graph's edges.
            PromptError: no position is called so.
        """
        found = torch.zeros(*whole.real.shape, len(self._found[0]), dtype=torch.bool)
        by_name: dict[str | None, list[Site]] = {}
        for edge in edges:
            by_name.setdefault(None if edge.at == ALL else edge.at, []).append(replace(edge, at=None))
        for name, some in by_name.items():
            mask = whole.mask(some)[..., None]
            found |= mask if name is None else mask & self.called(name)
        return found


def alike(masks: Sequence[Bool[Tensor, "receiver sender *kind"]]) -> Bool[Tensor, "variant receiver sender *kind"]:
    """Masks as one tensor; where one of them tells kinds of positions apart, those that do not are the same at each."""
    placed = next((mask for mask in masks if mask.ndim == 3), None)
    return torch.stack([mask if placed is None or mask.ndim == 3 else mask[..., None].expand_as(placed) for mask in masks])


def fewest(
    cuts: Bool[Tensor, "variant receiver sender kind"], kinds: Int[Tensor, "prompt pos"]
) -> tuple[Bool[Tensor, "variant receiver sender kind"], Int[Tensor, "prompt pos"]]:
    """The same with kinds of positions at which the same edges are cut taken together."""
    different, place = torch.unique(cuts, dim=3, return_inverse=True)
    return different, place[kinds]
