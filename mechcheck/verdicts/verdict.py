"""From estimates to verdicts: one expectation, one claim."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Estimate

Decision = Literal["supported", "refuted", "inconclusive"]
"""What measurements can decide."""
Verdict = Literal[Decision, "vacuous", "skipped", "errored"]
"""How a claim can end."""
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
    margin: float | None
    unit: str
    estimate: "Estimate"
    p: float | None
    """One-sided p-value of the claimed side; None where there is none."""
    verdict: Decision
    control: Control | None = None
    by_template: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Template -> (value, number of prompts)."""


def decide(estimate: "Estimate", low: float = -math.inf, high: float = math.inf) -> Decision:
    """Supported when the whole interval lies between low and high, refuted when it lies wholly outside, else inconclusive."""
    if low < estimate.low and estimate.high < high:
        return "supported"
    if estimate.high < low or estimate.low > high:
        return "refuted"
    return "inconclusive"


def combine(outcomes: Iterable[Decision]) -> Decision:
    """A claim is refuted when one of its expectations is, supported when all are."""
    found = set(outcomes)
    if "refuted" in found:
        return "refuted"
    return "supported" if found == {"supported"} else "inconclusive"
