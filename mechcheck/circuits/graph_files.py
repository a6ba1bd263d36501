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
from mechcheck.base.reading import read_json
from mechcheck.circuits.evaluation import Mask
from mechcheck.notation.edges import INPUT, LOGITS
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Receiver, Site

Scores = Float[np.ndarray, "receiver sender"]
_MOST_HEADS = 2000
"""Of a model whose edges are written out, each of them: twice those of the largest GPT-2."""
_SIZE = {"type": "integer", "minimum": 1, "maximum": 1000}
_EDGE = {
    "type": "object",
    "required": ["in_graph"],
    "properties": {"in_graph": {"type": ["boolean", "integer"]}, "score": {"type": "number"}},
}
_SCHEMA = {
    "type": "object",
    "required": ["cfg", "edges"],
    "properties": {
        "cfg": {
            "type": "object",
            "required": ["n_layers", "n_heads"],
            "properties": {"n_layers": _SIZE, "n_heads": _SIZE, "parallel_attn_mlp": {"type": ["boolean", "integer", "null"]}},
        },
        "edges": {"type": "object", "additionalProperties": _EDGE},
        "nodes": {"type": ["object", "array"], "items": {"type": "string"}},
    },
}


class GraphFile(NamedTuple):
    """What such a file says."""

    graph: Graph
    kept: Mask
    """Edges of the circuit."""
    scores: Scores
    """Of each edge; NaN where there is none, or none was written."""


def write_graph(path: str | Path, graph: Graph, kept: Mask, scores: Scores | None = None, *, d_model: int = 0) -> Path:
    """Write a circuit of edges; the ending says how: ".json" (EAP-IG and MIB), ".graphml" or ".dot".

    Args:
        path: where to.
        graph: of the model.
        kept: the circuit's edges.
        scores: of all edges, where they have any.
        d_model: of the model, which EAP-IG's own reader asks for.

    Raises:
        CircuitError: another ending, or a mask of another graph.
    """
    path = Path(path)
    if kept.shape != graph.real.shape:
        sizes = f"{tuple(kept.shape)} receivers and senders, and the model's has {tuple(graph.real.shape)}"
        raise CircuitError(f"this circuit is of a graph of {sizes}")
    kept, scores = kept & graph.real, np.full(graph.real.shape, np.nan) if scores is None else scores
    writers = {".json": _json, ".graphml": _graphml, ".dot": _dot}
    if path.suffix not in writers:
        raise CircuitError(f"cannot write a circuit as {path.name}: choose an ending of {', '.join(writers)}")
    path.write_text(writers[path.suffix](graph, kept, scores, d_model), encoding="utf-8")
    return path


def read_graph(path: str | Path, *, n_kv_heads: int | None = None) -> GraphFile:
    """Read a circuit as EAP-IG and MIB write it (JSON).

    Args:
        path: the file.
        n_kv_heads: of the model, where its queries are grouped; such files have edges to each query's own keys and values, which must
            then agree within a group.

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
    known = {name: (bool(edge["in_graph"]), float(edge.get("score", math.nan))) for name, edge in edges.items()}
    if layers * heads > _MOST_HEADS:
        raise CircuitError(f"{path}: {layers} layers of {heads} heads")
    grouped = heads if n_kv_heads is None else n_kv_heads
    if not 0 < grouped <= heads or heads % grouped:
        raise CircuitError(f"{heads} heads cannot share {grouped} of keys and values")
    parts = {*nodes, *(part for name in known for part in name.split("->"))}
    graph = Graph(layers, heads, grouped, parallel, has_mlps=not nodes or any(re.fullmatch(r"m\d+", part) for part in parts))
    names = {name: _place(graph, name) for name in known}
    strange = [name for name, at in names.items() if at is None]
    if strange:
        raise CircuitError(f"{path}: {strange[0]!r} is no edge of a model of {layers} layers of {heads} heads")
    kept, scores = torch.zeros_like(graph.real), np.full(graph.real.shape, np.nan)
    seen: dict[tuple[int, int], bool] = {}
    for name, (inside, score) in known.items():
        at = names[name]
        assert at is not None
        if seen.setdefault(at, inside) != inside:
            raise CircuitError(f"{path}: {name} and another edge to the same key/value head disagree, so the circuit is none of this model")
        kept[at], scores[at] = inside, score
    return GraphFile(graph, kept, scores)


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
    return graph.place(replace(sender, to=receiver))


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


def _json(graph: Graph, kept: Mask, scores: Scores, d_model: int) -> str:
    used = {_sender(graph.senders[column]) for column in kept.any(0).nonzero()[:, 0].tolist()}
    cfg: Mapping[str, Any] = {
        "n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel, "d_model": d_model,
    }  # fmt: skip
    nodes = {name: {"in_graph": name in used or name == "logits"} for name in [*map(_sender, graph.senders), "logits"]}
    edges = {
        name: {"score": float(np.nan_to_num(scores[at])), "in_graph": bool(kept[at])} for name, at in names_of(graph)
    }  # fmt: skip
    return json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges})


def _of(graph: Graph, kept: Mask) -> Iterator[tuple[str, str, str, tuple[int, int]]]:
    """Sender, receiving node, input and place of each edge of the circuit."""
    group = graph.n_heads // graph.n_kv_heads
    for row, column in kept.nonzero().tolist():
        receiver, sender = graph.receivers[row], replace(graph.senders[column], to=graph.receivers[row])
        name = str(sender).partition("->")[0]
        if receiver.kind in ("logits", "mlp"):
            yield name, str(receiver), "", (row, column)
            continue
        assert receiver.index is not None
        heads = [receiver.index] if receiver.kind == "q" else range(receiver.index * group, (receiver.index + 1) * group)
        for head in heads:
            yield name, f"{receiver.layer}.{head}", receiver.kind, (row, column)


def _graphml(graph: Graph, kept: Mask, scores: Scores, _: int) -> str:
    root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for name, kind in (("input", "string"), ("score", "double")):
        ElementTree.SubElement(root, "key", {"id": name, "for": "edge", "attr.name": name, "attr.type": kind})
    body = ElementTree.SubElement(root, "graph", edgedefault="directed")
    edges = list(_of(graph, kept))
    for node in dict.fromkeys(name for sender, receiver, _, _ in edges for name in (sender, receiver)):
        ElementTree.SubElement(body, "node", id=node)
    for sender, receiver, kind, at in edges:
        edge = ElementTree.SubElement(body, "edge", source=sender, target=receiver)
        if kind:
            ElementTree.SubElement(edge, "data", key="input").text = kind
        if not np.isnan(scores[at]):
            ElementTree.SubElement(edge, "data", key="score").text = repr(float(scores[at]))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _dot(graph: Graph, kept: Mask, scores: Scores, _: int) -> str:
    lines = ["digraph circuit {", "  rankdir=BT;"]
    for sender, receiver, kind, at in _of(graph, kept):
        facts = [f'label="{kind}"'] * bool(kind) + [f'tooltip="{float(scores[at]):.6g}"'] * (not np.isnan(scores[at]))
        lines.append(f'  "{sender}" -> "{receiver}"' + (f" [{', '.join(facts)}]" if facts else "") + ";")
    return "\n".join([*lines, "}"]) + "\n"
