"""Edges and paths as figures: who reads whom, as query, key or value, and what that is worth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.figures.model import CircuitEdge, CircuitGraph, CircuitNode
from mechcheck.notation.edges import INPUT, LOGITS, path_of
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

Effects = Float[np.ndarray, "path prompt"]
_INPUTS: dict[str, Literal["q", "k", "v"]] = {"q": "q", "k": "k", "v": "v"}


class Worth(Protocol):
    """What tells an edge's worth, as `EdgeScores` and a mapping do."""

    def __getitem__(self, edge: Site, /) -> Measurement:
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
    worth = None if scores is None else {site: scores[site] for site in edges}
    return _graph(list(edges), worth, title, roles or {}, whole or getattr(scores, "graph", None), confidence or Confidence())


def path_graph(
    paths: Sequence[str], effects: Effects, prompts: PromptSet, *, title: str = "Paths", unit: str = "logits",
    roles: Mapping[str, Sites] | None = None, whole: Graph | None = None, confidence: Confidence | None = None,
) -> CircuitGraph:  # fmt: skip
    """What `path_patching` gave as a graph: an edge that several paths share has the largest of their effects.

    Args:
        paths: as they were patched.
        effects: what each does: what `path_patching` gives, less the metric of the untouched run.
        prompts: those of that run.
        title, roles, confidence: as for `edge_graph`.
        unit: of the effects.
        whole: the model's graph, of one with grouped queries: a path that enters a key/value head goes on by the heads that share it.

    Raises:
        MechcheckError: no paths, or effects of another shape.
        SiteError: text that is no path.
    """
    _check(paths, effects, len(prompts))
    found: dict[Site, Measurement] = {}
    for path, values in zip(paths, np.asarray(effects), strict=True):
        measured = Measurement(values, prompts.ids, prompts.templates, f"effect of {path}", unit)
        for edge in _in_groups(path_of(path), whole):
            if edge not in found or abs(measured.mean) > abs(found[edge].mean):
                found[edge] = measured
    return _graph(list(found), found, title, roles or {}, whole, confidence or Confidence())


def _in_groups(path: Sequence[Site], whole: Graph | None) -> Iterator[Site]:
    """The edges of a path; behind a key or value that several heads share, those from each of them."""
    size = 1 if whole is None else whole.n_heads // whole.n_kv_heads
    entered: Receiver | None = None
    for edge in path:
        if entered is not None and entered.kind in ("k", "v") and edge.index is not None:
            yield from (replace(edge, index=edge.index * size + head) for head in range(size))
        else:
            yield edge
        entered = edge.to


def path_heatmap(paths: Sequence[str], effects: Effects, *, title: str = "Paths", unit: str = "logits") -> Heatmap:
    """The mean effect of each path by where it begins (rows) and what it runs through from there (columns).

    Args:
        paths, effects, title, unit: as for `path_graph`.

    Raises:
        MechcheckError: no paths, or effects of another shape.
    """
    _check(paths, effects, None)
    split = [path.replace(" ", "").partition("->")[::2] for path in paths]
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*split, strict=True))
    values = np.full((len(rows), len(columns)), np.nan)
    for (sender, rest), value in zip(split, np.asarray(effects).mean(1), strict=True):
        values[rows.index(sender), columns.index(rest)] = value
    return Heatmap(title, values, rows, columns, "from", "through", unit)


def _check(paths: Sequence[str], effects: Effects, prompts: int | None) -> None:
    shape = np.shape(effects)
    if not paths or len(shape) != 2 or shape[0] != len(paths) or prompts not in (None, shape[1]):
        wanted = f"[{len(paths)} paths, {'prompts' if prompts is None else f'{prompts} prompts'}]"
        raise MechcheckError(f"the effects of paths are {wanted}, got an array of shape {shape}")


def _graph(
    edges: Sequence[Site], worth: Mapping[Site, Measurement] | None, title: str, roles: Mapping[str, Sites], whole: Graph | None,
    confidence: Confidence,
) -> CircuitGraph:  # fmt: skip
    grouped = whole is not None and whole.n_kv_heads < whole.n_heads
    named = {_source(site): role for role, sites in roles.items() for site in sites if site.to is None}
    last = 1 + max(layer for site in edges for layer in (site.layer, 0 if site.to is None else site.to.layer))
    nodes: dict[str, CircuitNode] = {}
    drawn: list[CircuitEdge] = []
    for site in edges:
        to = site.to
        assert to is not None
        source, target = _source(site), _target(to, grouped)
        layers = {source: -1 if replace(site, at=None, to=None) == INPUT else site.layer, target: last if to == LOGITS else to.layer}
        for label, layer in layers.items():
            nodes.setdefault(label, CircuitNode(label, layer, named.get(label, "")))
        ends: tuple[float, float | None, float | None] = (1.0, None, None)
        if worth is not None:
            estimate = estimate_mean(worth[site], confidence).estimate
            ends = estimate.value, estimate.low, estimate.high
        drawn.append(CircuitEdge(source, target, ends[0], _INPUTS.get(to.kind, ""), *ends[1:], at=site.at or ""))
    if worth is None:
        return CircuitGraph(title, list(nodes.values()), drawn)
    return CircuitGraph(title, list(nodes.values()), drawn, worth[edges[0]].unit, confidence.level)


def _source(site: Site) -> str:
    """A node's name, as an edge that leaves it is written."""
    return replace(site, to=LOGITS, at=None).place.partition("->")[0]


def _target(receiver: Receiver, grouped: bool) -> str:
    """The node that a receiver is an input of."""
    group = "kv" if grouped and receiver.kind in ("k", "v") else ""
    return str(receiver) if receiver.index is None else f"{receiver.layer}.{group}{receiver.index}"
