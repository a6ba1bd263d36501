"""Edges in a run with hooks: each receiver reads what it is to read of its senders, and nobody else does."""

from collections import defaultdict
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import HookError, SiteError
from mechcheck.engine.arithmetic.model import Arithmetic, Unserved, arithmetic
from mechcheck.engine.edit import Edit, Rows, part_of, write_site
from mechcheck.notation.sites import Receiver

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Stream = Float[Tensor, "row pos d_model"]


def arithmetic_of(model: "TransformerBridge") -> Arithmetic:
    """What a receiver computes from another stream is computed by the model's arithmetic.

    Raises:
        SiteError: this architecture's is not known.
    """
    try:
        return arithmetic(model)
    except Unserved as why:
        raise SiteError(f"edges need the arithmetic of what reads the stream, which is not known of this architecture: {why}") from None


def receiver_hook(model: "TransformerBridge", receiver: Receiver) -> str:
    """Where what a receiver reads, or makes of it first, can be put in."""
    match receiver.kind:
        case "logits":
            return f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        case "mlp":
            return f"blocks.{receiver.layer}.mlp.hook_in"
    return f"blocks.{receiver.layer}.attn.hook_{receiver.kind}"


def written_to_stream(arithmetic: Arithmetic, edit: Edit, change: Float[Tensor, "... d"]) -> Float[Tensor, "... d_model"]:
    """What a change of a sender's activation adds to the stream."""
    site, layer = edit.site, arithmetic.layers[edit.site.layer]
    if site.kind == "head":
        if site.index is None:
            return change @ layer.o.weight
        return change @ layer.o.weight[site.index * arithmetic.d_head : (site.index + 1) * arithmetic.d_head]
    if site.kind == "neuron":
        assert layer.mlp is not None
        return change @ layer.mlp.out.weight if site.index is None else change * layer.mlp.out.weight[site.index]
    return change


class Along:
    """What stands between a model's hooks and the edits of its edges."""

    def __init__(self, model: "TransformerBridge", rows: Rows, edits: list[Edit]) -> None:
        self._arithmetic = arithmetic_of(model)
        self._rows, self._last = rows, model.cfg.n_layers - 1
        self._into: dict[Receiver, list[Edit]] = defaultdict(list)
        for edit in edits:
            assert edit.site.to is not None
            self._into[edit.site.to].append(edit)
        self._receivers: dict[str, list[Receiver]] = defaultdict(list)
        for receiver in self._into:
            self._receivers[receiver_hook(model, receiver)].append(receiver)
        self._senders = {edit.site.hook_name for edit in edits}
        self._seen: dict[str, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """The hooks that it needs: senders', receivers', and those at which receivers' streams are seen."""
        streams = {name for receiver in self._into for name in self._streams(receiver)}
        return sorted(self._senders | set(self._receivers) | streams)

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What the edits of this hook are to find there."""
        for receiver in self._receivers.get(name, ()):
            activation = self._received(receiver, activation)
        return activation

    def after(self, name: str, activation: Tensor) -> Tensor:
        """The same, remembered."""
        self._seen[name] = activation
        return activation

    def shown_late(self, name: str) -> bool:
        """Nobody has read yet."""
        return False

    def _streams(self, receiver: Receiver) -> list[str]:
        """The hooks whose sum is the stream that a receiver reads; none for the logits', which are read where it stands."""
        if receiver.kind == "logits":
            return []
        between = [f"blocks.{receiver.layer}.hook_attn_out"] if receiver.kind == "mlp" and not self._arithmetic.parallel else []
        return [f"blocks.{receiver.layer}.hook_resid_pre", *between]

    def _received(self, receiver: Receiver, activation: Tensor) -> Tensor:
        """What the receiver makes of the stream with its senders' changes added."""
        added = reduce(torch.add, [self._added(edit) for edit in self._into[receiver]])
        if receiver.kind == "logits":
            return activation + added
        parts = [self._seen[name] for name in self._streams(receiver) if name in self._seen]
        if len(parts) < len(self._streams(receiver)):
            raise HookError(f"the stream that {receiver} reads was not seen before it")
        return receives(self._arithmetic, receiver, reduce(torch.add, [*parts, added]), activation)

    def _added(self, edit: Edit) -> Stream:
        """What the sender would add to the stream, less what it has added."""
        sender = replace(edit, site=replace(edit.site, to=None))
        own = self._seen.get(sender.site.hook_name)
        if own is None:
            raise HookError(f"{edit.site.hook_name} did not fire before what reads it")
        new = own.clone()
        write_site(new, sender, self._rows)
        return written_to_stream(self._arithmetic, sender, part_of(new, sender.site) - part_of(own, sender.site))


def receives(arithmetic: Arithmetic, receiver: Receiver, stream: Stream, activation: Tensor) -> Tensor:
    """A receiver's hook, with what it is when the receiver reads this stream; other heads keep what they have."""
    layer = arithmetic.layers[receiver.layer]
    if receiver.kind == "mlp":
        return stream if layer.ln2 is None else layer.ln2(stream)
    new = activation.clone()
    new[:, :, receiver.index] = head_input(arithmetic, receiver, stream)
    return new


def head_input(arithmetic: Arithmetic, receiver: Receiver, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_head"]:
    """A head's query, key or value, before rotary embedding, where it reads this stream."""
    layer, d_head = arithmetic.layers[receiver.layer], arithmetic.d_head
    assert receiver.index is not None
    first = {"q": 0, "k": arithmetic.n_heads, "v": arithmetic.n_heads + arithmetic.n_kv_heads}[receiver.kind] + receiver.index
    return layer.qkv.columns(first * d_head, (first + 1) * d_head)(arithmetic.attention_input(layer, stream))
