"""One change of one site in a batch of prompts, as data, and how it is read from and written into an activation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.notation.sites import HEAD_KINDS, Site
from mechcheck.prompts.prompt_set import PromptSet


class Rows(NamedTuple):
    """The prompts of one batch."""

    prompts: PromptSet
    where: slice
    """Which prompts of the whole set these are."""

    def at(self, name: str) -> Tensor:
        """A named position, for the prompts of the batch."""
        return self.prompts.position(name)[self.where]


Activation = Float[Tensor, "prompt ... d"]
"""[prompt, d] at a named position, [prompt, pos, d] at every position; d is d_head, d_model, or 1 for a neuron."""


@dataclass(frozen=True)
class Edit:
    """What becomes of a site's activation x in each prompt: keep * change(x[order]) + value."""

    site: Site
    value: Activation | None = None
    """None: zero."""
    keep: float = 0.0
    """0: the value replaces what was there; 1: it is added."""
    change: Callable[[Tensor], Tensor] | None = None
    """Applied to each component by itself."""
    order: Int[Tensor, "prompt pos"] | None = None
    """The position that each position's activation is taken from."""
    rows: Bool[Tensor, " prompt"] | None = None
    """The prompts it concerns; None: all."""
    where: Bool[Tensor, "prompt pos"] | None = None
    """The positions of a site that names a span; the value is then one of every position."""
    cut: Bool[Tensor, "prompt key"] | None = None
    """Of a pattern: the keys that are not attended to; what is left is shared out among the others."""
    start: Int[Tensor, " prompt"] | None = None
    """The first position whose activation can change in a causal model; None: the first of all, or the site's own."""

    @property
    def single(self) -> bool:
        """Whether it concerns one position of each prompt."""
        return self.site.at is not None and self.where is None

    def on(self, prompts: Sequence[int] | slice) -> "Edit":
        """The same edit on some of the prompts."""
        cut = {name: getattr(self, name) for name in ("value", "order", "rows", "where", "cut", "start")}
        changed: dict[str, Any] = {name: None if tensor is None else tensor[prompts] for name, tensor in cut.items()}
        return replace(self, **changed)

    def new_value(self, old: Tensor, value: Tensor | None, cut: Tensor | None = None, own: Tensor | None = None) -> Tensor:
        """The site's new activation, from the old one and the value, both cut to the same prompts and positions.

        Where the edit exchanges positions, `old` is what stood at the others, and `own` what stood here. Where the site's code looks
        at another hook too, they have what is there before what is here.
        """
        code = self.site.code
        if code is None:
            return self._changed(old, value, cut)
        own = old if own is None else own
        return code.written(own, code.read(own), self._changed(code.read(old), value, cut))

    def _changed(self, old: Tensor, value: Tensor | None, cut: Tensor | None) -> Tensor:
        if cut is not None:
            left = old.masked_fill(cut, 0.0)
            total = left.sum(-1, keepdim=True)
            return torch.where(total > 0, left / total, 0.0)
        kept = 0.0 if self.keep == 0 else self.keep * (old if self.change is None else self.change(old))
        return kept + (torch.zeros_like(old) if value is None else value.to(old.device, old.dtype))


def is_token(rows: Rows) -> Bool[Tensor, "row pos"]:
    """True where a token stands, False on padding."""
    return torch.arange(rows.prompts.tokens.shape[1]) < rows.prompts.lengths[rows.where, None]


def read_site(activation: Tensor, site: Site, rows: Rows, beside: Tensor | None = None) -> Tensor:
    """A site's part of its hook's activation: [row, d] at a named position, [row, pos, d] at every position.

    Args:
        activation, site, rows: of which hook, what of it, and of which prompts.
        beside: the activation of the other hook that the site's code looks at.
    """
    part = part_of(activation, site)
    single = site.at is not None and not rows.prompts.several(site.at)
    if beside is not None:
        part = torch.cat([beside, part], dim=-1)
    found = select(part, rows.at(site.at)) if single and site.at is not None else part.clone()
    return found if site.code is None else site.code.read(found)


def part_of(activation: Tensor, site: Site) -> Tensor:
    """A view of the site's columns of its hook's activation, [row, pos, d]; of a pattern, [row, query, key].

    All heads one behind the other are a copy where memory has them in another order.
    """
    if site.kind in HEAD_KINDS:
        if site.index is None:
            return activation.flatten(2)
        return activation[:, :, site.index]
    if site.kind == "pattern":
        return activation[:, site.index]
    if site.kind == "neuron" and site.index is not None:
        return activation[:, :, site.index : site.index + 1]
    return activation


def select(activation: Tensor, positions: Tensor) -> Tensor:
    """[row, pos, ...] -> [row, ...], one position per row; [row, read, ...] where several are given for each."""
    row = torch.arange(len(activation), device=activation.device)
    return activation[row.view(-1, *[1] * (positions.ndim - 1)), positions.to(activation.device)]


def write_site(activation: Tensor, edit: Edit, rows: Rows, beside: Tensor | None = None) -> None:
    """Put a site's new value into its hook's activation, in place; `beside` is as in `read_site`."""
    part = part_of(activation, edit.site)
    seen = part if beside is None else torch.cat([beside, part], dim=-1)
    row = torch.arange(len(part), device=part.device)
    concerned = row if edit.rows is None else row[edit.rows[rows.where].to(part.device)]
    where: tuple[Tensor, ...] = (concerned,)
    if edit.single:
        assert edit.site.at is not None
        where = (concerned, rows.at(edit.site.at).to(part.device)[concerned])
    value = None if edit.value is None else edit.value[rows.where].to(part)[concerned]
    old, own = seen, None
    if edit.order is not None:
        old, own = seen[row[:, None], edit.order[rows.where].to(part.device)], seen[where]
    cut = None if edit.cut is None else edit.cut[rows.where].to(part.device)[concerned]
    if cut is not None and not edit.single:
        cut = cut[:, None]
    new = edit.new_value(old[where], value, cut, own)
    if edit.where is not None:
        new = torch.where(edit.where[rows.where].to(part.device)[concerned][..., None], new, part[where])
    part[where] = new
    if edit.site.together:
        put_back(activation, part)


def put_back(activation: Tensor, part: Tensor) -> None:
    """Write a whole layer's part into its activation, where it is no view of it."""
    if part.data_ptr() != activation.data_ptr():
        activation.copy_(part.view_as(activation))
