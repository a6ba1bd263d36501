"""The table [edges] of a circuit's file: who reads whom, how that was found, and how stable it is."""

import itertools
import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.base.text import did_you_mean
from mechcheck.circuits.edge_scores import Instead
from mechcheck.notation.circuit import EdgeRecord, Stability
from mechcheck.notation.edges import edges as edges_of
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Receiver, Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_TEXTS, _NUMBERS = ("method", "instead", "metric"), ("faithfulness", "gap", "cmd")
_ENTRIES = ("edges", *_TEXTS, "size", "of", "prompts", *_NUMBERS, "scores", "stability")
_STABILITY = ("size", "resamples", "jaccard", "interval", "quantiles", "inclusion")
_WIDTH = 120


class EdgeTableError(CircuitError):
    """What is wrong with a table [edges], without the file's name."""


def read_edges(table: object) -> tuple[Sites, EdgeRecord]:
    """The edges of a table [edges], and how they were found.

    `edges` is text in the grammar of `edges` ("0.3->1.1.q@END 1.1->logits"), over as many lines as wanted; all else may be left out:
    `method`, `instead` and `metric` of the search, `size` (how many edges these are), `of` (how many the model's graph has), `prompts` (how
    many the search saw), `faithfulness`, `gap` and `cmd` as measured on these, `scores` (edge -> number) and a table `stability`.

    Raises:
        EdgeTableError: entries that are unknown, of another kind, or at odds with the edges.
        SiteError: text that is no edges.
    """
    found = _table(table, "[edges]", _ENTRIES, needed=("edges",))
    along = edges_of(_of(found, "edges", str, "[edges]"))
    if not along:
        raise EdgeTableError("[edges] names no edge; leave the table out where the circuit is one of nodes")
    size, of, prompts = (_count(found, name, "[edges]") if name in found else None for name in ("size", "of", "prompts"))
    if size is not None and size != len(along):
        raise EdgeTableError(f"[edges] says that there are {size}, and names {len(along)}")
    if of is not None and of < len({replace(edge, at=None) for edge in along}):
        raise EdgeTableError(f"[edges] names {len(along)} edges out of {of}")
    texts: dict[str, Any] = {name: _of(found, name, str, "[edges]") for name in _TEXTS if name in found}
    if texts.get("instead", "zero") not in get_args(Instead):
        raise EdgeTableError(f"[edges] has instead = {texts['instead']!r}; what cut edges carry is one of {', '.join(get_args(Instead))}")
    numbers: dict[str, Any] = {name: _number(found[name], f"{name} of [edges]") for name in _NUMBERS if name in found}
    scores = _by_edge(found.get("scores", {}), "[edges.scores]", along)
    stability = _stability(found["stability"], along) if "stability" in found else None
    return along, EdgeRecord(of=of, scores=scores, stability=stability, prompts=prompts, **texts, **numbers)


def _stability(table: object, along: Sites) -> Stability:
    where = "[edges.stability]"
    found = _table(table, where, _STABILITY, needed=_STABILITY[:-1])
    interval, quantiles = (_of(found, name, list, where) for name in ("interval", "quantiles"))
    if len(interval) != 2 or len(quantiles) != 3:
        raise EdgeTableError(f"{where} has an interval of two numbers and three quantiles, not {len(interval)} and {len(quantiles)}")
    shares = [_share(one, f"the numbers of {where}") for one in (found["jaccard"], *interval, *quantiles)]
    return Stability(
        _count(found, "size", where),
        _count(found, "resamples", where),
        shares[0],
        (shares[1], shares[2]),
        (shares[3], shares[4], shares[5]),
        {edge: _share(share, f"{where} {edge}") for edge, share in _by_edge(found.get("inclusion", {}), where, along).items()},
    )


