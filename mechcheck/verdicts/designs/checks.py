"""The checks that are designs: each makes several comparisons, and adds an expectation for each of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mechcheck.verdicts.collected import Collected

if TYPE_CHECKING:
    from mechcheck.notation.metrics import Metric
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
