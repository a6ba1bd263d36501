"""How a claim ended: decided on its expectations and its contrasts, skipped, or errored."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import ClaimError
from mechcheck.base.outgoing import error_text
from mechcheck.verdicts.claim import Expected
from mechcheck.verdicts.grids.decision import decide_grid
from mechcheck.verdicts.grids.differences import differences
from mechcheck.verdicts.grids.grid import where_of
from mechcheck.verdicts.settling import settled_by
from mechcheck.verdicts.verdict import Verdict, combine, deciding

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.check import Check
    from mechcheck.verdicts.contrast import Contrast
    from mechcheck.verdicts.for_all import Counterexample
    from mechcheck.verdicts.grids.decision import GridFound
    from mechcheck.verdicts.sampling import Sampling
    from mechcheck.verdicts.verdict import Expectation


@dataclass(frozen=True)
class Outcome:
    """What became of a claim; as made here, one that was started and not decided: what remains if its process dies."""

    verdict: Verdict = "errored"
    met: bool | None = False
    """Whether it came out as claimed; None where it was skipped."""
    reason: str = "the process ended before this claim was decided"
    expectations: "tuple[Expectation, ...]" = ()
    samples: "tuple[Measurement, ...]" = ()
    """The measurement behind each expectation."""
    deciding: int | None = None
    """Which expectation made the verdict what it is."""
    counterexamples: "tuple[Counterexample, ...]" = ()
    figures: tuple[dict[str, Any], ...] = ()
    """As data."""
    contrast: "Contrast | None" = None
    sampling: "Sampling | None" = None
    """How its prompts were drawn; None where all were at once."""
    grid: "GridFound | None" = None
    """Of a claim over a grid of methods: what each cell came to, and the one answer."""

    def errored(self, error: BaseException | None) -> "Outcome":
        """The same, ended by an error; what had been measured until then is kept."""
        return replace(self, verdict="errored", met=False, reason=f"{where_of(error)}{error_text(error)}")

    def against(self, contrast: "Contrast") -> "Outcome":
        """The same, in view of its contrasts."""
        found = replace(self, contrast=contrast)
        if contrast.vacuous is None:
            return found
        return replace(found, verdict="vacuous", met=False, reason=contrast.vacuous)


def skipped(reason: str) -> Outcome:
    """The outcome of a claim that was not measured, and why."""
    return Outcome("skipped", None, reason)


def decide_claim(check: "Check | None", expect: Expected) -> Outcome:
    """Decide a claim on what it checked.

    Raises:
        ClaimError: it checked nothing.
    """
    __tracebackhide__ = True
    if check is None or all(e.role == "precondition" for e in check.expectations):
        raise ClaimError("this claim checked nothing: use the `check` fixture, for example check.above(measurement, 0.0)")
    expectations = settled_by(check.decided, check.samples, check.confidence)
    grid = None
    if check.over is not None:
        apart = differences(expectations, check.samples, check.confidence)
        grid = decide_grid(check.over, expectations, check.confidence.overall, apart)
    verdict = combine(expectations) if grid is None else grid.verdict
    return Outcome(
        verdict=verdict,
        met=verdict == expect,
        reason="; ".join(f"{e.label}: {e.verdict}" for e in expectations) if grid is None else grid.text,
        expectations=tuple(expectations),
        samples=tuple(check.samples),
        deciding=deciding(expectations) if grid is None else grid.deciding,
        grid=grid,
        counterexamples=tuple(check.counterexamples),
        figures=tuple(figure.data() for figure in check.figures),
    )
