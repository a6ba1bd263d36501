"""From estimates to verdicts: one expectation, one claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Estimate

Decision = Literal["supported", "refuted", "inconclusive", "undefined"]
"""What measurements can decide of an expectation; undefined: a share of something that is not told from nothing."""
Verdict = Literal["supported", "refuted", "inconclusive", "vacuous", "not_applicable", "skipped", "errored"]
"""How a claim can end."""
Role = Literal["claim", "precondition"]
"""What an expectation is to its claim: part of what is claimed, or what must hold for the claim to mean anything."""
Region = tuple[float, float]
"""Between what the true value lies if the expectation holds; an open side is infinite."""
ExpectationKind = Literal["above", "below", "between", "equivalent", "greater", "rate", "beats_random", "for_all"]


@dataclass(frozen=True)
class Control:
    """What random sites gave where the claim's sites gave the estimate."""

    kind: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    effect: float | None = None
    """What the claim's own sites gave, measured as the controls were."""


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
    """Of the expectation's failing: it is supported exactly where this is at most the level's tail; None where nothing is tested."""
    verdict: Decision
    role: Role = "claim"
    control: Control | None = None
    by_template: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Template -> (value, number of prompts)."""


def decide(estimate: "Estimate", region: Region) -> Decision:
    """Supported when the whole interval lies in the region, refuted when it lies wholly outside, else inconclusive.

    An estimate that is not valid decides nothing; one without a finite interval is undefined.
    """
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "undefined"
    if not estimate.valid:
        return "inconclusive"
    low, high = region
    if low < estimate.low and estimate.high < high:
        return "supported"
    if estimate.high < low or estimate.low > high:
        return "refuted"
    return "inconclusive"


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
