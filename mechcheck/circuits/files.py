"""Circuits as files: how they are read and written, and whether they fit the model."""

import datetime
import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.base.paths import write_text
from mechcheck.base.reading import parse_toml, read_toml
from mechcheck.circuits.edge_search import ID
from mechcheck.circuits.edge_tables import check_edges, edge_lines, read_edges
from mechcheck.circuits.roles import Absent, Role
from mechcheck.models.loading import provenance
from mechcheck.notation.circuit import Circuit, Criterion, EdgeRecord
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Kind, Sites, attn_outs, heads, keys, mlps, neurons, queries, resid, resid_post, values
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What sites are called in a file -> their kind, and how they are read.
_KINDS: dict[str, tuple[Kind, Callable[[str], Sites]]] = {
    "heads": ("head", heads),
    "queries": ("q", queries),
    "keys": ("k", keys),
    "values": ("v", values),
    "mlps": ("mlp_out", mlps),
    "resid": ("resid_pre", resid),
    "resid_post": ("resid_post", resid_post),
    "neurons": ("neuron", neurons),
    "attn_outs": ("attn_out", attn_outs),
}


def load_circuit(path: str | Path) -> Circuit:
    """Read a circuit file.

    The file has `source`, `weights_sha256` and a table `roles`; a role is text in the grammar of `heads`
    ("0.3 1.1@END"), or a table with one of heads, queries, keys, values, mlps, resid, resid_post, neurons or attn_outs.
    What else the table says is for readers: `criterion`, whether it is `met`, and what was `measured`. A role that was looked for
    and not found has a table in `absent` instead, with the `criterion` and `why`. A circuit that was published without a hash of the
    weights has `shape = [layers, heads]` instead. A circuit of edges has a table `edges` (see `read_edges`), beside roles or alone.

    Raises:
        CircuitError: no such file, one that is no TOML in UTF-8, or an entry that is lacking or of another kind.
    """
    path = Path(path)
    return _told(path.name, lambda: read_toml(path))


def parse_circuit(text: str, name: str = "the circuit") -> Circuit:
    """The circuit that a file of this text has; the name is what errors call it by. Errors: as `load_circuit`."""
    return _told(name, lambda: parse_toml(text))


def _told(name: str, read: Callable[[], dict[str, Any]]) -> Circuit:
    try:
        return _circuit(read())
    except KeyError as error:
        raise CircuitError(f"{name} lacks {error.args[0]!r}; a circuit file has source, weights_sha256 and [roles]") from error
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, or one of our own about what it says
        raise CircuitError(f"{name} cannot be read: {error}") from error


def _circuit(raw: dict[str, Any]) -> Circuit:
    """What a file says, by what its entries are.

    Raises:
        KeyError: an entry that is lacking.
        MechcheckError: one of another kind.
    """
    along, record = read_edges(raw.pop("edges")) if "edges" in raw else (Sites(), None)
    recorded = _is(raw.pop("roles") if record is None else raw.pop("roles", {}), dict, "[roles]")
    roles = {role: _role(role, value) for role, value in recorded.items()}
    criteria = {role: stated for role, value in recorded.items() if (stated := _criterion(value))}
    absent = {role: _absent(role, table) for role, table in _is(raw.get("absent", {}), dict, "[absent]").items()}
    shape = _shape(raw.pop("shape")) if "shape" in raw else None
    source = _is(raw.pop("source"), str, "source")
    weights = None if shape else _is(raw.pop("weights_sha256"), str, "weights_sha256")
    return Circuit(roles, source, weights, raw, shape, criteria, absent, along, record)


_Entry = TypeVar("_Entry", str, dict)


def _is(value: object, kind: type[_Entry], name: str) -> _Entry:
    if not isinstance(value, kind):
        raise CircuitError(f"{name} is {'text' if kind is str else 'a table'}, not {value!r:.60}")
    return value


def _shape(value: object) -> tuple[int, int]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(one) is int and one > 0 for one in value)
    if not whole:
        raise CircuitError(f"shape is [layers, heads], two numbers above 0, not {value!r:.60}")
    assert isinstance(value, list)
    return value[0], value[1]


def _absent(role: str, table: object) -> str:
    said = _is(table, dict, f"[absent.{role}]")
    why, criterion = (_is(said[name], str, f"{name} of [absent.{role}]") for name in ("why", "criterion"))
    return f"{why} (criterion: {criterion})"


def _role(role: str, value: object) -> Sites:
    if isinstance(value, str):
        return heads(value)
    kinds = [k for k in _KINDS if isinstance(value, dict) and k in value]
    if len(kinds) != 1:
        raise CircuitError(f"role {role!r} needs text, or a table with one of {', '.join(_KINDS)}")
    assert isinstance(value, dict)
    _, read = _KINDS[kinds[0]]
    return read(value[kinds[0]])


