"""`check`: what a claim expects of its measurements. Each method decides one expectation and returns its estimate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mechcheck.base.errors import ClaimError
from mechcheck.base.seeds import seed_from
from mechcheck.drawing.figure import Figure
from mechcheck.stats.estimates import Estimate, estimate_rate
from mechcheck.stats.formulas import SUM, bracketed, compared, minus, plus
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.collected import name_of, number_of
from mechcheck.verdicts.designs.checks import Designs

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from mechcheck.circuits.edge_scores import Instead
    from mechcheck.measures.causal.gates import Gate, GateKind
    from mechcheck.notation.circuit import Circuit
    from mechcheck.notation.metrics import Metric
    from mechcheck.notation.sites import Sites
    from mechcheck.prompts.prompt_set import PromptSet

Example = TypeVar("Example")


class Check(Designs):
    """Collects the expectations, samples and figures of one run of a claim."""

    def above(self, measured: Measurement, threshold: float, label: str | None = None) -> Estimate:
        """The mean is above the threshold."""
        threshold = number_of("check.above", threshold)
        return self._mean("above", measured, (threshold, math.inf), threshold, label or compared(name_of(measured), ">", f"{threshold:g}"))

    def below(self, measured: Measurement, threshold: float, label: str | None = None) -> Estimate:
        """The mean is below the threshold."""
        threshold = number_of("check.below", threshold)
        return self._mean("below", measured, (-math.inf, threshold), threshold, label or compared(name_of(measured), "<", f"{threshold:g}"))

    def between(self, measured: Measurement, low: float, high: float, label: str | None = None) -> Estimate:
        """The mean lies between low and high."""
        low, high = bounds = (number_of("check.between", low), number_of("check.between", high))
        if not low < high:
            raise ClaimError(f"between({low:g}, {high:g}): the first must be the smaller")
        return self._mean("between", measured, bounds, bounds, label or f"{low:g} < {bracketed(name_of(measured), SUM)} < {high:g}")

    def equivalent(self, measured: Measurement, margin: float, to: float = 0.0, label: str | None = None) -> Estimate:
        """The mean differs from `to` by less than the margin (two one-sided tests, Schuirmann 1987)."""
        margin, to = number_of("equivalent(margin=...)", margin), number_of("equivalent(to=...)", to)
        if margin <= 0:
            raise ClaimError(f"equivalent(margin={margin:g}): the margin must be positive, in the units of the measurement")
        text = label or f"|{minus(name_of(measured), f'{to:g}')}| < {margin:g}"
        bounds = (to - margin, to + margin)
        return self._mean("equivalent", measured, bounds, bounds, text, margin=margin)

    def greater(self, a: Measurement, b: Measurement, margin: float = 0.0, label: str | None = None) -> Estimate:
        """`a` exceeds `b` by more than the margin, prompt by prompt (paired)."""
        margin = number_of("greater(margin=...)", margin)
        text = label or compared(name_of(a), ">", plus(name_of(b), f"{margin:g}") if margin else name_of(b))
        return self._mean("greater", a - b, (margin, math.inf), margin, text, margin=margin)

    def rate(self, holds: Measurement, *, above: float | None = None, below: float | None = None, label: str | None = None) -> Estimate:
        """The share of prompts on which `holds` is 1 (for example `run(...) < 0`) is above, or below, a threshold."""
        if (above is None) == (below is None):
            raise ClaimError("rate needs one threshold: above=... or below=...")
        threshold = number_of("check.rate", above if above is not None else below)
        if not 0 < threshold < 1:
            raise ClaimError(
                f"a rate cannot be {'above' if above is not None else 'below'} {threshold:g} and fail, or hold; choose between 0 and 1"
            )
        name_of(holds)
        try:
            interval = estimate_rate(holds, self.confidence)
        except ValueError as error:
            raise ClaimError(str(error)) from error
        region = (threshold, math.inf) if above is not None else (-math.inf, threshold)
        text = label or f"share with {compared(name_of(holds), '>' if above is not None else '<', f'{threshold:g}')}"
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

    def faithful(
        self, circuit: "Sites | Circuit", prompts: "PromptSet", *, margin: float = 0.2, instead: "Instead" = "counterfactual",
        source: "PromptSet | None" = None, metric: "Metric | None" = None, label: str | None = None,
    ) -> Estimate:  # fmt: skip
        """The circuit's faithfulness differs from 1, the whole model's, by less than the margin (two one-sided tests).

        Faithfulness is (circuit - none) / (model - none) of the metric's means (`mechcheck.faithfulness`), with what is not of the
        circuit cut. The evidence has it per template, the size, what cut edges carried, and the prompt on which circuit and model
        differ most; a value above 1 or below 0 is flagged, as there the rest works against the circuit.

        Args:
            circuit: edges or nodes; a recorded circuit stands for its edges where it has any, else for the sites of its roles.
            prompts: others than those it was found on.
            margin: how far from 1 is still faithful.
            instead, source: what all else carries, as in `mechcheck.faithfulness`.
            metric: one value per prompt; the logit difference by default.
            label: what the report calls it.

        Raises:
            ClaimError: no model, or a margin that is none.
            CircuitError: a circuit that is the whole model, or nothing, or no part of this model's graph.
            PromptError: the circuit was found on these prompts.
        """
        from mechcheck.verdicts.circuit_checks import Evaluation

        if not 0 < (margin := number_of("faithful(margin=...)", margin)) < 1:
            raise ClaimError(f"faithful(margin={margin}): how far from 1 is still faithful, between 0 and 1")
        found = Evaluation.of("faithful", self.model, circuit, prompts, instead, source, metric)
        bounds = (1.0 - margin, 1.0 + margin)
        text = label or f"|{minus(found.faithfulness.name, '1')}| < {margin:g}"
        return self._mean("faithful", found.faithfulness, bounds, bounds, text, margin=margin, evaluated=found.told)

    def beats_random_circuits(
        self, circuit: "Sites | Circuit", prompts: "PromptSet", *, n: int | None = None, quantile: float = 0.9,
        instead: "Instead" = "counterfactual", source: "PromptSet | None" = None, metric: "Metric | None" = None, label: str | None = None,
    ) -> Estimate:  # fmt: skip
        """The circuit is nearer to the model than random circuits of its size: it is sufficient (Shi et al. 2024, arXiv:2410.13032).

        Near is a small mean distance between the metric of the circuit and the model's, prompt by prompt. Random circuits are as many
        edges, or as many nodes of each kind, each set as likely as any other. As for `beats_random`, supported needs both: the rank
        among them, whose p-value is (1 + those at least as near) / (1 + all) and so never 0, and the distance, paired by prompt, from
        the random circuit at the given quantile. It is refuted where more random circuits are at least as near than the quantile leaves
        (an exact binomial test).

        Args:
            circuit, prompts, instead, source, metric: as in `faithful`.
            n: random circuits; by default twice as many as the rank's p-value needs.
            quantile: the share of them that it must be nearer than, and which of them it is paired with (0 the farthest, 1 the nearest).
            label: what the report calls it.

        Raises:
            ClaimError, CircuitError, PromptError: as for `faithful`, and for a quantile or a number that is none.
        """
        from mechcheck.verdicts.circuit_checks import Evaluation, refuted_by_rank
        from mechcheck.verdicts.rank import REGION, check_contest, controls_needed, decide_contest

        check_contest("beats_random_circuits", quantile, n)
        found = Evaluation.of("beats_random_circuits", self.model, circuit, prompts, instead, source, metric)
        among = found.random(2 * controls_needed(self.confidence) if n is None else n, self.seed)
        text = label or "nearer to the model than random circuits of its size"
        won = refuted_by_rank(decide_contest(found.nearness, among, text, quantile, self.confidence), quantile, self.confidence)
        return self._add(
            "beats_random_circuits", won.difference, won.estimate, REGION, 0.0, text,
            p=won.p, p_refuted=won.p_refuted, verdict=won.verdict, control=won.control, evaluated=found.told,
        )  # fmt: skip

    def gate(self, found: "Gate", kind: "GateKind", *, margin: float = 0.25, label: str | None = None) -> tuple[Estimate, Estimate]:
        """Two sets of sites work as an "and", an "or", a "chain", or are "additive" (`Gate.kind` says what each is).

        Two expectations, of the interactions by noising and by denoising, each as a share of the way from the corrupted to the clean
        run; for "additive" a third, that noising both takes more than the margin.

        Args:
            found: from `gate(model, prompts, a, b)`.
            kind: which of these.
            margin: how far from 0 an interaction lies that is one.
            label: what the report calls it.

        Returns:
            The estimates by noising and by denoising.

        Raises:
            ClaimError: no gate, another word, or a margin that is none.
        """
        from mechcheck.verdicts.gates import wanted_of

        wanted = wanted_of(found, kind, margin, label)
        noising, denoising, *_ = [getattr(self, one.comparison)(one.measured, one.threshold, label=one.label) for one in wanted]
        return noising, denoising

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
