"""The edges of a compiled model's graph that were built, between heads and from the input, as far as they lead to the logits."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from mechcheck.compiled._blueprint import Blueprint, Head
from mechcheck.notation.edges import INPUT, LOGITS
from mechcheck.notation.sites import Receiver, Site, Sites


def wired(blueprint: Blueprint) -> Sites:
    """All edges along which a word can come to count in the logits; what is the same at every position is no word."""
    senders = [(INPUT, {register.name for register in blueprint.registers if register.embedded})]
    senders += [(Site("head", *place), {move.to for move in head.moves}) for place, head in blueprint.placed]
    found = [
        replace(sender, to=to) for sender, written in senders for reader, to, name in _readers(blueprint)
        if name in written and (sender == INPUT or sender.layer < reader)
    ]  # fmt: skip
    return _leading_to_logits(found)


def _readers(blueprint: Blueprint) -> Iterator[tuple[int, Receiver, str]]:
    """Layer, receiver and register of everything that is read."""
    for (layer, index), head in blueprint.placed:
        yield from ((layer, Receiver(kind, layer, index), name) for kind, name in _reads(head))
    yield from ((blueprint.n_layers, LOGITS, name) for name in blueprint.outputs)


def _reads(head: Head) -> Iterator[tuple[Literal["q", "k", "v"], str]]:
    for match in head.matches:
        yield "q", match.query
        yield "k", match.key
    for move in head.moves:
        yield "v", move.read


def _leading_to_logits(edges: list[Site]) -> Sites:
    reached: set[tuple[int, int | None]] = set()
    kept: list[Site] = []
    # Heads before the input, and late ones first: whatever reads a head comes behind it.
    for edge in sorted(edges, key=lambda edge: (edge.kind == "head", edge.layer), reverse=True):
        to = edge.to
        assert to is not None
        if to == LOGITS or (to.layer, to.index) in reached:
            kept.append(edge)
            if edge.kind == "head":
                reached.add((edge.layer, edge.index))
    return Sites(kept)
