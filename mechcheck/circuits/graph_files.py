"""Circuits of edges as files that other tools read: the JSON of EAP-IG and of the MIB benchmark, GraphML, DOT."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import Float

from mechcheck.base.errors import CircuitError
from mechcheck.base.json_schema import misfit
from mechcheck.base.paths import write_text
from mechcheck.base.reading import read_json
from mechcheck.circuits.evaluation import Mask
from mechcheck.notation.edges import INPUT, LOGITS
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.spans import ALL

Scores = Float[np.ndarray, "receiver sender"]
Places = Mapping[tuple[int, int], tuple[str, ...]]
"""Edges of a circuit, and the positions at which they act; none: at every one."""
_GROUPED = "n_key_value_heads"  # EAP-IG's reader keeps what it does not know
_MOST_HEADS = 2000
"""Of a model whose edges are written out, each of them: twice those of the largest GPT-2."""
_SIZE = {"type": "integer", "minimum": 1, "maximum": 1000}
_POSITION = {"type": "string", "pattern": r"^[^\W\d]\w*$"}
_EDGE = {
    "type": "object",
    "required": ["in_graph"],
    "properties": {"in_graph": {"type": ["boolean", "integer"]}, "score": {"type": "number"}, "at": {"type": "array", "items": _POSITION}},
}
_SCHEMA = {
    "type": "object",
    "required": ["cfg", "edges"],
    "properties": {
        "cfg": {
            "type": "object",
            "required": ["n_layers", "n_heads"],
            "properties": {
                "n_layers": _SIZE, "n_heads": _SIZE, _GROUPED: _SIZE, "parallel_attn_mlp": {"type": ["boolean", "integer", "null"]},
            },
        },
        "edges": {"type": "object", "additionalProperties": _EDGE},
        "nodes": {"type": ["object", "array"], "items": {"type": "string"}},
    },
}  # fmt: skip


class GraphFile(NamedTuple):
    """What such a file says."""

    graph: Graph
    kept: Mask
    """Edges of the circuit, wherever they act."""
    scores: Scores
    """Of each edge; NaN where there is none, or none was written."""
    edges: Sites
    """Edges of the circuit, at their positions where they name any."""


def write_graph(path: str | Path, graph: Graph, kept: Mask | Sites, scores: Scores | None = None, *, d_model: int = 0) -> Path:
    """Write a circuit of edges; the ending says how: ".json" (EAP-IG and MIB), ".graphml" or ".dot".

    Positions of edges stand beside them, in JSON as a list "at", which other tools pass over: to them such an edge acts everywhere.

    Args:
        path: where to.
        graph: of the model.
        kept: the circuit's edges, which may name positions; or a mask.
        scores: of all edges, where they have any.
        d_model: of the model, which EAP-IG's own reader asks for.

    Raises:
        CircuitError: another ending, or a mask or scores of another graph.
        SiteError: sites that are no edges of this graph.
        MechcheckError: a file that cannot be written.
    """
    path = Path(path)
    scores = np.full(graph.real.shape, np.nan) if scores is None else scores
    for what, given in (("circuit", kept), ("array of scores", scores)):
        if not isinstance(given, Sites) and tuple(given.shape) != tuple(graph.real.shape):
            sizes = f"{tuple(given.shape)} receivers and senders, and the model's has {tuple(graph.real.shape)}"
            raise CircuitError(f"this {what} is of a graph of {sizes}")
    writers = {".json": _json, ".graphml": _graphml, ".dot": _dot}
    if path.suffix not in writers:
        raise CircuitError(f"cannot write a circuit as {path.name}: choose an ending of {', '.join(writers)}")
    return write_text(path, writers[path.suffix](graph, _places(graph, kept), scores, d_model))


def _places(graph: Graph, kept: Mask | Sites) -> Places:
    if not isinstance(kept, Sites):
        return dict.fromkeys(map(tuple, (kept & graph.real).nonzero().tolist()), ())
    found: dict[tuple[int, int], list[str | None]] = {}
    for edge in kept:
        found.setdefault(graph.place(replace(edge, at=None)), []).append(None if edge.at == ALL else edge.at)
    return {at: () if None in names else tuple(filter(None, names)) for at, names in sorted(found.items())}


def read_graph(path: str | Path, *, n_kv_heads: int | None = None) -> GraphFile:
    """Read a circuit as EAP-IG and MIB write it (JSON).

    Args:
        path: the file.
        n_kv_heads: of the model, where its queries are grouped, and the file is not ours, which says so; such files have edges to each
            query's own keys and values, which must then agree within a group.

    Raises:
        CircuitError: no such file, or one of another form; edges that this graph has not; groups that disagree.
    """
    try:
        said = read_json(Path(path))
    except OSError as error:
        raise CircuitError(f"cannot read {path}: {error}") from None
    except ValueError as error:
        raise CircuitError(f"{path} is no circuit as EAP-IG and MIB write it (cfg, nodes, edges): {error}") from None
    if problem := misfit(said, _SCHEMA):
        raise CircuitError(f"{path} is no circuit as EAP-IG and MIB write it (cfg, nodes, edges): {problem}")
    cfg, edges, nodes = said["cfg"], said["edges"], list(said.get("nodes", ()))
    layers, heads, parallel = int(cfg["n_layers"]), int(cfg["n_heads"]), bool(cfg.get("parallel_attn_mlp", False))
    grouped = int(cfg.get(_GROUPED, heads)) if n_kv_heads is None else n_kv_heads
    known = {
        name: (tuple(edge.get("at", ())) if edge["in_graph"] else None, float(edge.get("score", math.nan))) for name, edge in edges.items()
    }
    if layers * heads > _MOST_HEADS:
        raise CircuitError(f"{path}: {layers} layers of {heads} heads")
    if not 0 < grouped <= heads or heads % grouped:
        raise CircuitError(f"{heads} heads cannot share {grouped} of keys and values")
    parts = {*nodes, *(part for name in known for part in name.split("->"))}
    graph = Graph(layers, heads, grouped, parallel, has_mlps=not nodes or any(re.fullmatch(r"m\d+", part) for part in parts))
    names = {name: _place(graph, name) for name in known}
    strange = [name for name, at in names.items() if at is None]
    if strange:
        raise CircuitError(f"{path}: {strange[0]!r} is no edge of a model of {layers} layers of {heads} heads")
    kept, scores = torch.zeros_like(graph.real), np.full(graph.real.shape, np.nan)
    seen: dict[tuple[int, int], tuple[str, ...] | None] = {}
    for name, (positions, score) in known.items():
        at = names[name]
        assert at is not None
        if seen.setdefault(at, positions) != positions:
            raise CircuitError(f"{path}: {name} and another edge to the same key/value head disagree, so the circuit is none of this model")
        kept[at], scores[at] = positions is not None, score
    placed = [(graph.edge(*at), positions) for at, positions in sorted(seen.items()) if positions is not None]
    along = Sites(replace(edge, at=name) for edge, positions in placed for name in positions or (None,))
    return GraphFile(graph, kept, scores, along)


_N = r"(0|[1-9]\d{0,3})"
_NAME = re.compile(rf"(?:input|m{_N}|a{_N}\.h{_N})->(?:logits|m{_N}|a{_N}\.h{_N}<([qkv])>)")


def _place(graph: Graph, name: str) -> tuple[int, int] | None:
    """Where the edge of that name is, as `names_of` has it; None where the graph has none. Not all names are made to find a few."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    mlp, layer, head, to_mlp, to_layer, to_head = (None if number is None else int(number) for number in found.groups()[:-1])
    kind: Any = found.groups()[-1]
    sender, receiver = INPUT, LOGITS
    if mlp is not None:
        sender = Site("mlp_out", mlp)
    elif layer is not None:
        sender = Site("head", layer, head)
    if to_mlp is not None:
        receiver = Receiver("mlp", to_mlp)
    elif to_layer is not None and to_head is not None:
        receiver = Receiver(kind, to_layer, to_head if kind == "q" else to_head // (graph.n_heads // graph.n_kv_heads))
    return graph.find(replace(sender, to=receiver))


def names_of(graph: Graph) -> Iterator[tuple[str, tuple[int, int]]]:
    """What EAP-IG calls each edge, and where it is; with grouped queries an edge has a name for each head of its group."""
    group = graph.n_heads // graph.n_kv_heads
    for row, column in graph.real.nonzero().tolist():
        receiver, sender = graph.receivers[row], graph.senders[column]
        heads = [receiver.index]
        if receiver.kind in ("k", "v") and receiver.index is not None:
            heads = list(range(receiver.index * group, (receiver.index + 1) * group))
        for head in heads:
            yield f"{_sender(sender)}->{_receiver(receiver, head)}", (row, column)


def _sender(site: Site) -> str:
    return {"resid_pre": "input", "mlp_out": f"m{site.layer}"}.get(site.kind, f"a{site.layer}.h{site.index}")


def _receiver(receiver: Receiver, head: int | None) -> str:
    return {"logits": "logits", "mlp": f"m{receiver.layer}"}.get(receiver.kind, f"a{receiver.layer}.h{head}<{receiver.kind}>")


def _json(graph: Graph, kept: Places, scores: Scores, d_model: int) -> str:
    used = {_sender(graph.senders[column]) for _, column in kept}
    cfg: dict[str, Any] = {
        "n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel, "d_model": d_model,
    }  # fmt: skip
    if graph.n_kv_heads != graph.n_heads:
        cfg[_GROUPED] = graph.n_kv_heads
    nodes = {name: {"in_graph": name in used or name == "logits"} for name in [*map(_sender, graph.senders), "logits"]}
    edges = {
        name: {"score": float(np.nan_to_num(scores[at])), "in_graph": at in kept, **({"at": list(kept[at])} if kept.get(at) else {})}
        for name, at in names_of(graph)
    }
    return json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges})


