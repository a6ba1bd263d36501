"""Circuits: roles filled by sites, recorded in TOML files together with where they come from and for which weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mechcheck.base.errors import AbsentRoleError, CircuitError
from mechcheck.base.handed import GROWS
from mechcheck.base.text import did_you_mean
from mechcheck.notation.sites import Sites


@dataclass(frozen=True)
class Criterion:
    """What the sites of a role had to satisfy, and whether they do."""

    text: str
    """Written down before the search."""
    met: bool
    """False: nothing satisfied it, and the sites are the nearest candidates."""
    measured: str = ""
    """What was measured on the sites."""


@dataclass(frozen=True)
class Stability:
    """How far a search finds the same edges on prompts drawn again, with replacement, from those that it saw (arXiv:2510.00845)."""

    size: int
    """Edges of each circuit."""
    resamples: int
    """How often prompts were drawn again, and searched on."""
    jaccard: float
    """Shared edges over all edges of two resamples' circuits, the mean over all pairs; 1 where every resample finds the same."""
    interval: tuple[float, float]
    """95% of that mean, by leaving out one resample at a time: how far further resamples would move it."""
    quantiles: tuple[float, float, float]
    """5%, 50% and 95% of the pairs."""
    inclusion: Mapping[str, float] = field(default_factory=dict)
    """Edge -> share of the resamples whose circuit has it."""

    def __str__(self) -> str:
        low, high = self.interval
        return f"Jaccard {self.jaccard:.2f} [{low:.2f}, {high:.2f}] of {self.resamples} resamples at {self.size} edges"


@dataclass(frozen=True)
class EdgeRecord:
    """How the edges of a circuit were found, and what was measured of them on the prompts that they were found on."""

    method: str = ""
    """Of the search."""
    instead: str = ""
    """What edges carried where they were cut: "counterfactual", "mean", "resample" or "zero"."""
    metric: str = ""
    """What was measured."""
    of: int | None = None
    """Edges of the model's graph, out of which these were taken."""
    faithfulness: float | None = None
    """Of the circuit (see `faithfulness`)."""
    gap: float | None = None
    """How far the metric's mean lies from the whole model's, in the metric's unit."""
    cmd: float | None = None
    """Of the circuits of all sizes (see `faithfulness_curve`)."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Edge -> what orders it among the others: those that are largest in size stay longest where the circuit is cut down."""
    stability: Stability | None = None
    """Of the search, at about this size."""
    prompts: int | None = None
    """How many prompts the search saw; None: all that the file says the circuit was found on."""


@dataclass(frozen=True)
class Circuit(Mapping[str, Sites]):
    """Role -> sites, and the edges between nodes where they are known."""

    roles: Mapping[str, Sites]
    source: str = ""
    """Where it comes from: a paper, or how it was found."""
    weights_sha256: str | None = None
    """The weights it was found on; None for a circuit that is no record."""
    notes: Mapping[str, object] = field(default_factory=dict)
    """Everything else the file says: method, thresholds, date, data hash."""
    shape: tuple[int, int] | None = None
    """Layers and heads per layer of the model that a published circuit is about; its weights are known by name only."""
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    """Role -> what its sites had to satisfy; a role that states none is not in it."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Role that was looked for and has no sites -> why: what was found instead."""
    edges: Sites = field(default_factory=Sites)
    """Who reads whom; empty where the circuit is one of nodes."""
    edge_record: EdgeRecord | None = None
    """How the edges were found; None where there are none."""

    def __getitem__(self, role: str) -> Sites:
        if role in self.absent:
            raise AbsentRoleError(f"the circuit has no {role}: {self.absent[role]}")
        if role not in self.roles:
            known = ", ".join(sorted(self.roles)) or "none"
            raise CircuitError(f"the circuit has no role {role!r}; its roles are {known}{did_you_mean(role, self.roles)}")
        return self.roles[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.roles)

    def __len__(self) -> int:
        return len(self.roles)

    @property
    def sites(self) -> Sites:
        """Every site of every role; edges are not among them."""
        return Sites(site for sites in self.roles.values() for site in sites)

    @property
    def unmet(self) -> dict[str, Criterion]:
        """Role -> the criterion that its sites do not satisfy."""
        return {role: criterion for role, criterion in self.criteria.items() if not criterion.met}

    @property
    def met(self) -> bool | None:
        """Whether every role satisfies its criterion; None where none is stated."""
        return not self.unmet if self.criteria else None


EDGES = "->"
"""Stands for a circuit's edges among the roles that were asked for."""


@dataclass(frozen=True)
class TracedCircuit(Circuit):
    """A circuit that remembers which roles, and whether its edges, were asked for: controls vary what a claim uses and nothing else."""

    used: set[str] = field(default_factory=set, metadata=GROWS)

    def __getitem__(self, role: str) -> Sites:
        sites = super().__getitem__(role)
        self.used.add(role)
        return sites

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name == "edges" and found:
            self.used.add(EDGES)
        return found


def traced(circuit: Circuit) -> TracedCircuit:
    """The same circuit, tracing from now on."""
    return TracedCircuit(**_known(circuit))


def untraced(circuit: Circuit) -> Circuit:
    """The same circuit, to be looked at without a trace."""
    return Circuit(**_known(circuit))


def _known(circuit: Circuit) -> dict[str, Any]:
    return {field.name: vars(circuit)[field.name] for field in fields(Circuit)}


def parts_of(circuit: Sites | Circuit) -> Sites:
    """What a circuit is made of: its edges where it has any, else the sites of its roles.

    Raises:
        CircuitError: what is neither sites nor a circuit.
    """
    if isinstance(circuit, Circuit):
        return circuit.edges or circuit.sites
    if not isinstance(circuit, Sites):
        raise CircuitError(
            f'a circuit is edges("0.3->1.1.q"), heads("1.1"), or a recorded one, not {type(circuit).__name__}: {circuit!r:.60}'
        )
    return circuit
