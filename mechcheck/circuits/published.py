"""Publications as data: what a paper found, where it says so, and what counts as finding it again. Needs no torch to be read."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import CircuitError
from mechcheck.base.paths import data_dir
from mechcheck.base.reading import read_toml
from mechcheck.base.text import did_you_mean

if TYPE_CHECKING:
    from mechcheck.notation.circuit import Circuit
    from mechcheck.notation.sites import Sites

_TEXTS = ("title", "source")
_FIGURE_TEXTS = ("claim", "where", "unit", "kind", "task", "replicates")


@dataclass(frozen=True)
class PublishedFigure:
    """One thing that a paper found, and the region in which a measurement of it counts as a replication."""

    name: str
    claim: str
    """What is claimed, as a sentence."""
    where: str
    """The section, figure or table that says so."""
    kind: str
    """Which kind of evidence it is, as in `claim`."""
    task: str
    """What it is measured on."""
    unit: str
    replicates: str
    """What counts as replication, and what differs from the paper's own measurement; written before anything was measured."""
    low: float
    """The measured mean lies above this."""
    high: float
    """And below this; infinite where the paper only says that something is high."""
    value: float | None = None
    """The published number; None where the paper gives none, and the region's border is ours."""
    tolerance: float | None = None
    """How far a replication may be from the published number; None where there is none."""
    heads: str = ""
    """The heads that it is about, where they are not a role of the circuit."""
    among: int | None = None
    """They are among so many heads with the highest score; None where it is not about ranks."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Low and high, as `check.between` takes them."""
        return self.low, self.high

    def __str__(self) -> str:
        if self.value is not None and math.isfinite(self.high):
            return f"{self.value:g} ± {self.tolerance:g} {self.unit}".rstrip()
        said = f"{self.value:g}, " if self.value is not None else ""
        return f"{said}above {self.low:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class RoleEdges:
    """Every head of one role is read by every head of another, or by the logits."""

    sender: str
    receiver: str
    """A role, or "logits"."""
    side: str
    """What the readers read into: "q", "k" or "v"; empty for the logits."""
    where: str
    """The section, figure or table that says so."""


@dataclass(frozen=True)
class Publication(Mapping[str, PublishedFigure]):
    """Name of a figure -> that figure, and whose it is."""

    name: str
    title: str
    source: str
    """Authors, year and arXiv id."""
    models: tuple[str, ...]
    """What it was found in, by the names that `load_model` takes."""
    shape: tuple[int, int]
    """Layers, and heads per layer, of the first of them."""
    figures: Mapping[str, PublishedFigure]
    edges: tuple[RoleEdges, ...] = ()
    left_out: tuple[str, ...] = field(default_factory=tuple)
    """What the paper says and this data does not, with the reason."""

    def __getitem__(self, name: str) -> PublishedFigure:
        if name not in self.figures:
            known = ", ".join(self.figures) or "none"
            raise CircuitError(f"{self.name} has no figure {name!r}; its figures are {known}{did_you_mean(name, self.figures)}")
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def said(self, name: str) -> dict[str, Any]:
        """What `@claim` is to be told of one figure: `@claim(**published("ioi").said("logit_difference"))`.

        Raises:
            CircuitError: there is no such figure.
        """
        figure = self[name]
        return {
            "statement": figure.claim, "source": f"{self.source}, {figure.where}", "task": figure.task, "kind": figure.kind,
            "models": list(self.models),
        }  # fmt: skip

    def edges_of(self, circuit: "Circuit", between: RoleEdges | None = None) -> "Sites":
        """The edges between the roles, head by head, but for those that would read what comes later; of one pair of roles, or of all.

        Raises:
            CircuitError: a role that the circuit has not.
        """
        from mechcheck.notation.edges import edges

        found = [one for pair in ([between] if between else self.edges) for one in _between(pair, circuit)]
        return edges(" ".join(dict.fromkeys(found)))


