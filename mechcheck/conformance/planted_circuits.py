"""Planted circuits: random heads, or a model, of which something is claimed that half of the alternatives satisfy too, or fewer do."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mechcheck.conformance.populations import Sample, Series
from mechcheck.conformance.subjects import NOWHERE, Bench
from mechcheck.notation.circuit import Circuit
from mechcheck.verdicts.case import Case, Conditions
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.claim import ClaimSpec, Decoy
from mechcheck.verdicts.contrast import contrast
from mechcheck.verdicts.decoys import decoys_of
from mechcheck.verdicts.guard import Guard
from mechcheck.verdicts.outcome import decide_claim
from mechcheck.verdicts.specificity import Specific
from mechcheck.verdicts.trial import Trial

CLEAR = 4.0
"""Standard errors between a threshold and what is to satisfy it, or to fail it."""
Shape = Literal["above", "below", "rate", "greater", "equivalent"]
SHAPES: tuple[Shape, ...] = ("above", "below", "rate", "greater", "equivalent")
_TRIES = 300


class _Stored(Guard):
    """The model is not run again, so nothing can change it, and its state need not be taken for each alternative."""

    @contextlib.contextmanager
    def untouched(self, model: Any, contrast: str | None = None) -> Iterator[None]:
        yield


@dataclass(frozen=True, eq=False)
class Planted:
    """What is claimed of a circuit, or of a model: the same of each alternative."""

    bench: Bench
    shape: Shape
    sample: Sample
    threshold: float
    centre: float = 0.0
    """Of an interval."""

    def __call__(self, model: Any, check: Check, circuit: Circuit | None = None) -> None:
        """The claim's body."""
        series = series_of(self.bench, self.shape, {"model": model} | ({} if circuit is None else {"circuit": circuit}))
        measured = self.sample.measured(series)
        match self.shape:
            case "above":
                check.above(measured, self.threshold)
            case "below":
                check.below(measured, self.threshold)
            case "rate":
                check.rate(measured, above=self.threshold)
            case "greater":
                subject = self.bench.on(model)
                sites = NOWHERE if circuit is None else circuit.sites
                check.greater(*map(self.sample.measured, (subject.value(), subject.value(sites))), margin=self.threshold)
            case "equivalent":
                check.equivalent(measured, self.threshold, to=self.centre)


def series_of(bench: Bench, shape: Shape, arguments: Mapping[str, Any]) -> Series:
    """What is measured under these arguments."""
    subject = bench.on(arguments["model"])
    circuit = arguments.get("circuit")
    if circuit is None:
        return subject.value().exceeds(0.0) if shape == "rate" else subject.value()
    if shape == "rate":
        return subject.value(circuit.sites).exceeds(0.0)
    return subject.value(circuit.sites) if shape == "below" else subject.lost(circuit.sites)


@dataclass(frozen=True)
class Judged:
    """What was said of a planted expectation that its claim satisfies."""

    kind: str
    subject: str
    alternatives: str
    """Enumerated or drawn."""
    share: float
    """Of the alternatives that satisfy it in truth."""
    decision: Specific
    vacuous: bool
    """Whether the claim as a whole was called so."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A circuit or a model among its alternatives."""

    bench: Bench
    arguments: Mapping[str, Any]
    decoy: Decoy
    total: int | None
    others: tuple[Mapping[str, Any], ...]
    """The arguments of those that could be run."""