class _Drawn(NamedTuple):
    """An edge as a drawing has it."""

    sender: str
    receiver: str
    """The head or MLP."""
    kind: str
    """Of its inputs; nothing where it has one only."""
    at: str
    """A position; nothing where the edge acts at every one."""
    place: tuple[int, int]


def _of(graph: Graph, kept: Places) -> Iterator[_Drawn]:
    """Each edge of the circuit, as often as it has positions and heads that read it."""
    group = graph.n_heads // graph.n_kv_heads
    for place, positions in kept.items():
        edge = graph.edge(*place)
        sender, receiver = str(edge).partition("->")[0], edge.to
        assert receiver is not None
        heads = [receiver.index]
        if receiver.kind in ("k", "v") and receiver.index is not None:
            heads = list(range(receiver.index * group, (receiver.index + 1) * group))
        for head in heads:
            into, kind = (str(receiver), "") if head is None else (f"{receiver.layer}.{head}", receiver.kind)
            yield from (_Drawn(sender, into, kind, at, place) for at in positions or ("",))


def _graphml(graph: Graph, kept: Places, scores: Scores, _: int) -> str:
    root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for name, kind in (("input", "string"), ("at", "string"), ("score", "double")):
        ElementTree.SubElement(root, "key", {"id": name, "for": "edge", "attr.name": name, "attr.type": kind})
    body = ElementTree.SubElement(root, "graph", edgedefault="directed")
    edges = list(_of(graph, kept))
    for node in dict.fromkeys(name for edge in edges for name in (edge.sender, edge.receiver)):
        ElementTree.SubElement(body, "node", id=node)
    for one in edges:
        edge = ElementTree.SubElement(body, "edge", source=one.sender, target=one.receiver)
        score = "" if np.isnan(scores[one.place]) else repr(float(scores[one.place]))
        for key, text in (("input", one.kind), ("at", one.at), ("score", score)):
            if text:
                ElementTree.SubElement(edge, "data", key=key).text = text
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _dot(graph: Graph, kept: Places, scores: Scores, _: int) -> str:
    lines = ["digraph circuit {", "  rankdir=BT;"]
    for one in _of(graph, kept):
        label = f"{one.kind}@{one.at}" if one.at else one.kind
        score = "" if np.isnan(scores[one.place]) else f"{float(scores[one.place]):.6g}"
        facts = [f'{name}="{text}"' for name, text in (("label", label), ("tooltip", score)) if text]
        lines.append(f'  "{one.sender}" -> "{one.receiver}"' + (f" [{', '.join(facts)}]" if facts else "") + ";")
    return "\n".join([*lines, "}"]) + "\n"
