"""Sites that no hook is: what a change there comes to at the hooks that there are."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.base.errors import HookError, SiteError
from mechcheck.engine.edit import Edit, Rows, is_token, write_site
from mechcheck.notation.sites import Site

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Through(Protocol):
    """What stands between a layer's hooks and the edits of such a site."""

    @property
    def names(self) -> list[str]:
        """The hooks that it needs."""

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What the edits of this hook are to find there."""

    def after(self, name: str, activation: Tensor) -> Tensor:
        """What the model goes on with, once these edits have been made."""

    def shown_late(self, name: str) -> bool:
        """Whether what this hook shows is for readers alone, as the model is done with it, or nothing is changed there."""


def through(edits: list[Edit], model: "TransformerBridge", rows: Rows) -> dict[str, list[Through]]:
    """Hook -> what stands there for edits of sites that are no hooks."""
    made: dict[tuple[str | None, int], Patterns | Between | Across] = {}
    for edit in edits:
        kind, layer = edit.site.kind, edit.site.layer
        if edit.site.looks_beside:
            assert edit.site.code is not None
            made.setdefault((edit.site.code.beside, layer), Across(rows, edit.site)).edits.append(edit)
        elif kind in _KINDS:
            made.setdefault((kind, layer), _KINDS[kind](model, rows, layer)).edits.append(edit)
    found: dict[str, list[Through]] = {}
    for one in made.values():
        for name in one.names:
            found.setdefault(name, []).append(one)
    return found


class Patterns:
    """What a layer's heads say once their patterns have been edited: pattern @ values, put where the heads write.

    An architecture may show a pattern without going on with what a hook makes of it, or only when it has been used already (then it is
    computed from queries and keys); so the outcome is put in, and what the layer said by itself is compared with it first.
    """

    def __init__(self, model: "TransformerBridge", rows: Rows, layer: int) -> None:
        self.edits: list[Edit] = []
        self._model, self._rows, self._layer = model, rows, layer
        self._known: dict[str, Tensor] = {}
        self._own: Tensor | None = None
        self.used = False
        """Whether the heads have written already."""

    @property
    def names(self) -> list[str]:
        """The hooks that it needs."""
        return [f"blocks.{self._layer}.attn.hook_{part}" for part in ("q", "k", "v", "pattern", "z")]

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What the layer's edits of this hook are to find there."""
        if name.endswith("hook_pattern"):
            self._own = activation.clone()
        return self._said(activation) if name.endswith("hook_z") else activation

    def after(self, name: str, activation: Tensor) -> Tensor:
        """The same, remembered; of a pattern, what the edits make of it."""
        if name.endswith("hook_pattern"):
            for edit in self.edits:
                write_site(activation, edit, self._rows)
        self._known[name.rpartition("_")[2]] = activation
        return activation

    def shown_late(self, name: str) -> bool:
        """A pattern that is shown when the heads have written already."""
        return self.used and name.endswith("hook_pattern")

    def _said(self, z: Float[Tensor, "row pos head d_head"]) -> Float[Tensor, "row pos head d_head"]:
        own, changed = self._own, self._known.get("pattern")
        if own is None or changed is None:
            own = self._computed()
            changed = own.clone()
            for edit in self.edits:
                write_site(changed, edit, self._rows)
        self.used, v = True, self._known["v"]
        v = v.repeat_interleave(z.shape[2] // v.shape[2], dim=2)
        heads = sorted({edit.site.index for edit in self.edits if edit.site.index is not None})
        found, by_itself = (torch.einsum("bhqk,bkhd->bqhd", x[:, heads].to(v.dtype), v[:, :, heads]) for x in (changed, own))
        real = is_token(self._rows).to(z.device)[:, :, None, None]
        gap = min(float(((z[:, :, heads] - some) * real).abs().max()) for some in (found, by_itself))
        if not gap <= CLOSE[z.dtype] * max(1.0, float(z.abs().max())):
            raise SiteError(
                f"what the heads of layer {self._layer} write is not their pattern times their values in this architecture "
                f"({self._model.cfg.architecture}; they differ by {gap:.2g}), so patterns cannot be changed"
            )
        z[:, :, heads] = found
        return z

    def _computed(self) -> Float[Tensor, "row head query key"]:
        """The pattern of an architecture that shows it too late: one that reads in both directions and knows positions from the stream."""
        if not is_encoder(self._model):
            raise SiteError(f"{self._model.cfg.architecture} shows its patterns when they have been used, so they cannot be changed")
        q, k = (self._known[name] for name in ("q", "k"))
        k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        return scores.masked_fill(~is_token(self._rows).to(q.device)[:, None, None], -torch.inf).softmax(-1)


CLOSE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}
"""How far, as a share of the largest, two ways of computing what heads write may lie apart."""


class Between:
    """The stream between attention and MLP, which the hook of that name shows to the MLP alone: the attention layer adds the difference."""

    def __init__(self, model: "TransformerBridge", rows: Rows, layer: int) -> None:
        self.edits: list[Edit] = []
        self._rows, self._layer = rows, layer
        self._entered: Tensor | None = None

    @property
    def names(self) -> list[str]:
        """The hooks that it needs; that of its own name, so that an architecture without one is told."""
        return [f"blocks.{self._layer}.hook_{part}" for part in ("resid_pre", "attn_out", "resid_mid")]

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What was there."""
        return activation

    def after(self, name: str, activation: Tensor) -> Tensor:
        """The attention layer's output, such that the sum is what the edits make of it."""
        if name.endswith("hook_resid_pre"):
            self._entered = activation
        if not name.endswith("hook_attn_out"):
            return activation
        if self._entered is None:
            raise HookError(f"{name} fired before the stream that enters the layer was seen")
        between = self._entered + activation
        for edit in self.edits:
            write_site(between, edit, self._rows)
        return between - self._entered

    def shown_late(self, name: str) -> bool:
        """The MLP has not read yet."""
        return False


class Across:
    """What is changed at one hook by what was seen at another before it: a transcoder's features, read of what enters the MLP."""

    def __init__(self, rows: Rows, site: Site) -> None:
        assert site.code is not None
        self.edits: list[Edit] = []
        self._rows, self._own, self._first = rows, site.hook_name, f"blocks.{site.layer}.{site.code.beside}"
        self._seen: Tensor | None = None

    @property
    def names(self) -> list[str]:
        """The hooks that it needs."""
        return [self._first, self._own]

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What was there."""
        return activation

    def after(self, name: str, activation: Tensor) -> Tensor:
        """Of the site's own hook what the edits make of it."""
        if name == self._first:
            self._seen = activation.clone()
        else:
            if self._seen is None:
                raise HookError(f"{name} fired before {self._first}")
            for edit in self.edits:
                write_site(activation, edit, self._rows, self._seen)
        return activation

    def shown_late(self, name: str) -> bool:
        """What is only seen is not given back."""
        return name == self._first


_KINDS: dict[str, Callable[["TransformerBridge", Rows, int], Patterns | Between]] = {"pattern": Patterns, "resid_mid": Between}


def without_hook(site: Site) -> bool:
    """Whether edits of the site stand at other hooks than that of its name, or at one more."""
    return site.kind in _KINDS or site.looks_beside
