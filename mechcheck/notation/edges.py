"""Edges: what one part of a model says, as one other part reads it, written as text: edges("0.3->1.1.q 1.1->logits@END")."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from mechcheck.base.errors import SiteError
from mechcheck.notation.ranges import bounded, numbers_of
from mechcheck.notation.sites import Kind, Receiver, Site, Sites

_HOW = 'write edges like "0.3->1.1.q", "input->0.0-3.v", "mlp0->mlp1" or "1.1->logits@END"'
_EDGE = re.compile(r"(?P<sender>[^>@]+)->(?P<receiver>[^>@]+)(?:@(?P<at>\w+))?")
_NAMED: dict[str, Kind] = {"mlp": "mlp_out", "attn": "attn_out", "resid": "resid_pre"}
_SENDER = re.compile(r"(?P<noun>mlp|attn|resid|)(?P<layers>\d+(-\d+)?)(\.(?P<heads>\d+(-\d+)?))?")
_RECEIVER = re.compile(r"(?P<layers>\d+(-\d+)?)\.(?P<heads>\d+(-\d+)?)\.(?P<inputs>[qkv]{1,3})")
_MLP = re.compile(r"mlp(?P<layers>\d+(-\d+)?)")
INPUT = Site("resid_pre", 0)
"""The embeddings, with positions where these are added: what enters the first layer."""
LOGITS = Receiver("logits")
# What adds to the stream, and all that has been added.
SENDERS: tuple[Kind, ...] = ("head", "mlp_out", "attn_out", "neuron", "resid_pre", "resid_mid")


def edges(text: str, *, at: str | None = None) -> Sites:
    """Edges from senders to receivers, each a site like any other: patched, ablated, scaled, steered and captured.

    The activation of an edge is its sender's. What is changed is what the receiver reads of it, by way of the stream alone: the
    sender itself and whatever else reads it go on as they are, and nothing that stands between the two passes the change on. What the
    receiver makes of it is free to act on all that follows. Several edges in one run are all in force: a receiver reads each sender as
    it is in that run, with the edges' changes added (Wang et al. 2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023, arXiv:2304.05969).

    Args:
        text: "sender->receiver" each. Senders: "0.3" (a head), "mlp0", "attn0" (a layer's attention), "input" (what enters the first
            layer), "resid2" (all that enters layer 2). Receivers: "1.1.q", "1.1.k", "1.1.v", "1.1.qkv" (a head's inputs; with grouped
            queries those of a key/value head by its number), "mlp1", "logits" (the final norm's input). Numbers may be ranges, "0.0-3";
            then all pairs of the two sides are meant, but for those in which a receiver would read what comes later.
        at: default position. An edge lies at one position, where the sender writes and the receiver reads: that of the query, of the
            key or of the value.

    Raises:
        SiteError: text that is none of these, or in which no receiver reads any sender.
    """
    _check_text(text)
    if at is not None:
        _check_text(at)
    return Sites(bounded(site for word in text.replace(",", " ").split() for site in _edge(word, at)))


def _check_text(given: object) -> None:
    if not isinstance(given, str):
        raise SiteError(f"expected text, got {given!r:.60}; {_HOW}")


def one_edge(edge: str | Site) -> Site:
    """The edge that is meant, of one text or site.

    Raises:
        SiteError: text that names none or several, or what is no edge.
    """
    if isinstance(edge, str):
        found = edges(edge)
        if len(found) != 1:
            raise SiteError(f"{edge!r} names {len(found)} edges; ask for one at a time")
        return found.members[0]
    if not isinstance(edge, Site) or edge.to is None:
        raise SiteError(f'an edge is asked for as "0.3->1.1.q" or as a site of edges(...), not {edge!r:.60}')
    return edge


def to(senders: Sites, receivers: str) -> Sites:
    """What these sites say, as these receivers read it: `to(heads("0.3@END"), "1.1.q")`."""
    _check_text(receivers)
    _check_sites(senders)
    reading = list(bounded(_receivers(receivers)))
    # Bounded before it is asked who reads whom, as that takes the time.
    found = [replace(site, to=receiver) for site, receiver in bounded(itertools.product(senders, reading)) if reads(receiver, site)]
    if not found:
        raise SiteError(f"{receivers} reads nothing of {senders}: a receiver comes behind its senders")
    return Sites(found)


def _check_sites(given: object) -> None:
    if not isinstance(given, Sites):
        raise SiteError(f"expected Sites, for example heads('9.6'), got {type(given).__name__}")


def path_of(text: str) -> tuple[Site, ...]:
    """The edges of a path, in order."""
    _check_text(text)
    first, *hops = text.replace(" ", "").split("->")
    if not hops:
        raise SiteError(f'{text!r} is no path; write it like "0.1->1.1.q@END->logits@END"')
    found: list[Site] = []
    sender = first
    for hop in hops:
        some = edges(f"{sender}->{hop}")
        if len(some) != 1:
            raise SiteError(f"{sender}->{hop} in {text!r} names {len(some)} edges; a path has one sender and one receiver at a time")
        found += some
        sender = _node(found[-1].to)
    return tuple(found)


def _node(receiver: Receiver | None) -> str:
    """The sender that a receiver is an input of."""
    assert receiver is not None
    return f"{receiver.layer}.{receiver.index}" if receiver.index is not None else str(receiver)


def reads(receiver: Receiver, sender: Site, *, parallel: bool = False) -> bool:
    """Whether the receiver comes behind the sender: an MLP behind the heads of its layer, unless both read the same stream."""
    if receiver.kind == "logits":
        return True
    if sender.kind == "resid_pre":
        return sender.layer <= receiver.layer
    same = receiver.kind == "mlp" and not parallel and sender.kind in ("head", "attn_out", "resid_mid")
    return sender.layer < receiver.layer or (same and sender.layer == receiver.layer)


def _edge(word: str, at: str | None) -> Iterator[Site]:
    match = _EDGE.fullmatch(word)
    if match is None:
        raise SiteError(f"cannot read {word!r} as an edge; {_HOW}")
    yield from to(Sites(bounded(_senders(match["sender"], match["at"] or at))), match["receiver"])


def _senders(text: str, at: str | None) -> Iterator[Site]:
    if text == "input":
        yield replace(INPUT, at=at)
        return
    match = _SENDER.fullmatch(text)
    if match is None or (match["noun"] == "") != (match["heads"] is not None):
        raise SiteError(f"cannot read {text!r} as the sender of an edge; {_HOW}")
    for layer in numbers_of(match["layers"]):
        for head in numbers_of(match["heads"]) if match["heads"] else [None]:
            yield Site(_NAMED.get(match["noun"], "head"), layer, head, at)


def _receivers(text: str) -> Iterator[Receiver]:
    if text == "logits":
        yield LOGITS
    elif match := _MLP.fullmatch(text):
        yield from (Receiver("mlp", layer) for layer in numbers_of(match["layers"]))
    elif match := _RECEIVER.fullmatch(text):
        for layer in numbers_of(match["layers"]):
            for head in numbers_of(match["heads"]):
                yield from (Receiver(kind, layer, head) for kind in ("q", "k", "v") if kind in match["inputs"])
    else:
        raise SiteError(f"cannot read {text!r} as the receiver of an edge; {_HOW}")
