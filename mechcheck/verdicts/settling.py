"""What would settle each expectation that came out inconclusive."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcheck.verdicts.verdict import Expectation, decide

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Confidence
    from mechcheck.stats.measurement import Measurement
    from mechcheck.stats.power import Settles


def settled_by(expectations: Sequence[Expectation], samples: "Sequence[Measurement]", confidence: "Confidence") -> list[Expectation]:
    """The expectations of a claim, the inconclusive ones with what would settle them.

    Args:
        expectations: as the claim decided them.
        samples: the measurement behind each.
        confidence: with which they were decided.
    """
    tested = Counter(e.cell for e in expectations if e.role == "claim" and e.p_refuted is not None)
    pairs = zip(expectations, samples, strict=True)
    return [replace(e, settles=_of(e, m, confidence, tested[e.cell])) if e.verdict == "inconclusive" else e for e, m in pairs]


def beyond_prompts(expectation: Expectation, confidence: "Confidence") -> str | None:
    """What is missing of an expectation that no further prompts can support; None where they can."""
    if expectation.kind == "for_all":
        return "a strategy that has more distinct examples, or fewer of them asked for: it is examples that were too few, not prompts"
    if expectation.kind == "replicates":
        return f"more seeds than these {expectation.estimate.clusters}, which are its units: prompts narrow it little"
    if expectation.control is None:
        return None
    from mechcheck.verdicts.rank import controls_needed, rank_p

    there, needed = len(expectation.control.values), controls_needed(confidence)
    if there < needed and expectation.kind == "beats_random_circuits":
        return f"{needed} random circuits or more, and {there} were asked for"
    if there < needed:
        return f"{needed} other sets of sites like these, of which there are {there}: no number of prompts makes more"
    ranked = rank_p(expectation.control) <= confidence.overall
    if ranked and decide(expectation.estimate, expectation.region) != "supported":
        return None  # the paired difference is what is missing, and that takes prompts
    return f"a higher rank among its {there} controls (p = {expectation.p or 1:.2g}): prompts do not raise it"


def _of(expectation: Expectation, measured: "Measurement", confidence: "Confidence", tested: int) -> "Settles":
    from mechcheck.stats.estimates import estimate_mean, estimate_rate
    from mechcheck.stats.power import Settles, settles

    missing = beyond_prompts(expectation, confidence)
    if missing is not None:
        return Settles(f"it takes {missing}")
    if not expectation.estimate.valid:
        return Settles("it takes templates and prompts enough for an interval that holds; how many these values do not tell")
    interval = (estimate_rate if expectation.kind == "rate" else estimate_mean)(measured, confidence)
    low, high = expectation.region
    # To be refuted it must stand among the claim's other expectations.
    alpha = confidence.alpha if low <= interval.estimate.value <= high else confidence.alpha / max(1, tested)
    return settles(interval, expectation.region, alpha, one_template=len(set(measured.templates)) == 1)
