"""Edges for the suffix runner: where nothing before a receiver is changed, what it makes of its senders is known beforehand."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import torch
from jaxtyping import Bool, Float
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


def put_at_receivers(base: Untouched, edits: Sequence[Edit]) -> list[Edit]:
    """The same change as edits of what receivers make of the stream, from the untouched run that the senders are known from."""
    into: dict[Receiver, list[Edit]] = defaultdict(list)
    for edit in edits:
        assert edit.site.to is not None
        into[edit.site.to].append(edit)
    return [_put(base, receiver, some) for receiver, some in into.items()]


def _put(base: Untouched, receiver: Receiver, edits: Sequence[Edit]) -> Edit:
    """One receiver's edit: at a position where all its senders' changes are there, else at every position that any of them concerns."""
    arithmetic = base.arithmetic
    places = {edit.site.at for edit in edits}
    at = places.pop() if len(places) == 1 and edits[0].single else None
    stream = _stream(base, receiver)
    if at is not None:
        stream = select(stream, base.prompts.position(at))
    stream = stream + reduce(torch.add, [added_by(base, edit, at) for edit in edits])
    match receiver.kind:
        case "logits":
            site, value = Site("resid_post", len(arithmetic.layers) - 1, None, at), stream
        case "mlp":
            layer = arithmetic.layers[receiver.layer]
            assert layer.mlp is not None
            site, value = Site("mlp_out", receiver.layer, None, at), layer.mlp.out(arithmetic.neurons(layer, stream))
        case _:
            site, value = Site(receiver.kind, receiver.layer, receiver.index, at), head_input(arithmetic, receiver, stream)
    masks, starts = [_mask(base, edit) for edit in edits], [edit.start for edit in edits]
    where = None if at is not None or any(mask is None for mask in masks) else reduce(torch.logical_or, [m for m in masks if m is not None])
    start = None if any(one is None for one in starts) else torch.stack([one for one in starts if one is not None]).amin(0)
    # A span needs a name, which an edit of several positions has not; what counts is where it is.
    return Edit(replace(site, at=SEVERAL) if where is not None else site, value, where=where, start=start)


def _stream(base: Untouched, receiver: Receiver) -> Float[Tensor, "prompt pos d_model"]:
    """What a receiver reads in the untouched run."""
    if receiver.kind == "logits":
        return base.last
    between = receiver.kind == "mlp" and not base.arithmetic.parallel
    return base.of("resid_mid" if between else "resid_pre", receiver.layer)


def added_by(base: Untouched, edit: Edit, at: str | None) -> Float[Tensor, "prompt *pos d_model"]:
    """What the sender would add to the stream, less what it has added: at a position, or at all."""
    sender = replace(edit, site=replace(edit.site, to=None))
    whole = base.of(sender.site.kind, sender.site.layer)
    if at is not None:
        own = select(part_of(whole, sender.site), base.prompts.position(at))
        value = None if edit.value is None else edit.value.to(own)
        return written_to_stream(base.arithmetic, sender, sender.new_value(own, value) - own)
    new = whole.clone()
    write_site(new, sender, Rows(base.prompts, slice(None)))
    return written_to_stream(base.arithmetic, sender, part_of(new, sender.site) - part_of(whole, sender.site))


def _mask(base: Untouched, edit: Edit) -> Bool[Tensor, "prompt pos"] | None:
    """The positions that an edit concerns; None: all."""
    if edit.where is not None or edit.site.at is None:
        return edit.where
    return base.prompts.span(edit.site.at)