def published(name: str | Path) -> Publication:
    """What a paper found: the shipped data of that name ("ioi"), or a file of the same form.

    The file has `title`, `source` (authors, year, arXiv id), `task`, `models` and `shape` (layers, heads per layer), and a table `figures`:
    for each a `claim`, `where` the paper says so, `kind`, `unit`, what `replicates`, and, if need be, a `task` of its own; a `value`
    with a `tolerance` (and, where it can only be too low, no upper border: `one_sided = true`), or a border of one's own, `above`. `heads`
    and `among` name heads that are among so many with the highest score. `[[edges]]` say which role is read by which (`sender`,
    `receiver`, `side`, `where`), `left_out` what is not here and why.

    Raises:
        CircuitError: no such data, or an entry that is lacking, unknown or of another kind.
    """
    shipped = {path.stem: path for path in _folder().glob("*.toml")}
    path = shipped[name] if isinstance(name, str) and name in shipped else Path(name)
    if path.suffix != ".toml":
        raise CircuitError(f"nothing published as {str(name)!r} is known; known: {', '.join(sorted(shipped))}, or the path of a .toml file")
    try:
        return _publication(path.stem, read_toml(path))
    except KeyError as error:
        raise CircuitError(f"{path.name} lacks {error.args[0]!r}") from error
    except (OSError, ValueError) as error:
        raise CircuitError(f"{path.name} cannot be read: {error}") from error


def published_names() -> tuple[str, ...]:
    """The names of the publications that come with mechcheck."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def _folder() -> Path:
    return data_dir("claims") / "published"


def _publication(name: str, raw: dict[str, Any]) -> Publication:
    texts, task = {entry: _text(raw.pop(entry), entry) for entry in _TEXTS}, _text(raw.pop("task"), "task")
    shape = raw.pop("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(one) is int and one > 0 for one in shape):
        raise ValueError(f"shape is [layers, heads per layer], two numbers above 0, not {shape!r:.60}")
    models = tuple(_text(model, "a model") for model in raw.pop("models"))
    figures = {key: _figure(key, {"task": task} | table) for key, table in raw.pop("figures").items()}
    edges = tuple(RoleEdges(one["sender"], one["receiver"], one.get("side", ""), one["where"]) for one in raw.pop("edges", ()))
    left_out = tuple(_text(one, "left_out") for one in raw.pop("left_out", ()))
    if raw:
        raise ValueError(f"unknown entry {next(iter(raw))!r}")
    return Publication(name, **texts, models=models, shape=(shape[0], shape[1]), figures=figures, edges=edges, left_out=left_out)


def _figure(name: str, table: dict[str, Any]) -> PublishedFigure:
    texts = {entry: _text(table.pop(entry), f"{entry} of {name}") for entry in _FIGURE_TEXTS}
    heads, among = _text(table.pop("heads", ""), f"heads of {name}"), table.pop("among", None)
    value = tolerance = None
    if "value" in table:
        value, tolerance = (_number(table.pop(entry), f"{entry} of {name}") for entry in ("value", "tolerance"))
        low, high = value - tolerance, math.inf if table.pop("one_sided", False) else value + tolerance
    else:
        low, high = _number(table.pop("above"), f"above of {name}"), math.inf
    if table:
        raise ValueError(f"{name} has an unknown entry {next(iter(table))!r}")
    if tolerance is not None and tolerance <= 0:
        raise ValueError(f"{name} has a tolerance of {tolerance:g}, which nothing could lie within")
    return PublishedFigure(name, **texts, low=low, high=high, value=value, tolerance=tolerance, heads=heads, among=among)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is text, not {value!r:.60}")
    return value


def _number(value: object, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{what} is a number, not {value!r:.60}")
    return float(value)


def _between(between: RoleEdges, circuit: "Circuit") -> Iterator[str]:
    for layer, head in circuit[between.sender].pairs:
        if between.receiver == "logits":
            yield f"{layer}.{head}->logits"
            continue
        for later, reader in circuit[between.receiver].pairs:
            if layer < later:
                yield f"{layer}.{head}->{later}.{reader}.{between.side}"
