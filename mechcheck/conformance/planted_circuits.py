"""Planted circuits: random heads, or a model, of which something is claimed that half of the alternatives satisfy too, or fewer do."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from mechcheck.conformance.populations import Sample, Series
from mechcheck.conformance.subjects import NOWHERE, Bench
from mechcheck.models.loading import KEPT_TWINS
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
_TRIES = 20


class _Stored(Guard):
    """The model is not run again, so nothing can change it, and its state need not be taken for each alternative."""

    @contextlib.contextmanager
    def untouched(self, arguments: Mapping[str, Any], contrast: str | None = None) -> Iterator[None]:
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
                check.greater(self.sample.measured(subject.value()), self.sample.measured(subject.value(sites)), self.threshold)
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
class Spot:
    """A circuit, or a model, and what is claimed of it, among its alternatives."""

    bench: Bench
    shape: Shape
    arguments: Mapping[str, Any]
    decoy: Decoy
    total: int | None
    """Alternatives that there are, where they were counted."""
    own: float
    """The true value, as large as can be: the sign of what is claimed to be small is turned, and of an interval it is the distance."""
    own_error: float
    others: Float[np.ndarray, " alternative"]
    errors: Float[np.ndarray, " alternative"]
    centre: float
    """Of an interval."""

    @property
    def sign(self) -> float:
        """Of the threshold, which is that of the turned values."""
        return -1.0 if self.shape in ("below", "equivalent") else 1.0

    @property
    def most(self) -> float:
        """Up to here the claim is clearly true."""
        return self.own - CLEAR * self.own_error

    def specific_from(self) -> float:
        """From here on more than half of the alternatives clearly fail."""
        return float(np.sort(self.others + CLEAR * self.errors)[len(self.others) // 2])

    def vacuous_up_to(self, satisfy: int) -> float:
        """Up to here so many alternatives clearly satisfy the claim."""
        return float(np.sort(self.others - CLEAR * self.errors)[::-1][satisfy - 1])

    def possible(self, at: float) -> bool:
        """Whether this, turned, is a threshold."""
        threshold = self.sign * at
        return {"rate": 0 < threshold < 1, "equivalent": threshold > 0}.get(self.shape, True)


class Ground:
    """Where circuits are planted, under the conditions of a profile."""

    def __init__(self, benches: Sequence[Bench], conditions: Conditions) -> None:
        self.conditions = conditions
        self.circuits = [spot for bench in benches for circuit in bench.circuits for spot in self._spots(bench, circuit)]
        self.models = [spot for bench in benches for spot in self._spots(bench, None)]

    def judge_many(self, rng: np.random.Generator, count: int, *, vacuous: bool) -> list[Judged]:
        """So many, of which a quarter are about models; fewer where no threshold is known to tell."""
        found = []
        for spots, share in ((self.circuits, count - count // 4), (self.models, count // 4)):
            usable = [spot for spot in spots if vacuous or (spot.specific_from() <= spot.most and spot.possible(spot.most))]
            # One after the other, as the twins of a model are made anew where many others were needed meanwhile.
            chosen = [usable[i * len(usable) // share] for i in range(share)] if usable else []
            found += [one for spot in chosen if (one := self.judge(spot, rng, vacuous=vacuous)) is not None]
        return found

    def judge(self, spot: Spot, rng: np.random.Generator, *, vacuous: bool) -> Judged | None:
        """Plant a claim that at least half of the alternatives satisfy, or that more than half fail, and let it be judged.

        None where no threshold does that, or no sample supports the claim: only what came out as claimed is contrasted.
        """
        count, threshold = len(spot.others), spot.most
        if vacuous:
            threshold = min(threshold, spot.vacuous_up_to(int(rng.integers((count + 1) // 2, count + 1))))
        else:
            threshold = float(rng.uniform(spot.specific_from(), threshold))
        if not spot.possible(threshold):
            return None
        for _ in range(_TRIES):
            sample = spot.bench.right.population.draw(rng, self.conditions.n_prompts)
            trial = self._trial(
                spot.bench, spot.arguments, spot.decoy, Planted(spot.bench, spot.shape, sample, spot.sign * threshold, spot.centre)
            )
            check = trial.check()
            trial.body(**(dict(spot.arguments) | {"check": check}))
            outcome = decide_claim(check, "supported")
            if outcome.verdict == "supported":
                break
        else:
            return None
        told = contrast(trial, outcome.expectations, outcome.samples)
        ((specificity,),) = told.specificity
        every = specificity.tally.n == spot.total
        how = "re-initialised weights" if "circuit" not in spot.arguments else "every other set of sites" if every else "sites as drawn"
        share = float((spot.others - CLEAR * spot.errors >= threshold).mean())
        return Judged(spot.shape, spot.bench.right.name, how, share, specificity.decision, told.vacuous is not None)

    def _trial(self, bench: Bench, arguments: Mapping[str, Any], decoy: Decoy, body: Any) -> Trial:
        """A claim as the plugin would run it."""
        case = Case(f"planted/{bench.right.name}", ClaimSpec("planted", decoys=(decoy,)), self.conditions, Path())
        return Trial(case, body, arguments, _Stored())

    def _spots(self, bench: Bench, circuit: Circuit | None) -> Iterator[Spot]:
        arguments: dict[str, Any] = {"model": bench.right.model, "check": None} | ({} if circuit is None else {"circuit": circuit})
        decoy: Decoy = "reinitialised" if circuit is None else "random_sites"
        decoys = decoys_of(self._trial(bench, arguments, decoy, None), decoy)
        most = min(self.conditions.decoys, KEPT_TWINS) if circuit is None else self.conditions.decoys
        others = [arguments | dict(change.arguments) for change in itertools.islice(decoys.draw(), most)]
        if circuit is not None:
            bench.right.measure(other["circuit"].sites for other in others)
        for shape in SHAPES:
            if circuit is None and shape == "greater":
                continue
            (own, *values), (own_error, *errors) = zip(*(self._known(bench, shape, some) for some in (arguments, *others)), strict=True)
            if not own_error:
                continue
            centre, sign, turned = own, -1.0, np.array(values)
            if shape == "equivalent":
                own, turned = 0.0, np.abs(turned - centre)
            elif shape != "below":
                sign = 1.0
            # An alternative whose values are constant must be told from the threshold too.
            told = np.maximum(errors, 0.05 * own_error)
            yield Spot(bench, shape, arguments, decoy, decoys.total, sign * own, own_error, sign * turned, told, centre)

    def _known(self, bench: Bench, shape: Shape, arguments: Mapping[str, Any]) -> tuple[float, float]:
        """The true value under these arguments, and the standard error of a sample."""
        population, n = bench.right.population, self.conditions.n_prompts
        series = series_of(bench, shape, arguments)
        truth, error = population.truth(series), population.error(series, n)
        if shape == "rate":  # a rate of 1 has an error of 0, and an interval that is not that narrow
            smoothed = (truth * n + 1) / (n + 2)
            error = max(error, float(np.sqrt(smoothed * (1 - smoothed) / len(population.sizes(n)))))
        return truth, error
