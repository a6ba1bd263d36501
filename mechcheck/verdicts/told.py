"""What was checked, told as the claim that it amounts to: in a notebook and in a script as in a run."""

from typing import TYPE_CHECKING

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.grids.decision import decide_grid
from mechcheck.verdicts.settling import settled_by
from mechcheck.verdicts.verdict import Expectation, Verdict, after_holm, combine
from mechcheck.verdicts.words import summary, told_checks, verdict_word

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Confidence
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.for_all import Counterexample
    from mechcheck.verdicts.grids.grid import Grid


class Told:
    """Something that collected expectations."""

    confidence: "Confidence"
    over: "Grid | None"
    expectations: list[Expectation]
    samples: "list[Measurement]"
    counterexamples: "list[Counterexample]"

    @property
    def verdict(self) -> Verdict:
        """What the checks come to as one claim, by the rules that decide every claim; without decoys, none is vacuous.

        Raises:
            ClaimError: nothing is checked.
        """
        if all(e.role == "precondition" for e in self.expectations):
            raise ClaimError("nothing is checked yet: say what is expected, for example check.above(measurement, 0.0)")
        return combine(self.decided) if self.over is None else decide_grid(self.over, self.decided, self.confidence.overall).verdict

    @property
    def decided(self) -> list[Expectation]:
        """The expectations as their claim has them: what is refuted must stand among all of them, or all of its cell of a grid."""
        if self.over is None:
            return after_holm(self.expectations, self.confidence.overall)
        cells = ([e for e in self.expectations if e.cell == cell.number] for cell in self.over.cells)
        return [e for some in cells for e in after_holm(some, self.confidence.overall)]

    def summary(self, statement: str = "") -> str:
        """The verdict and each check, the deciding one first, and what would settle it, in the words of a run's terminal."""
        return summary(self.verdict, settled_by(self.decided, self.samples, self.confidence), self.counterexamples, statement)

    def _repr_html_(self) -> str | None:
        from mechcheck.drawing.notebook import facts

        if not any(e.role == "claim" for e in self.expectations):
            return None
        settled = settled_by(self.decided, self.samples, self.confidence)
        told = (map(str.strip, lines) for lines in told_checks(settled, self.counterexamples))
        return facts(verdict_word(self.verdict), [(name, "; ".join(more)) for name, *more in told])

    def __repr__(self) -> str:
        return self.summary() if any(e.role == "claim" for e in self.expectations) else "nothing is checked yet"
