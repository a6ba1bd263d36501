"""What a claim's body collects: expectations as they are decided, the measurement behind each, figures."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.base.errors import ClaimError
from mechcheck.drawing.figure import Figure
from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.told import Told
from mechcheck.verdicts.verdict import Control, Decision, Evaluated, Expectation, ExpectationKind, Region, Role, decide, p_values

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.sites import Sites
    from mechcheck.verdicts.for_all import Counterexample
    from mechcheck.verdicts.grids.grid import Cell, Grid


@dataclass(repr=False)
class Collected(Told):
    """Collects the expectations, samples and figures of one run of a claim."""

    confidence: Confidence = field(default_factory=Confidence)
    model: "TransformerBridge | None" = None
    outside: "Sites | None" = None
    """Sites that random controls must avoid: the claim's circuit."""
    seed: int = 0
    expectations: list[Expectation] = field(default_factory=list)
    samples: list[Measurement] = field(default_factory=list)
    """The measurement behind each expectation, in the same order."""
    figures: list[Figure] = field(default_factory=list)
    draws: bool = True
    """False on decoys, whose figures and counterexamples nobody sees."""
    examples: int = 240
    """Distinct examples that `for_all` tries."""
    counterexamples: list["Counterexample"] = field(default_factory=list)
    role: Role = "claim"
    """Of the expectations that are being added."""
    over: "Grid | None" = None
    """The methods that the claim is run under, if it is run under several."""
    cell: "Cell | None" = None
    """Under which of them the expectations that are being added were measured."""

    def _mean(
        self, kind: ExpectationKind, measured: Measurement, region: Region, threshold: float | tuple[float, float], label: str, *,
        margin: float | None = None, evaluated: Evaluated | None = None,
    ) -> Estimate:  # fmt: skip
        name_of(measured)
        if not np.isfinite(threshold).all():
            raise ClaimError(f"check.{kind} needs finite thresholds, got {threshold}")
        interval = estimate_mean(measured, self.confidence)
        return self._test(kind, measured, interval, region, threshold, label, margin=margin, evaluated=evaluated)

    def _test(
        self, kind: ExpectationKind, measured: Measurement, interval: Interval, region: Region,
        threshold: float | tuple[float, float], label: str, *, margin: float | None = None, evaluated: Evaluated | None = None,
    ) -> Estimate:  # fmt: skip
        """Add what the tests of an interval decide."""
        p, p_refuted = p_values(interval, region, self.confidence)
        return self._add(
            kind, measured, interval.estimate, region, threshold, label, margin=margin, p=p, p_refuted=p_refuted, evaluated=evaluated
        )

    def _add(
        self, kind: ExpectationKind, measured: Measurement, estimate: Estimate, region: Region,
        threshold: float | tuple[float, float], label: str, *,
        margin: float | None = None, p: float | None = None, p_refuted: float | None = None,
        verdict: Decision | None = None, control: Control | None = None, evaluated: Evaluated | None = None,
    ) -> Estimate:  # fmt: skip
        number, at = (None, "") if self.cell is None else (self.cell.number, f" [{self.cell.text}]")
        among = [known.label for known in self.expectations if known.cell == number]
        if f"{label}{at}" in among:
            label = f"{label} ({len(among) + 1})"  # labels tell expectations apart in decoys and in the report
        if measured.note:
            estimate = replace(estimate, caveat="; ".join(filter(None, [estimate.caveat, measured.note])))
        self.samples.append(measured)
        self.expectations.append(
            Expectation(
                label=f"{label}{at}",
                kind=kind,
                threshold=threshold,
                region=region,
                margin=margin,
                unit=measured.unit,
                estimate=estimate,
                p=p,
                p_refuted=p_refuted,
                verdict=decide(estimate, region) if verdict is None else verdict,
                role=self.role,
                control=control,
                by_template=measured.by_template,
                evaluated=evaluated,
                cell=number,
            )
        )
        return estimate


def number_of(what: str, value: object) -> float:
    """A threshold or a margin as a number; an error that says what it is for where it is none."""
    if not isinstance(value, bool | str | bytes):
        with suppress(TypeError, ValueError):
            return float(value) + 0.0  # type: ignore[arg-type]  # -0.0 would be shown with its sign
    raise ClaimError(f"{what}: a number is expected, got {value!r:.60}")


def name_of(measured: Measurement) -> str:
    """The measurement's name; an error where it is none."""
    if not isinstance(measured, Measurement):
        raise ClaimError(f"an expectation needs a Measurement (one value per prompt), got {type(measured).__name__}")
    return measured.name