def _criterion(value: object) -> Criterion | None:
    """What a role's table states of its criterion; None where it does not say whether it is met."""
    if not isinstance(value, dict) or not isinstance(value.get("met"), bool):
        return None
    return Criterion(str(value.get("criterion", "")), value["met"], str(value.get("measured", "")))


def write_circuit(
    path: str | Path,
    model: "TransformerBridge",
    roles: Mapping[str, Role | Absent],
    *,
    method: str,
    prompts: PromptSet,
    split: str,
    found: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    edges: Sites | None = None,
    record: EdgeRecord | None = None,
) -> None:
    """Write a circuit file: where it comes from, for which weights, each role with its criterion and measurements.

    Args:
        path: claims/<task>/circuits/<model>.toml.
        roles: role -> sites with the reason, or why there are none.
        method: how it was searched for.
        prompts, split: the prompts it was found on; claims use others.
        found: further numbers that claims need (a layer, say).
        options: of the task's generator, where the prompts are not the usual ones.
        edges, record: who reads whom, and how that was found.

    Raises:
        CircuitError, SiteError: edges that the model's graph has not.
        MechcheckError: parts of activations, which have no name; edges among the roles; a file that cannot be written.
    """
    source, names = provenance(model), {kind: name for name, (kind, _) in _KINDS.items()}
    lines = [
        f"source = {_text(method)}",
        f"model = {_text(source.name)}",
        f"weights_sha256 = {_text(source.weights_sha256)}",
        f"processing = {_text(source.processing)}",
        f"date = {datetime.date.today().isoformat()}",
        "",
        "[found_on]",
        f"split = {_text(split)}",
        f"prompts = {len(prompts)}",
        f"prompts_sha256 = {_text(prompts.sha256)}",
    ]
    # So that it is not judged by any of them, and a claim that is measured on some says so: each prompt's id, shortened.
    lines += ['ids = """', *textwrap.wrap(" ".join(name[:ID] for name in prompts.ids), 120), '"""']
    for table, facts in (("found_on.options", options), ("found", found)):
        if facts:
            lines += ["", f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in facts.items())]
    coded = next((site for role in roles.values() if not isinstance(role, Absent) for site in role.sites if site.code is not None), None)
    if coded is not None:
        raise MechcheckError(f"a circuit's file names whole sites, and {coded} is a part of one: keep its directions beside the claim")
    if edges:
        check_edges(model, edges, record)
        lines += edge_lines(edges, record or EdgeRecord())
    for name, role in roles.items():
        if isinstance(role, Absent):
            lines += ["", f"[absent.{name}]", f"criterion = {_text(role.criterion)}", f"why = {_text(role.why)}"]
            continue
        kinds = {site.kind for site in role.sites}
        assert len(kinds) == 1, f"role {name} mixes kinds of sites"
        if any(site.to is not None for site in role.sites):
            raise MechcheckError(f"the role {name} names edges; a role names nodes, and edges are given as edges=...")
        lines += [
            "",
            f"[roles.{name}]",
            f"{names[kinds.pop()]} = {_text(role.sites.places)}",
            f"met = {str(role.met).lower()}",
            f"criterion = {_text(role.criterion)}",
            f"measured = {_text(role.measured)}",
        ]
    write_text(Path(path), "\n".join(lines) + "\n")


def _text(value: str) -> str:
    # A JSON string is a TOML basic string, as long as it stays within the basic multilingual plane.
    return json.dumps(value, ensure_ascii=False)


def check_circuit(circuit: Circuit, model: "TransformerBridge") -> None:
    """Raise unless the circuit was recorded for these weights and all its sites and edges exist."""
    loaded, shape = provenance(model), (model.cfg.n_layers, model.cfg.n_heads)
    if circuit.shape is not None and circuit.shape != shape:
        raise CircuitError(
            f"the circuit was published for a model of {circuit.shape[0]} layers with {circuit.shape[1]} heads; "
            f"{loaded.name} has {shape[0]} with {shape[1]}"
        )
    if circuit.weights_sha256 is not None and circuit.weights_sha256 != loaded.weights_sha256:
        raise CircuitError(
            f"the circuit was recorded for other weights than {loaded.name} has now "
            f"(recorded {circuit.weights_sha256[:12]}, loaded {loaded.weights_sha256[:12]}): find it again, or load that model"
        )
    check_sites(model, circuit.sites)
    check_edges(model, circuit.edges, circuit.edge_record)
