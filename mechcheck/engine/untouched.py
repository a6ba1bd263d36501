"""The untouched run on a set of prompts, kept layer by layer: what every row of a sweep starts from, and what patches take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mechcheck.base.architectures import is_native
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.arithmetic.rotary import rotate
from mechcheck.engine.arithmetic.work import attended
from mechcheck.engine.edit import Activation, Rows, is_token, part_of, select
from mechcheck.engine.hooks import as_loaded, attention_mask
from mechcheck.engine.kept.layers import Kept, Layers
from mechcheck.engine.memory import kept_bytes
from mechcheck.notation.sites import Kind, Site
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Tables = tuple[Float[Tensor, "pos rotary"], Float[Tensor, "pos rotary"]]


@dataclass(eq=False)
class Untouched:
    """A forward pass without interventions, at every position."""

    prompts: PromptSet
    tables: Tables | None
    """Cosines and sines of the rotary embedding, by position."""
    layers: Layers
    last: Float[Tensor, "prompt pos d_model"]
    """The stream after the last layer."""
    extra: dict[tuple[Kind, int], Tensor]
    """Activations that were asked for beside those of `Kept`."""
    arithmetic: Arithmetic
    bound: tuple[Int[Tensor, "prompt read"], Float[Tensor, "prompt read d_model"]] | None = None
    """Positions, and what no scale exceeds there (`rounding.at_most`); None until it is asked for."""
    scale: tuple[Int[Tensor, "prompt read"], Float[Tensor, "prompt read d_model"]] | None = None
    """Positions, and of each component there in what units rounding is told (`rounding.scale`); None until it is asked for."""

    def of(self, kind: Kind, layer: int) -> Tensor:
        """A hook's activation: [prompt, pos, head, d_head] for the heads' kinds, [prompt, pos, d] else."""
        if (kind, layer) in self.extra:
            return self.extra[kind, layer]
        match kind:
            case "head":
                return self.layers[layer].z.unflatten(-1, (-1, self.arithmetic.d_head))
            case "resid_mid":
                return self.layers.entering(layer) + self.layers[layer].attn_out
            case "resid_post":
                return self.last if layer == len(self.layers) - 1 else self.layers.entering(layer + 1)
            case "resid_pre":
                return self.layers.entering(layer)
            case "attn_out" | "mlp_out":
                return getattr(self.layers[layer], kind)
        raise KeyError(f"{kind} of layer {layer} was not asked for")

    def at(self, site: Site) -> Activation:
        """A site's activation, as `capture` gives it."""
        found = part_of(self.of(site.kind, site.layer), site)
        if site.at is not None and not self.prompts.several(site.at):
            found = select(found, self.prompts.position(site.at))
        return found if site.code is None else site.code.read(found)


class _Enough(Exception):
    """The first block was reached."""


def first_stream(model: "TransformerBridge", prompts: PromptSet) -> tuple[Float[Tensor, "prompt pos d_model"], Tables | None]:
    """What enters the first block, and the rotary tables: by the model's own forward pass, stopped there."""
    check_fits_once(model, prompts)
    seen: dict = {}

    def stop(_: object, args: tuple, kwargs: dict) -> None:
        seen["stream"] = args[0] if args else kwargs["hidden_states"]
        seen["tables"] = kwargs.get("position_embeddings") or _own_tables(model, seen["stream"])
        raise _Enough

    handle = model.blocks[0].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with as_loaded(model):
            model(prompts.tokens.to(model.cfg.device), **attention_mask(model, Rows(prompts, slice(None))))
    except _Enough:
        pass
    finally:
        handle.remove()
    tables = seen["tables"]
    return seen["stream"], None if tables is None else (tables[0][0], tables[1][0])


def _own_tables(model: "TransformerBridge", stream: Tensor) -> Tables | None:
    """The rotary tables that a native model has in its attention, with an axis in front as transformers' have."""
    rotary = getattr(model.original_model, "rotary", None) if is_native(model) else None
    if rotary is None:
        return None
    cos, sin = (table[None, : stream.shape[1]].to(stream.dtype) for table in (rotary.cos_cached, rotary.sin_cached))
    return cos, sin


