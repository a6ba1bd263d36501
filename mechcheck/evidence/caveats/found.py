"""All caveats of one claim: from what its body ran, what it is, and what it came to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from mechcheck.evidence.caveats.backups import BACKUP, Backup, missed_backup, single_backup
from mechcheck.evidence.caveats.corruption import Drawn, few_references, gaussian_noise, other_lengths
from mechcheck.evidence.caveats.direction import Directions, wrong_direction
from mechcheck.evidence.caveats.exploration import seen_prompts
from mechcheck.evidence.caveats.jointly import Jointly, Subject, Summed, not_additive, summed_up
from mechcheck.evidence.caveats.metrics import Readings, bounded_metric, saturated_metric
from mechcheck.evidence.caveats.shares import beyond_whole
from mechcheck.notation.caveats import Caveat
from mechcheck.notation.circuit import Circuit, TracedCircuit, untraced
from mechcheck.stats.estimates import Confidence

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.engine.watch import Ran
    from mechcheck.notation.interventions import Intervention
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.verdict import Expectation

Json = dict[str, Any]


@dataclass(frozen=True)
class About:
    """The claim that was measured."""

    kind: str | None = None
    """Of evidence, as it calls itself."""
    subjects: Sequence[Subject] = (Subject(),)
    """What it was measured on: one, or one for each cell of its grid."""
    expectations: "Sequence[Expectation]" = ()
    samples: "Sequence[Measurement]" = ()
    confidence: Confidence = field(default_factory=Confidence)

    @classmethod
    def of(
        cls,
        kind: str | None,
        arguments: Sequence[Mapping[str, Any]],
        expectations: "Sequence[Expectation]" = (),
        samples: "Sequence[Measurement]" = (),
    ) -> "About":
        """From what a claim was called with, in each cell if it has several, and what it came to."""
        sure = getattr(arguments[0].get("check"), "confidence", None) or Confidence()
        return cls(kind, [_subject(some) for some in arguments], expectations, samples, sure)

    def subject_of(self, model: "TransformerBridge | None") -> Subject:
        """What the claim has for a model that was run: of one that is none of its own, the model alone; if nobody says which, the first."""
        if model is None:
            return self.subjects[0]
        return next((subject for subject in self.subjects if subject.model is model), Subject(model))

    def samples_of(self, subject: Subject) -> "list[Measurement]":
        """What was measured on a subject, or, where its expectations are of no cell, all."""
        same = {number for number, one in enumerate(self.subjects) if one.model is subject.model}
        pairs = zip_longest(self.expectations, self.samples)
        return [measured for e, measured in pairs if getattr(e, "cell", None) is None or e.cell in same]


def _subject(arguments: Mapping[str, Any]) -> Subject:
    model, circuit = arguments.get("model"), arguments.get("circuit")
    if not isinstance(circuit, Circuit) or (isinstance(circuit, TracedCircuit) and not circuit.used):
        return Subject(model)
    asked = circuit.used if isinstance(circuit, TracedCircuit) else set(circuit)
    circuit = untraced(circuit)
    roles = {role: sites for role, sites in circuit.roles.items() if role.removeprefix(BACKUP) in asked or role in asked}
    return Subject(model, circuit, roles)


@dataclass
class Watched:
    """What there is to know of a claim's runs."""

    readings: Readings = field(default_factory=Readings)
    drawn: Drawn = field(default_factory=Drawn)
    directions: Directions = field(default_factory=Directions)
    jointly: Jointly = field(default_factory=Jointly)
    backup: Backup | None = None
    summed: Summed | None = None

    def see(self, ran: "Ran") -> None:
        """Something was run."""
        self.readings.add(ran)
        self.directions.add(ran)
        self.jointly.add(ran)

    def change(self, intervention: "Intervention", prompts: "PromptSet") -> None:
        """An intervention was made in a run of these prompts."""
        self.drawn.add(intervention, prompts)

    def look_behind(self, about: About) -> None:
        """Run what else it takes to tell: four variants where a part of a role was ablated alone, one where single effects were added up,
        the corrupted prompts where a claim of sufficiency patched from them alone; else nothing."""
        self.summed = summed_up(self.jointly, about.subject_of, about.samples, about.confidence)
        self.backup = missed_backup(self.jointly, about.subject_of, about.confidence)
        if next(wrong_direction(about.kind, self.directions, about.subject_of), None) is not None:
            self.directions.look_at_corrupted(about.subject_of)


def caveats_of(
    watched: Watched, interventions: Sequence[Mapping[str, Any]] = (), about: About | None = None, sets: "Sequence[PromptSet]" = ()
) -> list[Json]:
    """What there is to know of a claim.

    Args:
        watched: its runs.
        interventions: what was changed in them, as the evidence has it.
        about: what the claim is.
        sets: all prompts that were run.
    """
    about = About() if about is None else about
    found: dict[Caveat, Iterator[str]] = {
        "gaussian_noise": gaussian_noise(interventions, watched.drawn),
        "other_lengths": other_lengths(interventions),
        "few_references": few_references(watched.drawn),
        "bounded_metric": bounded_metric(watched.readings),
        "saturated_metric": saturated_metric(watched.readings),
        "wrong_direction": wrong_direction(about.kind, watched.directions, about.subject_of),
        "beyond_whole": beyond_whole(about.expectations, about.samples),
        "seen_prompts": chain.from_iterable(
            seen_prompts(one.circuit, sets, about.samples_of(one)) for one in {id(one.model): one for one in about.subjects}.values()
        ),
        "single_backup": single_backup(watched.backup),
        "not_additive": not_additive(watched.summed),
    }
    return [{"about": name, "text": text} for name, texts in found.items() for text in texts]