@dataclass(eq=False)
class Ground:
    """Where circuits are planted, under the conditions of a profile."""

    benches: Sequence[Bench]
    conditions: Conditions
    _places: dict[tuple[int, int], _Place] = field(default_factory=dict)

    def place(self, rng: np.random.Generator, twins: bool) -> _Place:
        """One of the circuits, or of the models."""
        at = int(rng.integers(len(self.benches)))
        bench = self.benches[at]
        which = -1 if twins else int(rng.integers(len(bench.circuits)))
        if (at, which) not in self._places:
            arguments: dict[str, Any] = {"model": bench.right.model, "check": None} | ({} if twins else {"circuit": bench.circuits[which]})
            decoy: Decoy = "reinitialised" if twins else "random_sites"
            decoys = decoys_of(self.trial(bench, arguments, decoy, lambda: None), decoy)
            most = min(self.conditions.decoys, 8) if twins else self.conditions.decoys
            changes = [arguments | dict(change.arguments) for change in itertools.islice(decoys.draw(), most)]
            if not twins:
                bench.right.measure(other["circuit"].sites for other in changes)
            self._places[at, which] = _Place(bench, arguments, decoy, decoys.total, tuple(changes))
        return self._places[at, which]

    def trial(self, bench: Bench, arguments: Mapping[str, Any], decoy: Decoy, body: Any) -> Trial:
        """A claim as the plugin would run it."""
        case = Case(f"planted/{bench.right.name}", ClaimSpec("planted", decoys=(decoy,)), self.conditions, Path())
        return Trial(case, body, arguments, _Stored())

    def judge(self, rng: np.random.Generator, *, vacuous: bool, twins: bool) -> Judged | None:
        """Plant an expectation that the alternatives satisfy, or that most of them fail, and let it be judged.

        None where no threshold does that, or where the sample did not support the claim: only what came out as claimed is contrasted.
        """
        for _ in range(_TRIES):
            place, shape = self.place(rng, twins), SHAPES[rng.integers(len(SHAPES))]
            if twins and shape == "greater":
                continue
            found = self._threshold(place, shape, rng, vacuous)
            if found is None:
                continue
            threshold, centre, share = found
            body = Planted(place.bench, shape, place.bench.right.population.draw(rng, self.conditions.n_prompts), threshold, centre)
            trial = self.trial(place.bench, place.arguments, place.decoy, body)
            check = trial.check()
            body(**(dict(place.arguments) | {"check": check}))
            outcome = decide_claim(check, "supported")
            if outcome.verdict != "supported":
                continue
            told = contrast(trial, outcome.expectations, outcome.samples)
            ((specificity,),) = told.specificity
            how = "re-initialised weights" if twins else "every other set of sites" if specificity.tally.n == place.total else "sites as drawn"
            return Judged(shape, place.bench.right.name, how, share, specificity.decision, told.vacuous is not None)
        return None

    def _threshold(self, place: _Place, shape: Shape, rng: np.random.Generator, vacuous: bool) -> tuple[float, float, float] | None:
        """A threshold, the centre of the interval that it is the margin of, and the share of alternatives that satisfy the claim."""
        population, n = place.bench.right.population, self.conditions.n_prompts

        def known(arguments: Mapping[str, Any]) -> tuple[float, float]:
            series = series_of(place.bench, shape, arguments)
            truth, error = population.truth(series), population.error(series, n)
            if shape == "rate":  # a rate of 1 has an error of 0, and an interval that is not that narrow
                smoothed = (truth * n + 1) / (n + 2)
                error = max(error, float(np.sqrt(smoothed * (1 - smoothed) / len(population.sizes(n)))))
            return truth, error

        own, own_error = known(place.arguments)
        if not own_error:
            return None
        values, errors = map(np.array, zip(*map(known, place.others), strict=True))
        errors = np.maximum(errors, 0.05 * own_error)
        sign, centre = (-1.0 if shape in ("below", "equivalent") else 1.0), 0.0
        if shape == "equivalent":
            centre, values, own = own, np.abs(values - own), 0.0
        satisfies, fails, mine = sign * values - CLEAR * errors, sign * values + CLEAR * errors, sign * own - CLEAR * own_error
        count = len(values)
        if vacuous:
            reach = int(rng.integers((count + 1) // 2, count + 1))
            at = min(mine, float(np.sort(satisfies)[::-1][reach - 1]))
        else:
            at = float(np.sort(fails)[count // 2])
            if at > mine:
                return None
            at = float(rng.uniform(at, mine))
        threshold = sign * at
        if (shape == "rate" and not 0 < threshold < 1) or (shape == "equivalent" and threshold <= 0):
            return None
        return threshold, centre, float((satisfies >= at).mean())
