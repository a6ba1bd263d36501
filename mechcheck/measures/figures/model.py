"""Figures of what happens in a model: attention, the logit lens, a circuit's graph, a search's steps."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.drawing.figure import Figure
from mechcheck.measures.figures.charts import Cell, cells, matrix, number

_BYTE = 255


@dataclass(frozen=True)
class AttentionView(Figure):
    """Attention of any number of heads on one prompt: the reader picks heads, a threshold, a token.

    Kept as one byte per weight, so a value is exact to 1/510 of the largest of its head.
    """

    title: str
    tokens: Sequence[str]
    patterns: Mapping[str, Float[np.ndarray, "query key"]]
    """Head, written "layer.head" -> attention from each token (row) to each token (column)."""
    weighted: Mapping[str, Float[np.ndarray, "query key"]] | None = None
    """The same heads, each weight times the size of what it moves (the value vector's norm, say); shown side by side."""

    def __post_init__(self) -> None:
        if not self.patterns or not self.tokens:
            raise MechcheckError(f"the attention view {self.title!r} has no {'tokens' if self.patterns else 'heads'}")
        if self.weighted is not None and set(self.weighted) != set(self.patterns):
            raise MechcheckError(f"the attention view {self.title!r} has value-weighted patterns of other heads than its patterns")
        for head, values in [*self.patterns.items(), *(self.weighted or {}).items()]:
            if np.shape(values) != (len(self.tokens),) * 2:
                raise MechcheckError(f"head {head} has a pattern of shape {np.shape(values)} for {len(self.tokens)} tokens")
            if not np.isfinite(values).all():
                raise MechcheckError(f"head {head} has attention that is not finite; give 0 where a mask forbids it")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        found: dict[str, Any] = {"tokens": list(self.tokens), "patterns": _packed(self.patterns)}
        found["weighted"] = None if self.weighted is None else _packed({head: self.weighted[head] for head in self.patterns})
        return {"kind": "attention", "title": self.title, "data": found}


@dataclass(frozen=True)
class LensGrid(Figure):
    """The logit lens over layers and positions: how probable the answer, and its foil, already are."""

    title: str
    tokens: Sequence[str]
    layers: Sequence[str]
    p_answer: Float[np.ndarray, "layer position"]
    p_foil: Float[np.ndarray, "layer position"] | None = None
    top: Sequence[Sequence[Sequence[tuple[str, float]]]] | None = None
    """The most probable tokens of each layer and position, with their probabilities, the most probable first."""

    def __post_init__(self) -> None:
        shape = (len(self.layers), len(self.tokens))
        for name, values in (("p_answer", self.p_answer), ("p_foil", self.p_foil)):
            if values is not None and np.shape(values) != shape:
                raise MechcheckError(f"a lens grid's {name} has shape {np.shape(values)} for {shape[0]} layers and {shape[1]} tokens")
        if self.top is not None and [len(row) for row in self.top] != [shape[1]] * shape[0]:
            raise MechcheckError(f"a lens grid's top tokens do not fit {shape[0]} layers and {shape[1]} tokens")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        top = [[[{"token": t, "p": number(p)} for t, p in cell] for cell in row] for row in self.top or ()]
        found = {
            "tokens": list(self.tokens),
            "layers": [str(layer) for layer in self.layers],
            "p_answer": matrix(self.p_answer),
            "p_foil": None if self.p_foil is None else matrix(self.p_foil),
            "top": top or None,
        }
        return {"kind": "lens", "title": self.title, "data": found}


class CircuitNode(NamedTuple):
    """A part of a circuit."""

    label: str
    """Unique, e.g. "0.3"."""
    layer: int
    """Where it is drawn: nodes of a layer stand above each other; -1 or so for the embedding, n_layers for the logits."""
    role: str = ""
    """What it does; nodes of a role share a colour."""


class CircuitEdge(NamedTuple):
    """An effect of one part on another."""

    source: str
    target: str
    weight: float
    """Signed: drawn by its size, dashed below zero."""
    reads: Literal["", "q", "k", "v"] = ""
    """As what the target reads it: its query, key or value; nothing where it has but one input."""
    low: float | None = None
    """Of the weight's interval."""
    high: float | None = None
    at: str = ""
    """The named position at which it lies; nothing for every position."""


@dataclass(frozen=True)
class CircuitGraph(Figure):
    """A circuit's parts by layer, and what passes between them."""

    title: str
    nodes: Sequence[CircuitNode | tuple[str, int, str]]
    edges: Sequence[CircuitEdge | tuple]
    """Those that are tuples are (source, target, weight) and, if they like, what a `CircuitEdge` has besides."""
    unit: str = ""
    """Of the edges' weights."""
    level: float | None = None
    """Of their intervals, where they have any."""

    def __post_init__(self) -> None:
        labels = [CircuitNode(*node).label for node in self.nodes]
        if doubled := sorted({label for label in labels if labels.count(label) > 1}):
            raise MechcheckError(f"a circuit graph has two nodes called {doubled[0]!r}")
        for edge in self._edges:
            if edge.reads not in ("", "q", "k", "v"):
                raise MechcheckError(f"the edge from {edge.source!r} to {edge.target!r} is read as {edge.reads!r}, not q, k or v")
            if missing := {edge.source, edge.target} - set(labels):
                raise MechcheckError(f"an edge from {edge.source!r} to {edge.target!r} ends in no node ({', '.join(sorted(missing))})")
            if not math.isfinite(edge.weight):
                raise MechcheckError(f"the edge from {edge.source!r} to {edge.target!r} has the weight {edge.weight}")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        nodes = [{"label": n.label, "layer": int(n.layer), "role": n.role} for n in (CircuitNode(*node) for node in self.nodes)]
        edges = [
            {"source": e.source, "target": e.target, "weight": number(e.weight)}
            | ({"reads": e.reads} if e.reads else {})
            | ({"at": e.at} if e.at else {})
            | ({"low": _end(e.low), "high": _end(e.high)} if self.level is not None else {})
            for e in self._edges
        ]
        told = {} if self.level is None else {"level": self.level}
        return {"kind": "circuit", "title": self.title, "data": {"nodes": nodes, "edges": edges, "unit": self.unit} | told}

    @property
    def _edges(self) -> list[CircuitEdge]:
        return [CircuitEdge(*edge) for edge in self.edges]


@dataclass(frozen=True)
class SearchTrace(Figure):
    """The steps of a search: what was added, and the score that came of it."""

    title: str
    steps: Sequence[tuple[str, float]]
    """(site added, score with it), in order."""
    score_label: str
    start: float | None = None
    """The score before the first step."""
    goal: float | None = None
    """The score at which the search stops."""
    details: Mapping[str, Sequence[Cell]] = field(default_factory=dict)
    """Further columns, one cell per step."""
    changes: Sequence[tuple[Sequence[str], Sequence[str]]] = ()
    """(added, removed) of each step, where its site is the whole set that the score is of."""

    def __post_init__(self) -> None:
        for name, column in self.details.items():
            if len(column) != len(self.steps):
                raise MechcheckError(f"the search {self.title!r} has {len(self.steps)} steps and {len(column)} cells of {name!r}")
        if self.changes and len(self.changes) != len(self.steps):
            raise MechcheckError(f"the search {self.title!r} has {len(self.steps)} steps and {len(self.changes)} changes")

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it."""
        steps: list[dict[str, Any]] = [{"site": str(site), "score": number(score)} for site, score in self.steps]
        for step, (added, removed) in zip(steps, self.changes, strict=False):
            step |= {"added": [*added], "removed": [*removed]}
        found = {
            "steps": steps,
            "score_label": self.score_label,
            "start": None if self.start is None else number(self.start),
            "goal": None if self.goal is None else number(self.goal),
            "details": [{"label": name, "cells": cells(column)} for name, column in self.details.items()],
        }
        return {"kind": "search", "title": self.title, "data": found}


def _packed(patterns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A byte per value, on a scale of its own per head from 0 (or the least value) to the greatest."""
    packed = []
    for head, given in patterns.items():
        values = np.asarray(given, dtype=np.float64)
        low, high = min(0.0, float(values.min())), float(values.max())
        steps = np.rint((values - low) / ((high - low) or 1.0) * _BYTE).astype(np.uint8)
        packed.append({"head": head, "low": number(low), "high": number(high), "values": base64.b64encode(steps.tobytes()).decode()})
    return packed


def _end(value: float | None) -> float | None:
    return None if value is None else number(value)