def _table(value: object, where: str, known: tuple[str, ...], needed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise EdgeTableError(f"{where} is a table, not {value!r}")
    if unknown := [name for name in value if name not in known]:
        raise EdgeTableError(f"{where} has no entry {unknown[0]!r}; it has {', '.join(known)}{did_you_mean(unknown[0], known)}")
    if lacking := [name for name in needed if name not in value]:
        raise EdgeTableError(f"{where} lacks {lacking[0]!r}")
    return value


def _of(table: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    if not isinstance(table[name], kind):
        raise EdgeTableError(f"{name} of {where} is {'text' if kind is str else 'a list of numbers'}, not {table[name]!r}")
    return table[name]


def _count(table: Mapping[str, Any], name: str, where: str) -> int:
    value = table[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EdgeTableError(f"{name} of {where} is a number of 1 or more, not {value!r}")
    return value


def _number(value: object, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise EdgeTableError(f"{what}: a number is wanted, not {value!r}")
    return float(value)


def _share(value: object, what: str) -> float:
    number = _number(value, what)
    if not 0 <= number <= 1:
        raise EdgeTableError(f"{what} lie between 0 and 1, and {number:g} does not")
    return number


def _by_edge(table: object, where: str, along: Sites) -> dict[str, float]:
    """Edge -> number, of edges that the circuit has."""
    if not isinstance(table, dict):
        raise EdgeTableError(f"{where} is a table of edges and their numbers, not {table!r}")
    found: dict[str, float] = {}
    for name, value in table.items():
        named = edges_of(name)
        if len(named) != 1 or named.members[0] not in along:
            raise EdgeTableError(f"{where} speaks of {name!r}, which is none of the circuit's edges")
        found[str(named)] = _number(value, f"{where} {name}")
    return found


def edge_lines(along: Sites, record: EdgeRecord) -> list[str]:
    """A circuit's table [edges] as lines of its file: the edges into one receiver on a line of their own."""
    lines = ["", "[edges]", 'edges = """', *_wrapped(along), '"""']
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name in _TEXTS if (value := getattr(record, name))]
    lines.append(f"size = {len(along)}")
    lines += [f"{name} = {_toml(value)}" for name in ("of", "prompts", *_NUMBERS) if (value := getattr(record, name)) is not None]
    if record.scores:
        lines += ["", "[edges.scores]", *_named(record.scores, along)]
    if (stable := record.stability) is not None:
        lines += ["", "[edges.stability]"]
        lines += [f"{name} = {_toml(getattr(stable, name))}" for name in _STABILITY if name != "inclusion"]
        if inclusion := {edge: share for edge, share in stable.inclusion.items() if edge in set(map(str, along))}:
            lines += ["", "[edges.stability.inclusion]", *_named(inclusion, along)]
    return lines


def by_receiver(along: Iterable[Any]) -> Iterator[tuple[Receiver, Sites]]:
    """The edges into each receiver, in the order in which a run comes to them."""

    def place(edge: Any) -> tuple[bool, int, int, int]:
        to = edge.to
        return to.kind == "logits", to.layer, ("q", "k", "v", "mlp", "logits").index(to.kind), -1 if to.index is None else to.index

    for _, some in itertools.groupby(sorted(along, key=place), key=place):
        group = Sites(some)
        yield next(iter(group)).to, group  # type: ignore[misc]


def _wrapped(along: Sites) -> Iterator[str]:
    for _, some in by_receiver(along):
        yield from textwrap.wrap(some.places, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _named(numbers: Mapping[str, float], along: Sites) -> list[str]:
    if strange := [edge for edge in numbers if edge not in set(map(str, along))]:
        raise MechcheckError(f"{strange[0]} has a number and is none of the circuit's edges")
    order = [str(edge) for _, some in by_receiver(along) for edge in some]
    return [f"{json.dumps(edge)} = {_toml(numbers[edge])}" for edge in order if edge in numbers]


def _toml(value: Any) -> str:
    # Finite numbers, and lists of them, are written alike in JSON and TOML.
    return json.dumps(value, allow_nan=False)


def check_edges(model: "TransformerBridge", along: Sites, record: EdgeRecord | None) -> None:
    """Raise unless the model's graph has all these edges, and as many in all as the record says."""
    if not along:
        return
    whole = graph(model)
    whole.mask(replace(edge, at=None) for edge in along)
    if record is not None and record.of not in (None, len(whole)):
        raise CircuitError(f"the circuit's edges were taken out of {record.of}, and the graph of this model has {len(whole)}")
