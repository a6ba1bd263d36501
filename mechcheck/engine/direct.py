"""Edges for the suffix runner: where nothing before a receiver is changed, what it makes of its senders is known beforehand."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.engine.along import head_input, written_to_stream
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.edit import Edit, Rows, part_of, select, write_site
from mechcheck.engine.untouched import Untouched
from mechcheck.notation.sites import Receiver, Site

SEVERAL = "several"
"""Stands for the places of an edit that concerns several positions."""


def direct(arithmetic: Arithmetic, edits: Sequence[Edit]) -> bool:
    """Whether these edges read what no other edit of theirs has changed: all receivers stand side by side, and nothing else is edited."""
    stages = {_stage(arithmetic, edit.site.to) for edit in edits if edit.site.to is not None}
    return len(stages) == 1 and all(edit.site.to is not None for edit in edits)


def _stage(arithmetic: Arithmetic, receiver: Receiver) -> tuple[int, bool]:
    """Receivers of the same stage read the same stream."""
    if receiver.kind == "logits":
        return len(arithmetic.layers), False
    return receiver.layer, receiver.kind == "mlp" and not arithmetic.parallel


def at_receivers(base: Untouched, edits: Sequence[Edit]) -> list[Edit]:
    """Where the same change is made, as edits of what receivers make of the stream, without their values."""
    return [_place(base, receiver, some) for receiver, some in _by_receiver(edits).items()]


def put_at_receivers(base: Untouched, edits: Sequence[Edit], read: Int[Tensor, "prompt read"]) -> list[Edit]:
    """The same change as edits of what receivers make of the stream, from the untouched run that the senders are known from.

    Args:
        base: that run.
        edits: of edges, for which `direct` holds.
        read: the positions that are read in the end; of the last stream no others are changed.
    """
    return [_put(base, receiver, some, read) for receiver, some in _by_receiver(edits).items()]


def _by_receiver(edits: Sequence[Edit]) -> dict[Receiver, list[Edit]]:
    into: dict[Receiver, list[Edit]] = defaultdict(list)
    for edit in edits:
        assert edit.site.to is not None
        into[edit.site.to].append(edit)
    return into


def _place(base: Untouched, receiver: Receiver, edits: Sequence[Edit]) -> Edit:
    """One receiver's edit: at a position where all its senders' changes are there, else at every position that any of them concerns."""
    at = _common_place(edits)
    match receiver.kind:
        case "logits":
            site = Site("resid_post", len(base.arithmetic.layers) - 1, None, at)
        case "mlp":
            site = Site("mlp_out", receiver.layer, None, at)
        case _:
            site = Site(receiver.kind, receiver.layer, receiver.index, at)
    masks, starts = [_mask(base, edit) for edit in edits], [edit.start for edit in edits]
    where = None if at is not None or any(mask is None for mask in masks) else reduce(torch.logical_or, [m for m in masks if m is not None])
    start = None if any(one is None for one in starts) else torch.stack([one for one in starts if one is not None]).amin(0)
    # A span needs a name, which an edit of several positions has not; what counts is where it is.
    return Edit(replace(site, at=SEVERAL) if where is not None else site, where=where, start=start)


def _common_place(edits: Sequence[Edit]) -> str | None:
    """The one position that all of these edits name."""
    places = {edit.site.at for edit in edits}
    return places.pop() if len(places) == 1 and edits[0].single else None


def _put(base: Untouched, receiver: Receiver, edits: Sequence[Edit], read: Int[Tensor, "prompt read"]) -> Edit:
    """The same, with what is there."""
    arithmetic, found = base.arithmetic, _place(base, receiver, edits)
    at = _common_place(edits)
    stream = _stream(base, receiver)
    if receiver.kind == "logits" and all(edit.site.at is None and edit.order is None for edit in edits):
        value = stream.clone()
        rows = torch.arange(len(value), device=value.device)[:, None]
        value[rows, read] += reduce(torch.add, [added_by(base, edit, read) for edit in edits])
        return replace(found, value=value)
    positions = None if at is None else base.prompts.position(at)
    if positions is not None:
        stream = select(stream, positions)
    stream = stream + reduce(torch.add, [added_by(base, edit, positions) for edit in edits])
    match receiver.kind:
        case "logits":
            value = stream
        case "mlp":
            layer = arithmetic.layers[receiver.layer]
            assert layer.mlp is not None
            value = layer.mlp.out(arithmetic.neurons(layer, stream))
        case _:
            value = head_input(arithmetic, receiver, stream)
    return replace(found, value=value)


def _stream(base: Untouched, receiver: Receiver) -> Float[Tensor, "prompt pos d_model"]:
    """What a receiver reads in the untouched run."""
    if receiver.kind == "logits":
        return base.last
    between = receiver.kind == "mlp" and not base.arithmetic.parallel
    return base.of("resid_mid" if between else "resid_pre", receiver.layer)


def added_by(base: Untouched, edit: Edit, positions: Int[Tensor, "prompt ..."] | None) -> Float[Tensor, "prompt *pos d_model"]:
    """What the sender would add to the stream, less what it has added: at some positions of each prompt, or at all."""
    sender = replace(edit, site=replace(edit.site, to=None))
    part = part_of(base.of(sender.site.kind, sender.site.layer), sender.site)
    if edit.order is not None or edit.where is not None or (positions is None and edit.site.at is not None):
        whole = base.of(sender.site.kind, sender.site.layer).clone()
        write_site(whole, sender, Rows(base.prompts, slice(None)))
        new = part_of(whole, sender.site)
        return written_to_stream(base.arithmetic, sender, new - part if positions is None else select(new - part, positions))
    own, value = part, None if edit.value is None else edit.value.to(part)
    if positions is not None:
        own = select(part, positions)
        value = value if value is None or value.ndim == own.ndim == 2 else select(value.expand(part.shape), positions)
    return written_to_stream(base.arithmetic, sender, sender.new_value(own, value) - own)


def _mask(base: Untouched, edit: Edit) -> Bool[Tensor, "prompt pos"] | None:
    """The positions that an edit concerns; None: all."""
    if edit.where is not None or edit.site.at is None:
        return edit.where
    return base.prompts.span(edit.site.at)
