"""From estimates to verdicts: one expectation, one claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mechcheck.stats.ties import tied

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Confidence, Estimate, Interval
    from mechcheck.stats.power import Settles

Decision = Literal["supported", "refuted", "inconclusive", "undefined"]
"""What measurements can decide of an expectation; undefined: a share of something that is not told from nothing."""
Verdict = Literal["supported", "refuted", "inconclusive", "vacuous", "not_applicable", "skipped", "errored", "method_dependent"]
"""How a claim can end."""
Role = Literal["claim", "precondition"]
"""What an expectation is to its claim: part of what is claimed, or what must hold for the claim to mean anything."""
Region = tuple[float, float]
"""Between what the true value lies if the expectation holds; an open side is infinite."""
ExpectationKind = Literal[
    "above", "below", "between", "equivalent", "greater", "rate", "beats_random", "for_all", "faithful", "beats_random_circuits",
    "replicates",
]  # fmt: skip


@dataclass(frozen=True)
class Control:
    """What random sites gave where the claim's sites gave the estimate."""

    kind: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    effect: float | None = None
    """What the claim's own sites gave, measured as the controls were."""


@dataclass(frozen=True)
class Worst:
    """The prompt on which a circuit lies farthest from its model."""

    id: str
    circuit: float
    """The metric of the circuit on it."""
    model: float
    """That of the whole model."""


@dataclass(frozen=True)
class Evaluated:
    """The circuit that an expectation is about, and what all else carried meanwhile."""

    parts: str
    """What it consists of: "edges", "heads", "MLPs", ..."""
    size: int
    """How many of these."""
    of: int
    """How many the model has."""
    instead: str
    """What cut edges carried: counterfactual, mean, resample or zero."""
    metric: str
    unit: str
    model: float
    """The metric's mean in the whole model."""
    cut: float
    """With every edge cut."""
    worst: Worst


@dataclass(frozen=True)
class Expectation:
    """One thing a claim says, as measured and decided."""

    label: str
    kind: ExpectationKind
    threshold: float | tuple[float, float]
    region: Region
    """What is claimed."""
    margin: float | None
    unit: str
    estimate: "Estimate"
    p: float | None
    """Against the true value's lying outside of the region: supported exactly where this is at most alpha. None where nothing is tested."""
    p_refuted: float | None
    """Against its lying inside: refuted exactly where this is at most alpha (divided among the claim's expectations, after Holm)."""
    verdict: Decision
    role: Role = "claim"
    control: Control | None = None
    by_template: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Template -> (value, number of prompts)."""
    evaluated: Evaluated | None = None
    """Of `faithful` and `beats_random_circuits`: which circuit, and how."""
    settles: "Settles | None" = None
    """What would decide it, where it is inconclusive."""
    cell: int | None = None
    """Of a claim over a grid of methods: in which of its cells."""


def decide(estimate: "Estimate", region: Region) -> Decision:
    """Supported when the whole interval lies in the region, refuted when it lies wholly outside, else inconclusive.

    An end of the interval that ties with a threshold lies on neither side of it. An estimate that is not valid decides nothing; one
    without a finite interval is undefined.
    """
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "undefined"
    if not estimate.valid:
        return "inconclusive"
    low, high = region
    if _below(low, estimate.low) and _below(estimate.high, high):
        return "supported"
    if _below(estimate.high, low) or _below(high, estimate.low):
        return "refuted"
    return "inconclusive"


def _below(a: float, b: float) -> bool:
    """Whether a is below b, by more than rounding."""
    return a < b and not tied(a, b)


def p_values(interval: "Interval", region: Region, confidence: "Confidence") -> tuple[float | None, float | None]:
    """The p-values of an expectation's being supported and of its being refuted, over all looks at the sample that there may be.

    Supported takes both of two one-sided tests (Schuirmann 1987), so its p-value is the larger; refuted takes one of them.
    """
    if math.isinf(interval.estimate.low) and math.isinf(interval.estimate.high):
        return None, None
    tests = [(interval.p_above, interval.p_below, region[0]), (interval.p_below, interval.p_above, region[1])]
    bounded = [(inside(end), outside(end)) for inside, outside, end in tests if math.isfinite(end)]
    return confidence.over_looks(max(p for p, _ in bounded)), confidence.over_looks(min(p for _, p in bounded))


def after_holm(expectations: Sequence[Expectation], alpha: float) -> list[Expectation]:
    """The expectations of one claim, which is refuted when one of them is: each refutation must stand among so many (Holm 1979).

    Nothing is adjusted for being supported, as a claim is only when all of them are (an intersection-union test).
    """
    from mechcheck.stats.multiplicity import holm

    tested = [i for i, e in enumerate(expectations) if e.role == "claim" and e.p_refuted is not None]
    adjusted = dict(zip(tested, holm([expectations[i].p_refuted or 0.0 for i in tested]), strict=True))
    found = []
    for i, e in enumerate(expectations):
        if e.verdict == "refuted" and adjusted.get(i, 0.0) > alpha:
            why = f"refuted alone (p = {e.p_refuted:.2g}), and not among {len(tested)} checks (p = {adjusted[i]:.2g} after Holm)"
            caveat = "; ".join(filter(None, [e.estimate.caveat, why]))
            e = replace(e, verdict="inconclusive", estimate=replace(e.estimate, caveat=caveat))
        found.append(e)
    return found


def combine(expectations: Sequence[Expectation]) -> Verdict:
    """The verdict of a claim.

    Not applicable where a precondition is not met, or where what is claimed is undefined; else inconclusive where a precondition
    could not be told; else refuted when one of its expectations is, and supported when all are.
    """
    needed = {e.verdict for e in expectations if e.role == "precondition"}
    found = {e.verdict for e in expectations if e.role == "claim"}
    if needed & {"refuted", "undefined"} or "undefined" in found:
        return "not_applicable"
    if "inconclusive" in needed or not found:
        return "inconclusive"
    if "refuted" in found:
        return "refuted"
    return "supported" if found == {"supported"} else "inconclusive"


def deciding(expectations: Sequence[Expectation]) -> int | None:
    """Which of a claim's expectations made its verdict what it is: the first that alone would have, else the first of the claim's own."""
    verdict = combine(expectations)
    telling = {"not_applicable": ("refuted", "undefined")}.get(verdict, (verdict,))
    needed = [i for i, e in enumerate(expectations) if e.role == "precondition"]
    own = [i for i, e in enumerate(expectations) if e.role == "claim"]
    first, then = (needed, own) if verdict in ("not_applicable", "inconclusive") else (own, needed)
    found = [i for i in [*first, *then] if expectations[i].verdict in telling]
    if verdict == "not_applicable":
        found = [i for i in found if expectations[i].role == "precondition" or expectations[i].verdict == "undefined"]
    return next(iter([*found, *own, *needed]), None)
