"""The true circuit of a compiled model as edges of its graph."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from mechcheck.compiled._blueprint import ALWAYS, Blueprint, Head, Move
from mechcheck.notation.edges import INPUT
from mechcheck.notation.edges import LOGITS as LOGITS_SITE
from mechcheck.notation.sites import Receiver, Site, Sites

Place = tuple[int, int]
Read = tuple[Receiver, str]
"""Who reads, and which register."""


def wiring(blueprint: Blueprint) -> Sites:
    """The edges through which anything gets from the embeddings to the logits, as they were built.

    From the logits back: they read the output registers. A move matters if it fills a register that is read, in a later layer or by the
    logits, by something that matters; a head matters if one of its moves does. It then reads as values what these moves carry, and as
    queries and keys what it compares, without which it would attend elsewhere. An edge is true if its sender fills a register that its
    receiver reads so: the embeddings (`input`) the registers of words and positions, heads those that they move to. What a head compares
    with a register that is filled by several, all of these send to it. Nothing else is wired: all other weights are zero.
    """
    live: dict[Place, list[Move]] = {}
    read: list[tuple[int, Receiver, str]] = [(blueprint.n_layers, LOGITS_SITE, out) for out in blueprint.outputs]
    for place, head in reversed(blueprint.placed):
        later = {register for layer, _, register in read if layer > place[0]}
        live[place] = [move for move in head.moves if move.to in later]
        read += [(place[0], receiver, register) for receiver, register in _reads(place, head, live[place])]
    found = []
    for layer, receiver, register in read:
        if blueprint.by_name[register].embedded:
            found.append(replace(INPUT, to=receiver))
        for (earlier, index), moves in live.items():
            if earlier < layer and any(move.to == register for move in moves):
                found.append(Site("head", earlier, index, to=receiver))
    return Sites(found)


def _reads(place: Place, head: Head, live: list[Move]) -> Iterator[Read]:
    """What a head reads that writes anything."""
    if not live:
        return

    def by(kind: Literal["q", "k", "v"]) -> Receiver:
        return Receiver(kind, *place)

    for match in head.matches:
        if match.query != ALWAYS:
            yield by("q"), match.query
        yield by("k"), match.key
    for move in live:
        yield by("v"), move.read
