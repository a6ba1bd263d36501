"""Circuits from files of either kind: our TOML, and the JSON of EAP-IG and MIB."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import CircuitError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.edge_search import FoundEdges
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.circuits.graph_files import GraphFile, read_graph
from mechcheck.circuits.ordering import ordered
from mechcheck.notation.circuit import Circuit, EdgeRecord, parts_of
from mechcheck.notation.edges import one_edge
from mechcheck.notation.graph import Graph, graph

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class CircuitFile:
    """A circuit, and what its file says beside it."""

    circuit: Circuit
    beside: GraphFile | None = None
    """The file itself where it is a JSON; of a TOML the JSON of the same circuit beside it."""

    @property
    def graph(self) -> Graph | None:
        """The model's, as far as the file says."""
        return None if self.beside is None else self.beside.graph

    @property
    def ranked(self) -> FoundEdges | None:
        """Circuits of every size, where all edges of the graph have scores."""
        if self.beside is None or np.isnan(self.beside.scores[self.beside.graph.real.numpy()]).any():
            return None
        order = tuple(ordered(self.beside.graph, self.beside.scores, "greedy"))
        return FoundEdges(self.beside.graph, order, "scores of the file", (), frozenset())

    def worth(self, whole: Graph) -> Float[np.ndarray, "receiver sender"]:
        """Each edge's score; NaN where it has none."""
        if self.beside is not None:
            return self.beside.scores
        found, record = np.full(whole.real.shape, np.nan), self.circuit.edge_record
        for name, score in ({} if record is None else record.scores).items():
            at = whole.place(replace(one_edge(name), at=None))
            found[at] = score if np.isnan(found[at]) else max(found[at], score, key=abs)  # one number, of several positions
        return found


def read_circuit(path: Path, model: "TransformerBridge | None" = None) -> CircuitFile:
    """A circuit from a .toml of ours, or a .json as EAP-IG and MIB write it, which fits the model where there is one.

    Of a .json beside the .toml of the same edges it is the circuit of the .toml, which knows the weights and the prompts that it is of.

    "claims/..." is a shipped circuit, where there is no such file here.

    Raises:
        CircuitError: no such file, or one of another form; a circuit of another model, or with nothing in it.
        SiteError: sites or edges that the model has not.
    """
    path = _shipped(path)
    if path.suffix == ".json":
        said = _graph_file(path, model)
        beside = path.with_suffix(".toml")
        if beside.is_file() and (known := load_circuit(beside)).edges == said.edges:  # which knows its weights and prompts
            if model is not None:
                check_circuit(known, model)
            return CircuitFile(known, said)
        along = said.edges
        worth = {str(edge): float(said.scores[said.graph.place(replace(edge, at=None))]) for edge in along}
        scores = worth if np.isfinite(list(worth.values())).all() else {}
        return CircuitFile(
            _some(path, Circuit({}, path.name, edges=along, edge_record=EdgeRecord(of=len(said.graph), scores=scores))), said
        )
    if path.suffix != ".toml":
        raise CircuitError(f"{path} is no circuit: give a .toml, or a .json as EAP-IG and MIB write it")
    circuit = _some(path, load_circuit(path))
    if model is not None:
        check_circuit(circuit, model)
    beside = path.with_suffix(".json")
    if not circuit.edges or not beside.is_file():
        return CircuitFile(circuit)
    said = _graph_file(beside, model)
    return CircuitFile(circuit, said if said.edges == circuit.edges else None)


def _shipped(path: Path) -> Path:
    """The path; of a file among the claims that is not there the one that comes with the package."""
    ours = data_dir("claims").parent / path
    return ours if path.parts[:1] == ("claims",) and ours.is_file() and not path.exists() else path


def _some(path: Path, circuit: Circuit) -> Circuit:
    if not parts_of(circuit):
        raise CircuitError(f"{path} has no edge and no site, so there is no circuit in it")
    return circuit


def _graph_file(path: Path, model: "TransformerBridge | None") -> GraphFile:
    said = read_graph(path, n_kv_heads=None if model is None else model.cfg.n_key_value_heads)
    if model is not None and said.graph != (whole := graph(model)):
        raise CircuitError(
            f"{path} is a circuit of a model of {said.graph.n_layers} layers with {said.graph.n_heads} heads, whose graph has "
            f"{len(said.graph)} edges; the graph of {model.cfg.model_name or 'this model'} has {len(whole)}, of {whole.n_layers} layers "
            f"with {whole.n_heads} heads"
        )
    return said
