"""Circuits of edges as figures: who reads whom, as query, key or value, and what that is worth."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol

from mechcheck.base.errors import MechcheckError
from mechcheck.measures.figures.model import CircuitEdge, CircuitGraph, CircuitNode
from mechcheck.notation.edges import LOGITS
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

_INPUTS: dict[str, Literal["q", "k", "v"]] = {"q": "q", "k": "k", "v": "v"}


class Worth(Protocol):
    """What tells an edge's worth, as `EdgeScores` does."""

    def __getitem__(self, edge: Site) -> Measurement:
        """One value per prompt."""


def edge_graph(
    edges: Sites, scores: Worth | None = None, *, title: str = "Circuit", roles: Mapping[str, Sites] | None = None,
    whole: Graph | None = None, confidence: Confidence | None = None,
) -> CircuitGraph:  # fmt: skip
    """Edges as a figure: parts by layer, coloured by their roles; queries, keys and values told apart; each edge as wide as its worth.

    Args:
        edges: of a circuit, of scores (`scores.top(20)`), or that a search found (`found.edges(20)`).
        scores: what each is worth, with an interval; all are equally wide without them.
        title: above the figure.
        roles: role -> nodes, as a recorded circuit has them.
        whole: the model's graph, of one with grouped queries, whose key/value heads are parts by themselves; scores bring theirs.
        confidence: of the intervals.

    Raises:
        MechcheckError: no edges, or sites that are none.
    """
    if not len(edges) or any(site.to is None for site in edges):
        raise MechcheckError("a graph of edges needs edges, as edges(...), scores.top(...) or found.edges(...) give them")
    confidence, whole = confidence or Confidence(), whole or getattr(scores, "graph", None)
    grouped = whole is not None and whole.n_kv_heads < whole.n_heads
    named = {_source(site): role for role, sites in (roles or {}).items() for site in sites if site.to is None}
    nodes: dict[str, CircuitNode] = {}
    drawn: list[CircuitEdge] = []
    unit = ""
    last = 1 + max(max(site.layer, _layer(site.to)) for site in edges)
    for site in edges:
        receiver = site.to
        assert receiver is not None
        source, target = _source(site), _target(receiver, grouped)
        layers = {source: -1 if source == "input" else site.layer, target: last if target == "logits" else receiver.layer}
        for label, layer in layers.items():
            nodes.setdefault(label, CircuitNode(label, layer, named.get(label, "")))
        read_as = _INPUTS.get(receiver.kind, "")
        if scores is None:
            drawn.append(CircuitEdge(source, target, 1.0, read_as, at=site.at or ""))
            continue
        found = scores[site]
        estimate, unit = estimate_mean(found, confidence).estimate, found.unit
        drawn.append(CircuitEdge(source, target, estimate.value, read_as, estimate.low, estimate.high, site.at or ""))
    return CircuitGraph(title, list(nodes.values()), drawn, unit, None if scores is None else confidence.level)


def _source(site: Site) -> str:
    """A node's name, as an edge that leaves it is written."""
    return replace(site, to=LOGITS, at=None).place.partition("->")[0]


def _target(receiver: Receiver, grouped: bool) -> str:
    """The node that a receiver is an input of."""
    group = "kv" if grouped and receiver.kind in ("k", "v") else ""
    return str(receiver) if receiver.index is None else f"{receiver.layer}.{group}{receiver.index}"


def _layer(receiver: Receiver | None) -> int:
    return -1 if receiver is None or receiver.kind == "logits" else receiver.layer
