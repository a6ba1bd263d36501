"""`check`: what a claim expects of its measurements. Each method decides one expectation and returns its estimate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mechcheck.base.errors import ClaimError
from mechcheck.base.seeds import seed_from
from mechcheck.drawing.figure import Figure
from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean, estimate_rate
from mechcheck.stats.formulas import SUM, bracketed, compared, minus, plus
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.told import Told
from mechcheck.verdicts.verdict import Control, Decision, Expectation, ExpectationKind, Region, Role, decide, p_values

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.sites import Sites
    from mechcheck.verdicts.for_all import Counterexample

Example = TypeVar("Example")


@dataclass(repr=False)
class Check(Told):
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

    def above(self, measured: Measurement, threshold: float, label: str | None = None) -> Estimate:
        """The mean is above the threshold."""
        return self._mean(
            "above", measured, (float(threshold), math.inf), float(threshold), label or compared(_name(measured), ">", f"{threshold:g}")
        )

    def below(self, measured: Measurement, threshold: float, label: str | None = None) -> Estimate:
        """The mean is below the threshold."""
        return self._mean(
            "below", measured, (-math.inf, float(threshold)), float(threshold), label or compared(_name(measured), "<", f"{threshold:g}")
        )

    def between(self, measured: Measurement, low: float, high: float, label: str | None = None) -> Estimate:
        """The mean lies between low and high."""
        if not low < high:
            raise ClaimError(f"between({low}, {high}): the first must be the smaller")
        bounds = (float(low), float(high))
        return self._mean("between", measured, bounds, bounds, label or f"{low:g} < {bracketed(_name(measured), SUM)} < {high:g}")

    def equivalent(self, measured: Measurement, margin: float, to: float = 0.0, label: str | None = None) -> Estimate:
        """The mean differs from `to` by less than the margin (two one-sided tests, Schuirmann 1987)."""
        if margin <= 0:
            raise ClaimError(f"equivalent(margin={margin}): the margin must be positive, in the units of the measurement")
        text = label or f"|{minus(_name(measured), f'{to:g}')}| < {margin:g}"
        bounds = (float(to - margin), float(to + margin))
        return self._mean("equivalent", measured, bounds, bounds, text, margin=float(margin))

    def greater(self, a: Measurement, b: Measurement, margin: float = 0.0, label: str | None = None) -> Estimate:
        """`a` exceeds `b` by more than the margin, prompt by prompt (paired)."""
        text = label or compared(_name(a), ">", plus(_name(b), f"{margin:g}") if margin else _name(b))
        return self._mean("greater", a - b, (float(margin), math.inf), float(margin), text, margin=float(margin))

    def rate(self, holds: Measurement, *, above: float | None = None, below: float | None = None, label: str | None = None) -> Estimate:
        """The share of prompts on which `holds` is 1 (for example `run(...) < 0`) is above, or below, a threshold."""
        if (above is None) == (below is None):
            raise ClaimError("rate needs one threshold: above=... or below=...")
        threshold = float(above if above is not None else below)  # type: ignore[arg-type]
        if not 0 < threshold < 1:
            raise ClaimError(
                f"a rate cannot be {'above' if above is not None else 'below'} {threshold:g} and fail, or hold; choose between 0 and 1"
            )
        _name(holds)
        try:
            interval = estimate_rate(holds, self.confidence)
        except ValueError as error:
            raise ClaimError(str(error)) from error
        region = (threshold, math.inf) if above is not None else (-math.inf, threshold)
        text = label or f"share with {compared(_name(holds), '>' if above is not None else '<', f'{threshold:g}')}"
        return self._test("rate", holds, interval, region, threshold, text)

    def beats_random(
        self,
        effect: Callable[["Sites"], Measurement],
        sites: "Sites",
        *,
        n: int | None = None,
        quantile: float = 0.9,
        label: str | None = None,
    ) -> Estimate:
        """`effect(sites)` exceeds the effect of random sites of the same kinds, layers and number.

        Supported needs both: the mean effect's rank among the controls', whose p-value is (1 + those at least as large) / (1 + all), and
        the difference, paired by prompt, from the control at the given quantile of their means. Refuted is what that difference
        refutes. Where fewer controls exist than the rank needs, it is inconclusive, and the caveat says how many there are.

        With an `Effect` all sites are measured in one sweep; any other function is called for each.

        Args:
            effect: of a set of sites, one value per prompt.
            sites: the claim's own.
            n: controls, as far as there are so many; by default twice as many as the rank's p-value needs.
            quantile: which of the controls the effect is paired with, from 0 (the weakest) to 1 (the strongest).
            label: what the report calls it.

        Raises:
            ClaimError: no model to draw other sites from, or a quantile or a number that is none.
            NoControlError: no other sites are left.
            NonFiniteError: an effect that is not finite.
        """
        from mechcheck.verdicts.rank import REGION, contest

        if self.model is None:
            raise ClaimError("beats_random draws other sites of the model: the claim must use the `model` fixture")
        found = contest(
            effect, sites, self.model, outside=self.outside or sites, n=n, quantile=quantile, seed=self.seed,
            confidence=self.confidence, label=label,
        )  # fmt: skip
        return self._add(
            "beats_random", found.difference, found.estimate, REGION, 0.0, found.difference.name,
            p=found.p, p_refuted=found.p_refuted, verdict=found.verdict, control=found.control,
        )  # fmt: skip

    def for_all(
        self,
        examples: "SearchStrategy[Example]",
        holds: Callable[[Example], bool | Measurement],
        *,
        n: int | None = None,
        label: str | None = None,
    ) -> Estimate:
        """`holds` is true of every example of a Hypothesis strategy: a search for one that breaks it.

        Refuted by a counterexample, which Hypothesis shrinks to the simplest that still breaks the claim, and which the evidence
        keeps. Supported when none was found among `n` distinct examples (as many as the profile has prompts, unless given), or
        among all there are; inconclusive when the strategy gave fewer. Examples that a search tries are no sample: "supported"
        says what was tried, without rate, interval or p-value. The draws depend on the claim's id and --mech-seed alone.

        Args:
            examples: a Hypothesis strategy; one over prompts (`mechcheck.strategies`) lets the report show the counterexample
                token by token.
            holds: example -> bool, or a `Measurement` of yes and no per prompt (`run(model, prompts) > 0`), all of which must be yes.
            n: distinct examples to try.
            label: what the report calls it.

        Raises:
            ClaimError: a predicate that crashes or answers neither yes nor no, or a strategy that Hypothesis refuses.
            NonFiniteError: the predicate met NaN.
        """
        from mechcheck.verdicts.for_all import THRESHOLD, search

        seed = seed_from(f"{self.seed} for_all {len(self.expectations)}")
        found = search(examples, holds, n=self.examples if n is None else n, seed=seed, shrink=self.draws, label=label)
        estimate = self._add("for_all", found.tried, found.estimate, (THRESHOLD, math.inf), THRESHOLD, found.label)
        if found.counterexample is not None and self.draws:
            self.counterexamples.append(replace(found.counterexample, label=self.expectations[-1].label))
        return estimate

    def requires(
        self,
        measured: Measurement,
        *,
        above: float | None = None,
        below: float | None = None,
        between: tuple[float, float] | None = None,
        equivalent: float | None = None,
        greater: Measurement | None = None,
        label: str | None = None,
    ) -> Estimate:
        """What must hold for the claim to mean anything, by one of the comparisons: there is something to lose, the model does the task.

        Where it is refuted the claim is not applicable, whatever else it checks; where it cannot be told, neither can the claim.

        Args:
            measured: one value per prompt, or yes and no (`run(...) > 0`), whose mean is a rate.
            above, below, between, equivalent, greater: as the methods of these names; one of them.
            label: what the report calls it.

        Raises:
            ClaimError: none of the comparisons, or several.
        """
        given = {
            "above": above, "below": below, "between": between, "equivalent": equivalent, "greater": greater,
        }  # fmt: skip
        chosen = {name: value for name, value in given.items() if value is not None}
        if len(chosen) != 1:
            said = ", ".join(f"{name}=" for name in chosen) or "none"
            raise ClaimError(f"requires takes one comparison ({', '.join(f'{name}=' for name in given)}), got {said}")
        ((name, value),) = chosen.items()
        if between is not None and not (isinstance(between, Sequence) and len(between) == 2):
            raise ClaimError(f"requires(between=...) takes the lower and the upper bound, (low, high), got {between!r}")
        compare = getattr(self, name)
        self.role = "precondition"
        try:
            found: Estimate = compare(measured, *(value if isinstance(value, tuple) else (value,)), label=label)
            return found
        finally:
            self.role = "claim"

    def figure(self, figure: Figure | Callable[[], Figure]) -> None:
        """Show a figure with the claim; a function is called only where the figure will be seen (not on decoys)."""
        if self.draws:
            self.figures.append(figure() if callable(figure) else figure)

    def _mean(
        self, kind: ExpectationKind, measured: Measurement, region: Region, threshold: float | tuple[float, float], label: str, *,
        margin: float | None = None,
    ) -> Estimate:  # fmt: skip
        _name(measured)
        if not np.isfinite(threshold).all():
            raise ClaimError(f"check.{kind} needs finite thresholds, got {threshold}")
        interval = estimate_mean(measured, self.confidence)
        return self._test(kind, measured, interval, region, threshold, label, margin=margin)

    def _test(
        self, kind: ExpectationKind, measured: Measurement, interval: Interval, region: Region,
        threshold: float | tuple[float, float], label: str, *, margin: float | None = None,
    ) -> Estimate:  # fmt: skip
        """Add what the tests of an interval decide."""
        p, p_refuted = p_values(interval, region, self.confidence)
        return self._add(kind, measured, interval.estimate, region, threshold, label, margin=margin, p=p, p_refuted=p_refuted)

    def _add(
        self, kind: ExpectationKind, measured: Measurement, estimate: Estimate, region: Region,
        threshold: float | tuple[float, float], label: str, *,
        margin: float | None = None, p: float | None = None, p_refuted: float | None = None,
        verdict: Decision | None = None, control: Control | None = None,
    ) -> Estimate:  # fmt: skip
        if label in (known.label for known in self.expectations):
            label = f"{label} ({len(self.expectations) + 1})"  # labels tell expectations apart in decoys and in the report
        if measured.note:
            estimate = replace(estimate, caveat="; ".join(filter(None, [estimate.caveat, measured.note])))
        self.samples.append(measured)
        self.expectations.append(
            Expectation(
                label=label,
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
            )
        )
        return estimate


def _name(measured: Measurement) -> str:
    """The measurement's name; an error where it is none."""
    if not isinstance(measured, Measurement):
        raise ClaimError(f"an expectation needs a Measurement (one value per prompt), got {type(measured).__name__}")
    return measured.name
