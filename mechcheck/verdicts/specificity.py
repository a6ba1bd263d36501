"""Whether an expectation is about the claim's own circuit or model: what share of alternatives satisfies it too, and by how much less."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.verdicts.verdict import Expectation, Region

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Confidence, Estimate
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.trial import Rerun

Specific = Literal["specific", "vacuous", "cannot tell"]

SURE = 0.95
"""One-sided, of the bounds on the share of alternatives that satisfy an expectation."""
_FIRST_LOOKS, _EARLY, _LATER = 8, 1 / 32, 1 / 64
"""Up to 8 draws the share is told from one half at 1/32, later at 1/64: over all looks at up to 16 draws that is wrong in at most 5%."""


class Tally(NamedTuple):
    """What alternatives answered."""

    satisfied: int
    """On which it was supported."""
    failed: int
    """On which it was refuted."""
    neither: int
    """On which it was inconclusive, undefined, or not measured: no rejection."""

    @property
    def n(self) -> int:
        """Alternatives that were run."""
        return sum(self)


@dataclass(frozen=True)
class Whole:
    """What alternatives of one kind say of a claim, or of one expectation."""

    kind: str
    """What the alternatives are."""
    tally: Tally
    alternatives: int | None
    """How many there are; None where they are without end."""

    @property
    def decision(self) -> Specific:
        """Whether fewer than half of the alternatives satisfy it, or half and more."""
        return told(self.tally, self.alternatives) or "cannot tell"

    @property
    def bounds(self) -> tuple[float, float]:
        """On the share of alternatives that satisfy it, each at 95%; those that are neither may do so or not."""
        satisfied, failed, n = self.tally.satisfied, self.tally.failed, self.tally.n
        if not n:
            return 0.0, 1.0
        if n == self.alternatives:
            return satisfied / n, 1 - failed / n
        import scipy

        low = float(scipy.special.betaincinv(satisfied, n - satisfied + 1, 1 - SURE)) if satisfied else 0.0
        high = 1 - float(scipy.special.betaincinv(failed, n - failed + 1, 1 - SURE)) if failed else 1.0
        return low, high

    @property
    def text(self) -> str:
        """What a reader is told."""
        satisfied, failed, neither = self.tally
        undecided = f", {neither} decide nothing" if neither else ""
        if self.alternatives == self.tally.n == 1:
            answer = "satisfies" if satisfied else "fails" if failed else "neither satisfies nor fails"
            return f"{self.decision}: the only alternative {answer} it"
        if self.alternatives == self.tally.n:
            return f"{self.decision}: {satisfied} of all {self.tally.n} alternatives satisfy it{undecided}"
        low, high = self.bounds
        bound = f"at least {low:.0%}" if self.decision == "vacuous" else f"at most {high:.0%}"
        return f"{self.decision}: {bound} of alternatives satisfy it ({satisfied} of {self.tally.n}{undecided})"


@dataclass(frozen=True)
class Specificity(Whole):
    """One expectation among alternatives of one kind."""

    contrast: "Estimate | None" = None
    """Of what the claim measured, less what its alternatives did on the same prompts, on average; None where they cannot be paired."""
    separating: float | None = None
    """A threshold between the claim's interval and all alternatives, where there is one."""


def as_a_whole(runs: "Sequence[Rerun]") -> Tally:
    """What the alternatives say of the claim."""
    verdicts = [run.verdict for run in runs]
    satisfied, failed = verdicts.count("supported"), verdicts.count("refuted")
    return Tally(satisfied, failed, len(runs) - satisfied - failed)


def tally(runs: "Sequence[Rerun]", labels: Sequence[str], place: int) -> Tally:
    """What the alternatives say of one of a claim's expectations, known by its label, or its place among the claim's."""
    results = [run.result(labels, place) for run in runs]
    verdicts = [result.verdict if result else "inconclusive" for result in results]
    satisfied, failed = verdicts.count("supported"), verdicts.count("refuted")
    return Tally(satisfied, failed, len(runs) - satisfied - failed)


def told(found: Tally, alternatives: int | None) -> Specific | None:
    """What so many answers decide; None where more are to be drawn.

    Where all alternatives have answered, their share is known. Else it is told from one half by the binomial tails, with those
    that are neither counted as if they satisfied when it is to be less, and as if they did not when it is to be more.
    """
    n = found.n
    if alternatives is not None and n >= alternatives:
        return "vacuous" if 2 * found.satisfied >= n else "specific" if 2 * found.failed > n else "cannot tell"
    alpha = _EARLY if n <= _FIRST_LOOKS else _LATER
    if _tail(found.failed, n) <= alpha:
        return "specific"
    return "vacuous" if _tail(found.satisfied, n) <= alpha else None


def _tail(k: int, n: int) -> float:
    """The chance of at least k heads in n tosses."""
    return sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n


def judge(
    expectations: Sequence[Expectation], place: int, measured: "Measurement", runs: "Sequence[Rerun]", kind: str, alternatives: int | None,
    confidence: "Confidence",
) -> Specificity:  # fmt: skip
    """What the alternatives that were run say of an expectation.

    Args:
        expectations: of the claim, as it decided them.
        place: which of them.
        measured: what it was decided on.
        runs: the body on each alternative.
        kind: what the alternatives are.
        alternatives: how many there are.
        confidence: of the contrast's interval.
    """
    expectation, labels = expectations[place], [e.label for e in expectations]
    found = tally(runs, labels, place)
    results = (run.result(labels, place) for run in runs)
    others = [result.measured for result in results if result is not None and result.verdict != "undefined"]
    values = [other.mean for other in others if math.isfinite(other.mean)]
    contrast = _contrast(measured, others, confidence)
    return Specificity(kind, found, alternatives, contrast, _separating(expectation.estimate, expectation.region, values))


def _contrast(measured: "Measurement", others: "Sequence[Measurement]", confidence: "Confidence") -> "Estimate | None":
    """The claim's values less the alternatives' average, prompt by prompt."""
    from mechcheck.stats.estimates import estimate_mean

    try:
        paired = [other.linearised() for other in others if other.ids == measured.ids]
        if not paired:
            return None
        average = (1 / len(paired)) * sum(paired[1:], paired[0])
        return estimate_mean(measured.linearised() - average, confidence).estimate
    except MechcheckError:  # a share of nothing has no value for a prompt
        return None


def _separating(estimate: "Estimate", region: Region, values: Sequence[float]) -> float | None:
    low, high = region
    if values and math.isinf(high) and max(values) < estimate.low:
        return (max(values) + estimate.low) / 2
    if values and math.isinf(low) and estimate.high < min(values):
        return (min(values) + estimate.high) / 2
    return None
