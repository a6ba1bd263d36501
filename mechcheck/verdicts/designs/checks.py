"""The checks that are designs: each makes several comparisons, and adds an expectation for each of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mechcheck.stats.formulas import compared
from mechcheck.verdicts.collected import Collected
from mechcheck.verdicts.designs.thresholds import one_sided

if TYPE_CHECKING:
    from mechcheck.measures.stream.curves import SteeringCurve
    from mechcheck.notation.metrics import Metric
    from mechcheck.stats.confounds import Explained, Property
    from mechcheck.stats.measurement import Measurement
    from mechcheck.stats.onset import Onset
    from mechcheck.stats.replication import Replication
    from mechcheck.verdicts.designs.comparing import Comparing
    from mechcheck.verdicts.designs.dissociation import Dissociation, Half, Lesion


class Designs(Collected):
    """Checks of several comparisons, as part of `Check`."""

    def dissociates(
        self: "Comparing", halves: Mapping[str, "Half"], *, margin: float, least: float = 0.5, lesion: "Lesion" = "mean",
        metric: "Metric | None" = None,
    ) -> "Dissociation":  # fmt: skip
        """Two tasks come apart: each is lost without its own sites, and hardly touched without the other's (a double dissociation).

        The lesion is the same in both tasks: the sites are ablated at every position, whatever their own. For each task are expected

        - that more than `least` of its metric is lost without its own sites,
        - that what is lost without the other's is less than `margin` times what is lost without its own, and
        - that no more than so much is gained: the crossed effects are equivalent to none, on the scale of the own ones.

        The model must do both tasks (a metric above zero), else the claim is not applicable. That one effect is significant and another
        is not would be no dissociation, as the two may hardly differ; here they are compared with each other, prompt by prompt.

        Teuber 1955, Annu. Rev. Psychol. 6:267; Shallice 1988, From Neuropsychology to Mental Structure, ch. 10; Crawford and Garthwaite
        2005, Neuropsychology 19:318.

        Args:
            halves: two tasks by name, each with its prompts and its sites (or a circuit, for all the sites of its roles).
            margin: how much of the own effect a crossed one may be, between 0 and 1. State it before you measure.
            least: the share of a task's metric that its own sites must be worth, between 0 and 1.
            lesion: "mean", "zero" or "resample", or a function of sites that gives an intervention.
            metric: one value per prompt, above 0 where the task is done; the logit difference by default.

        Raises:
            ClaimError: no model, not two tasks, no sites, or a margin or a share that is none.
        """
        from mechcheck.verdicts.designs.dissociation import dissociation

        found = dissociation(self.model, halves, margin, least, lesion, metric)
        for task, other in (found.tasks, found.tasks[::-1]):
            whole, own, crossed = found.untouched[task], found.lost[task, task], found.lost[task, other]
            self.requires(whole, above=0.0, label=f"the model does {task}: {whole.name} > 0")
            self.above(own / whole, least, f"{task}: share lost without its own sites > {least:g}")
            for word, way in (("lost", crossed), ("gained", -crossed)):
                text = f"{task}: {word} without the sites of {other} < {margin:.3g} of what its own are worth"
                self.greater(margin * own, way, label=text)
        return found

    def replicates(
        self: "Comparing", effects: Mapping[str, "Measurement"], *, above: float | None = None, below: float | None = None,
        label: str | None = None,
    ) -> "Replication":  # fmt: skip
        """The mean of an effect over training seeds is above, or below, a threshold; the seed is the unit.

        The interval is a t interval over seeds, which takes the prompts that they share for a sample too (`mechcheck.replication`). Its
        caveat says in how many seeds the effect is so by itself, how far seeds differ beyond what prompts explain (tau, I squared), and
        between what the effect of another such seed lies. Where seeds are of two kinds, some with the effect and some without it, no
        interval of a handful of them holds: look at the seeds.

        Args:
            effects: seed, or model -> one value per prompt, for example `replicas.measure(...)`.
            above, below: the threshold; one of them.
            label: what the report calls it.

        Raises:
            ClaimError: not one threshold, or one that is not finite.
            MechcheckError: fewer than two seeds, or two prompts.
            NonFiniteError: an effect that is not finite.
        """
        from mechcheck.verdicts.designs.replicated import replicated

        region, threshold, sign = one_sided("replicates", above, below)
        found = replicated(effects, region, self.confidence)
        text = label or compared(f"mean over seeds of {found.pooled.name}", sign, f"{threshold:g}")
        self._test("replicates", found.pooled, found.interval, region, threshold, text)
        return found

    def monotone(
        self: "Comparing", curve: "SteeringCurve", *, rises: float | None = None, falls: float | None = None, tolerance: float = 0.0
    ) -> None:
        """The metric rises, or falls, with the dose: by more than so much in all, and from each dose to the next.

        An expectation for each pair of neighbouring doses, prompt by prompt, and one for the way from the first to the last. All of them
        must hold (an intersection-union test, Berger 1982, Technometrics 24:295), so none needs an adjustment. A trend test (Page 1963,
        J. Am. Stat. Assoc. 58:216), or a slope (`curve.slope`), asks whether there is any trend: a curve that turns back can have one.

        Args:
            curve: from `dose_curve` or `steering_curve`, in whatever order of its doses.
            rises, falls: by how much in all, in the metric's unit, 0 or more; one of them.
            tolerance: by how much a step may go the other way, 0 or more: where a curve is flat, no number of prompts shows that it rises.

        Raises:
            ClaimError: not one of rises and falls, one that is negative or not finite, or fewer than three doses.
            NonFiniteError: a value that is not finite.
        """
        from mechcheck.verdicts.designs.steps import check_monotone, steps

        sign, least = check_monotone(curve, rises, falls, tolerance)
        word, back = ("rises", "falls") if sign > 0 else ("falls", "rises")
        for before, after, earlier, later in steps(curve, sign):
            allowed = f" by no more than {tolerance:g}" if tolerance else ""
            told = f"{back if tolerance else word}{allowed} from dose {before:g} to {after:g}"
            self.greater(later, earlier, -tolerance, label=f"{curve.name} {told}")
        first, last = min(curve.scales), max(curve.scales)
        text = f"{curve.name} {word} by more than {least:g} from dose {first:g} to {last:g}"
        self.greater(sign * curve.at(last), sign * curve.at(first), least, label=text)

    def onset(
        self: "Comparing", effects: Mapping[int, "Measurement"], *, above: float | None = None, below: float | None = None,
        by: int, after: int | None = None,
    ) -> "Onset":  # fmt: skip
        """In training, an effect is there by one checkpoint and stays, and, if that is said too, not yet at another.

        An expectation for the checkpoint `by` and each one after it, all of which must hold; and one for the checkpoint `after`, at
        which the effect must be told to be missing. What is returned says between which checkpoints it began, as was measured
        (`mechcheck.onset`).

        Args:
            effects: step -> one value per prompt of the model at that step.
            above, below: the threshold; one of them.
            by: the checkpoint from which on it is there.
            after: the checkpoint at which it is not.

        Raises:
            ClaimError: not one threshold, a checkpoint that was not measured, or the two the wrong way round.
            MechcheckError: fewer than two checkpoints, or a step that is no whole number.
        """
        from mechcheck.stats.onset import onset
        from mechcheck.verdicts.designs.beginning import checked_steps

        _, threshold, sign = one_sided("onset", above, below)
        found = onset(effects, above=above, below=below, confidence=self.confidence)
        there, missing = (self.above, self.below) if above is not None else (self.below, self.above)
        name = found.name or "the effect"
        for step in checked_steps(found.steps, by, after):
            there(effects[step], threshold, label=f"{compared(name, sign, f'{threshold:g}')} at step {step}")
        if after is not None:
            other = "<" if sign == ">" else ">"
            missing(effects[after], threshold, label=f"not yet: {compared(name, other, f'{threshold:g}')} at step {after}")
        return found

    def unconfounded(
        self: "Comparing", measured: "Measurement", by: Mapping[str, "Property"], *, margin: float, above: float | None = None,
        below: float | None = None,
    ) -> "list[Explained]":  # fmt: skip
        """An effect is not one of some properties of the prompts: it hardly changes with them, and it is there with each held fixed.

        For each property with numbers, that the effect's slope on it, in units of the property's standard deviation and with all others
        held fixed, lies within the margin: equivalence, as a slope that is not told from zero may still be a large one. For each
        property, that the effect is above, or below, the threshold in each of its strata: for each value where there are few, or words,
        else below and above the median.

        Args:
            measured: one value per prompt.
            by: property -> a number or a word for each prompt; `prompt_properties(prompts)` has some.
            margin: how much the effect may change with one standard deviation of a property, in its unit. State it before you measure.
            above, below: the threshold that the effect must keep to in each stratum; one of them.

        Raises:
            ClaimError: not one threshold, no property, or a margin that is none.
            MechcheckError: a property that is the same on all prompts, or follows from the others, or a stratum with one prompt.
            NonFiniteError: a value that is not finite.
        """
        from mechcheck.verdicts.designs.confounded import confounded

        _, threshold, sign = one_sided("unconfounded", above, below)
        slopes, strata = confounded(measured, by, margin, self.confidence)
        for one in slopes:
            text, bounds = f"|{one.slope.name}| < {margin:g} per standard deviation", (-float(margin), float(margin))
            self._test("equivalent", one.slope, one.interval, bounds, bounds, text, margin=float(margin))
        for stratum in strata:
            text = f"{compared(measured.name or 'the effect', sign, f'{threshold:g}')} where {stratum.words}"
            (self.above if above is not None else self.below)(stratum.effect, threshold, label=text)
        return slopes