@torch.no_grad()
def untouched(
    model: "TransformerBridge",
    arithmetic: Arithmetic,
    prompts: PromptSet,
    extra: frozenset[tuple[Kind, int]] = frozenset(),
    like: Untouched | None = None,
) -> Untouched:
    """Run the prompts.

    Args:
        model, arithmetic, prompts: what is run.
        extra: (kind, layer) of queries, keys, values (before rotary embedding) and neurons to keep.
        like: a run of aligned prompts; what all prompts have in common with theirs at the beginning is taken from there.
    """
    x, tables = first_stream(model, prompts)
    common = 0 if like is None or extra else _in_common(arithmetic, prompts, like.prompts)
    x = x[:, common:]
    around = None if tables is None else (tables[0][common:, None], tables[1][common:, None])
    sees = seen_by_all(arithmetic, prompts)
    if common:
        sees = torch.ones(x.shape[1], prompts.tokens.shape[1], dtype=torch.bool, device=x.device).tril(common)
    way = _Way(arithmetic, around, sees, like.layers if like is not None and common else None, common)
    layers = Layers(way.again, kept_bytes(x.device))
    also: dict[tuple[Kind, int], Tensor] = {}
    for number in range(len(arithmetic.layers)):
        passed = way.through(number, x)
        layers.add(passed.kept)
        also.update({(kind, number): passed.found[kind] for kind in passed.found if (kind, number) in extra})
        x = passed.leaving
    if like is not None and common:
        x = torch.cat([like.last[:, :common], x], dim=1)
    return Untouched(prompts, tables, layers, x, also, arithmetic)


class _Passed(NamedTuple):
    """What a layer makes of the stream."""

    kept: Kept
    found: dict[Kind, Tensor]
    """Queries, keys and values before rotary embedding, and neurons."""
    leaving: Float[Tensor, "prompt later d_model"]


class _Way(NamedTuple):
    """How a run goes through its layers."""

    arithmetic: Arithmetic
    around: Tables | None
    sees: Bool[Tensor, "..."] | None
    like: Layers | None
    """Of a run that these prompts have their first positions in common with."""
    common: int
    """So many positions."""

    def through(self, number: int, x: Float[Tensor, "prompt later d_model"]) -> _Passed:
        """One layer, at the positions that are not in common."""
        arithmetic, common = self.arithmetic, self.common
        layer, before = arithmetic.layers[number], None if self.like is None else self.like[number]
        q, k, v = arithmetic.split(layer.qkv(arithmetic.attention_input(layer, x)))
        found: dict[Kind, Tensor] = {"q": q, "k": k, "v": v}
        q, k = (rotate(part, self.around, neighbours=arithmetic.neighbours) for part in (q, k))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        if before is not None:
            k, v = (torch.cat([old[:, :, :common], new], dim=2) for old, new in ((before.k, k), (before.v, v)))
        attended(q, k)
        z = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.sees, is_causal=self.sees is None, scale=arithmetic.scale, enable_gqa=q.shape[1] != k.shape[1]
        )  # [prompt, head, pos, d_head]
        z = z.transpose(1, 2).flatten(2)
        attn_out = layer.o(z)
        between = arithmetic.after_attention(layer, x, attn_out)
        mlp_out = size = None
        if layer.mlp is not None:
            found["neuron"] = arithmetic.neurons(layer, x if arithmetic.parallel else between)
            mlp_out, size = layer.mlp.out(found["neuron"]), found["neuron"].norm(dim=-1)
        kept = Kept(x, k, v, z, attn_out, mlp_out, size)
        leaving = between if mlp_out is None else arithmetic.after_mlp(layer, between, mlp_out)
        return _Passed(kept if before is None else _continued(before, kept, common), found, leaving)

    @torch.no_grad()
    def again(self, number: int, entering: Float[Tensor, "prompt pos d_model"]) -> Kept:
        """A layer once more, from what entered it."""
        return self.through(number, entering[:, self.common :]).kept


def seen_by_all(arithmetic: Arithmetic, prompts: PromptSet) -> Bool[Tensor, "prompt 1 1 pos"] | None:
    """The positions that every query sees, which are those of tokens; None where attention is causal."""
    return None if arithmetic.causal else is_token(Rows(prompts, slice(None))).to(arithmetic.w_u.device)[:, None, None]


def _in_common(arithmetic: Arithmetic, prompts: PromptSet, others: PromptSet) -> int:
    """How many tokens at the beginning are the same in every pair of prompts; at least one position is left to run."""
    if not arithmetic.causal or prompts.tokens.shape != others.tokens.shape:
        return 0
    differs = (prompts.tokens != others.tokens).any(0)
    first = int(differs.int().argmax()) if differs.any() else len(differs)
    return min(first, len(differs) - 1)


def _continued(before: Kept, after: Kept, common: int) -> Kept:
    """The first positions of one run and the others of another; keys and values are whole already."""

    def joined(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old[:, :common], new], dim=1)

    resid_pre, z, attn_out = (joined(getattr(before, name), getattr(after, name)) for name in ("resid_pre", "z", "attn_out"))
    mlp_out = None if before.mlp_out is None or after.mlp_out is None else joined(before.mlp_out, after.mlp_out)
    size = None if before.neuron_norm is None or after.neuron_norm is None else joined(before.neuron_norm, after.neuron_norm)
    return Kept(resid_pre, after.k, after.v, z, attn_out, mlp_out, size)
