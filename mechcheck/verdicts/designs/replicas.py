"""The models of several training seeds, each with its own prompts and circuit: what a claim about all of them is given."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from mechcheck.base.errors import NoControlError
from mechcheck.notation.circuit import Circuit, traced

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.stats.measurement import Measurement

_LISTED = 200
"""Other circuits of one model that decoys are put together from."""
Given = TypeVar("Given")


@dataclass(frozen=True)
class Replica:
    """One of them."""

    name: str
    """Of the model, as it was asked for."""
    make: Callable[[str], "TransformerBridge"]
    prompts_for: Callable[["TransformerBridge"], "PromptSet"]
    circuit_for: Callable[["TransformerBridge"], Circuit]

    @cached_property
    def model(self) -> "TransformerBridge":
        """Loaded when it is first asked for."""
        return self.make(self.name)

    @cached_property
    def prompts(self) -> "PromptSet":
        """The claim's verification prompts, for this model."""
        return self.prompts_for(self.model)

    @cached_property
    def circuit(self) -> Circuit:
        """The circuit that is recorded for this model and the claim's task."""
        return traced(self.circuit_for(self.model))

    def own_circuit(self, _: object) -> Circuit:
        """Its circuit, whichever model it is put into."""
        return self.circuit

    @property
    def used(self) -> frozenset[str] | None:
        """The roles of its circuit that were asked for; None where the circuit was not."""
        return frozenset(getattr(self.circuit, "used", ())) if "circuit" in self.__dict__ else None


class Replicas(Sequence[Replica]):
    """The models of several seeds."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = tuple(replicas)

    def __getitem__(self, at):  # one of them, or some
        return Replicas(self._replicas[at]) if isinstance(at, slice) else self._replicas[at]

    def __len__(self) -> int:
        return len(self._replicas)

    def measure(self, effect: "Callable[[Replica], Measurement]") -> "dict[str, Measurement]":
        """Model -> the effect in it, as `check.replicates` takes them."""
        return {one.name: effect(one) for one in self}

    def with_circuits(self, circuits: Mapping[str, Circuit]) -> "Replicas":
        """The same models, with other circuits."""
        return Replicas([Replica(one.name, _always(one.model), one.prompts_for, _always(circuits[one.name])) for one in self])

    def with_models(self, change: "Callable[[int, TransformerBridge], TransformerBridge]") -> "Replicas":
        """The same seeds with other models, which get the circuits of those that they stand for."""
        return Replicas([Replica(one.name, _always(change(i, one.model)), one.prompts_for, one.own_circuit) for i, one in enumerate(self)])


def _always(value: Given) -> Callable[[object], Given]:
    return lambda _: value


def random_replicas(replicas: Replicas, seed: int) -> Iterator[Replicas]:
    """The same models without end, each with a circuit of random sites in place of its own, in the roles that were used.

    Raises:
        NoControlError: no circuit was used, or some model has no other sites.
    """
    from mechcheck.verdicts.controls import other_circuits

    if not all(one.used for one in replicas):
        raise NoControlError("no circuit of these models was asked for")
    pools = {
        one.name: list(itertools.islice(other_circuits(one.model, one.circuit, seed=seed, roles=one.used).draw(), _LISTED))
        for one in replicas
    }
    rng = random.Random(f"replicas {seed}")
    return (replicas.with_circuits({name: rng.choice(pool) for name, pool in pools.items()}) for _ in itertools.count())


def twin_replicas(replicas: Replicas) -> Iterator[Replicas]:
    """The same models without end, all with weights drawn anew."""
    for n in itertools.count():
        yield replicas.with_models(partial(_twin, n * len(replicas)))


def _twin(first: int, place: int, model: "TransformerBridge") -> "TransformerBridge":
    from mechcheck.models.loading import reinitialised

    return reinitialised(model, first + place)
