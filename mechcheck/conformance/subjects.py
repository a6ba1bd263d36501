"""What claims are planted on: a model with a large population of prompts, run once for each set of sites that a claim names."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.base.seeds import seed_from
from mechcheck.conformance.populations import Population, Series
from mechcheck.engine.run import sweep_metrics
from mechcheck.models.loading import load_model, provenance, reinitialised
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import logit_diff, probability
from mechcheck.notation.site_checks import site_count
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    import numpy as np
    from transformer_lens.model_bridge import TransformerBridge

POPULATION = 2400
"""Prompts, whose mean is the truth."""
_CIRCUITS = 4
"""Random heads that are named as circuits, for each model and task."""
METRICS = (logit_diff, probability)
NOWHERE = Sites(())


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on prompts."""

    name: str
    model: "TransformerBridge"
    prompts: PromptSet
    _found: "dict[tuple[str, str], np.ndarray]" = field(default_factory=dict)

    @cached_property
    def population(self) -> Population:
        """The prompts' templates."""
        return Population(self.prompts.ids, self.prompts.templates)

    def measure(self, many: Iterable[Sites]) -> None:
        """Run what has not been run yet, all in one sweep."""
        new = {str(sites): sites for sites in many if (logit_diff.name, str(sites)) not in self._found}
        if not new:
            return
        variants = [[Ablate(sites, "zero")] if len(sites) else [] for sites in new.values()]
        for metric, found in zip(METRICS, sweep_metrics(self.model, self.prompts, variants, METRICS), strict=True):
            self._found.update({(metric.name, name): values for name, values in zip(new, found, strict=True)})

    def value(self, sites: Sites = NOWHERE, metric: int = 0) -> Series:
        """A metric on every prompt, with these sites at zero."""
        self.measure([sites])
        chosen = METRICS[metric]
        name = chosen.name + (f" without {sites}" if len(sites) else "")
        return Series(name, self._found[chosen.name, str(sites)], chosen.unit, scale="real")

    def lost(self, sites: Sites) -> Series:
        """How much of the logit difference these sites carry."""
        return replace(self.value() - self.value(sites), name=f"{logit_diff.name} lost without {sites}")


@dataclass(frozen=True, eq=False)
class Bench:
    """A model on a task, and the same with swapped labels, with other weights, and with random heads for a circuit."""

    task: str
    right: Subject
    swapped: Subject
    """Answers and foils have changed places."""
    circuits: tuple[Circuit, ...]
    _twins: dict[str, Subject] = field(default_factory=dict)

    def twin(self, seed: int) -> Subject:
        """The model with weights drawn anew."""
        return self.on(reinitialised(self.right.model, seed))

    def on(self, model: "TransformerBridge") -> Subject:
        """This model, or a twin of it, on the right prompts."""
        if model is self.right.model:
            return self.right
        name = provenance(model).name
        if name not in self._twins:
            self._twins[name] = Subject(f"{self.task}, {name}", model, self.right.prompts)
        return self._twins[name]

    @cached_property
    def subjects(self) -> tuple[Subject, Subject, Subject]:
        """Where thresholds are put at and around the truth."""
        found = self.right, self.swapped, self.twin(0)
        for subject in found:
            subject.measure([NOWHERE, *(circuit.sites for circuit in self.circuits)])
        return found


def benches(models: Sequence[str], *, seed: int, device: str = "cpu", population: int = POPULATION) -> Iterator[Bench]:
    """Each model on each of its tasks: those that a circuit is recorded or known for, else all that it can be asked about.

    Raises:
        MechcheckError: none of the tasks has prompts for a model.
    """
    for name in models:
        model, asked, refused = load_model(name, device=device, offline=True), 0, ""
        for task in _tasks(name, model):
            try:
                yield bench(model, task, seed=seed, population=population)
                asked += 1
            except PromptError as error:
                refused = f": {task}: {error}"
        if not asked:
            raise MechcheckError(f"{name}: none of the tasks has prompts for it, so no claim can be planted on it{refused}")


def bench(model: "TransformerBridge", task: str, *, seed: int, population: int = POPULATION) -> Bench:
    """A model on one task."""
    from mechcheck.tasks.shipped import task_prompts

    prompts = task_prompts(task, model, n=population, seed=seed, split="verify")
    name = f"{task}, {provenance(model).name}"
    changed = replace(prompts, answers=prompts.foils, foils=prompts.answers)
    circuits = tuple(_random_circuits(model, seed_from(f"{name}|{seed}")))
    return Bench(task, Subject(name, model, prompts), Subject(f"{name}, labels swapped", model, changed), circuits)


def _tasks(name: str, model: "TransformerBridge") -> tuple[str, ...]:
    from mechcheck.circuits.recorded import models_with_circuit
    from mechcheck.compiled import compiled_models, task_of
    from mechcheck.tasks.registry import task_names

    if name in compiled_models():
        return (task_of(name),)
    known = provenance(model).name
    return tuple(task for task in task_names() if known in models_with_circuit(task)) or task_names()


def _random_circuits(model: "TransformerBridge", seed: int) -> Iterator[Circuit]:
    """Heads drawn at random: one, two of a layer, or one each in two layers; as different as the model allows."""
    rng, layers, per_layer = random.Random(seed), range(model.cfg.n_layers), site_count(model, "head")[1]
    seen: set[str] = set()
    shapes = [(1,), (1, 1), (2,)] if len(layers) > 1 else [(1,), (2,)]
    for i in range(10 * _CIRCUITS):
        shape = shapes[i % len(shapes)]
        if max(shape) >= per_layer or len(seen) == _CIRCUITS:
            continue
        chosen = sorted(rng.sample(layers, len(shape)))
        roles = {
            f"part {part}": Sites(Site("head", layer, head, None) for head in sorted(rng.sample(range(per_layer), count)))
            for part, (layer, count) in enumerate(zip(chosen, shape, strict=True))
        }
        circuit = Circuit(roles, "random heads")
        if str(circuit.sites) not in seen:
            seen.add(str(circuit.sites))
            yield circuit
