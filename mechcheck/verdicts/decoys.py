"""What a claim is contrasted with: other sites in place of its circuit's, the model with other weights, or what it names itself."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mechcheck.base.errors import ClaimError, NoControlError
from mechcheck.verdicts.claim import Decoy
from mechcheck.verdicts.trial import Trial

if TYPE_CHECKING:
    from mechcheck.notation.circuit import Circuit
    from mechcheck.verdicts.designs.replicas import Replicas


class Change(NamedTuple):
    """Other arguments for the body."""

    label: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Decoys:
    """Alternatives of one kind, drawn as they are needed."""

    kind: str
    total: int | None
    """How many there are; None where they are without end, or too many to be counted."""
    draw: Callable[[], Iterator[Change]]
    """Each of them once, in an order that the claim's seed decides."""


def decoys_of(trial: Trial, decoy: Decoy | Mapping[str, Any] | None) -> Decoys:
    """The alternatives that `@claim(decoy=...)` asks for; None takes random sites for a claim with a circuit, else re-initialised weights.

    Raises:
        ClaimError: what is asked for is no contrast for this claim.
        NoControlError: random sites are asked for, and none are left.
    """
    __tracebackhide__ = True
    arguments = trial.arguments
    if isinstance(decoy, Mapping):
        return Decoys("named by the claim", 1, lambda: iter([Change(described(decoy), trial.arguments_for(decoy))]))
    if "replicas" in arguments and not {"model", "circuit"} & set(arguments):
        return _of_replicas(arguments["replicas"], decoy, trial.case.seed)
    if decoy == "reinitialised" or (decoy is None and "circuit" not in arguments):
        return _twins(arguments, "re-initialised weights")
    if "circuit" not in arguments:
        raise ClaimError('decoy="random_sites" needs the claim to use the `circuit` fixture')
    from mechcheck.notation.circuit import EDGES
    from mechcheck.verdicts.controls import other_circuits

    used = set(getattr(arguments["circuit"], "used", ())) or None  # all of it, if the circuit is no traced one
    try:
        others = other_circuits(arguments["model"], arguments["circuit"], seed=trial.case.seed, roles=used)
    except NoControlError:
        if decoy is not None:
            raise
        return _twins(arguments, "re-initialised weights, as too few sites lie outside the circuit")
    return Decoys(
        "random edges of the same kinds, and as many" if used == {EDGES} else "random sites of the same kinds, layers and number",
        others.total,
        lambda: (Change(_roles(circuit), {"circuit": circuit}) for circuit in others.draw()),
    )


def _of_replicas(replicas: "Replicas", decoy: Decoy | None, seed: int) -> Decoys:
    """All models of a claim about several seeds at once, changed alike."""
    from mechcheck.verdicts.designs.replicas import random_replicas, twin_replicas

    if decoy == "random_sites" or (decoy is None and all(one.used for one in replicas)):
        random_replicas(replicas, seed)  # where there are none, that is said before any is run
        kind, draw = "random sites of the same kinds, layers and number, in every model", lambda: random_replicas(replicas, seed)
    else:
        kind, draw = "re-initialised weights, in every model", lambda: twin_replicas(replicas)
    return Decoys(kind, None, lambda: (Change(f"draw {i + 1}", {"replicas": others}) for i, others in enumerate(draw())))


def _twins(arguments: Mapping[str, Any], kind: str) -> Decoys:
    __tracebackhide__ = True
    if "model" not in arguments:
        raise ClaimError("a claim without `model` and `circuit` has no decoy of its own: name one with @claim(decoy={...})")

    def draw() -> Iterator[Change]:
        from mechcheck.models.loading import reinitialised

        for seed in itertools.count():
            yield Change(f"weights drawn with seed {seed}", {"model": reinitialised(arguments["model"], seed)})

    return Decoys(kind, None, draw)


def _roles(circuit: "Circuit") -> str:
    told = [f"{role} {sites}" for role, sites in circuit.roles.items()]
    return "; ".join([*told, *([f"edges {circuit.edges}"] if circuit.edges else [])])


def described(changes: Mapping[str, Any]) -> str:
    """Changed arguments, for a reader."""
    return ", ".join(f"{key}: {described(value) if isinstance(value, Mapping) else value}" for key, value in changes.items())
