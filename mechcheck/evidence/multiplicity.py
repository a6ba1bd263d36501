"""Many claims in one run: p-values adjusted for their number, the expected share of false verdicts, and a bound on it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mechcheck.evidence.deciding import deciding_check

Json = dict[str, Any]

ENOUGH = 20
"""Claims from which on the share of those in which there is nothing to find can be read off their p-values."""


def judge_run(claims: Sequence[Json], confidence: float, fdr: float | None = None) -> Json | None:
    """Adjust the claims' p-values in place; returns the run's `multiplicity`, as the schema has it; None where nothing was tested.

    A claim that several expectations make up is supported when all are, so the largest of their p-values is the claim's; it is refuted
    when one is, so the smallest after Holm is. Twice the smaller of the two is its two-sided p-value, and these are adjusted over
    the claims of the run (Benjamini and Hochberg 1995). Each expectation's p-value is raised by the factor by which its claim's was.

    Args:
        claims: the records of a run.
        confidence: one-sided, of each decision.
        fdr: decide only what stands at this false discovery rate: any other claim becomes inconclusive, and says so.
    """
    from mechcheck.stats.multiplicity import adjust, share_of_nulls

    tested = [(claim, p) for claim in claims if (p := _two_sided(claim)) is not None]
    if not tested:
        return None
    adjusted = adjust([p for _, p in tested])
    for (claim, p), raised in zip(tested, adjusted, strict=True):
        claim["p_adjusted"] = raised
        for e in claim["expectations"]:
            if e["p"] is not None:
                e["p_adjusted"] = min(1.0, e["p"] * raised / p)
    decided = [claim for claim, _ in tested if _is_decided(claim)]
    undone = [claim for claim in decided if fdr is not None and claim["p_adjusted"] > fdr]
    for claim in undone:
        _undo(claim, fdr or 0.0)
    nulls, left = share_of_nulls([p for _, p in tested]), len(decided) - len(undone)
    # Of those with nothing to find, as many as the level allows are decided on each side.
    false = nulls * len(tested) * 2 * (1 - confidence)
    known = left and (fdr is not None or len(tested) >= ENOUGH)
    share = None if not known else min(1.0 if fdr is None else fdr, false / left)
    return {"tested": len(tested), "decided": left, "nulls": nulls, "false_share": share, "fdr": fdr, "undone": len(undone)}


def _two_sided(claim: Json) -> float | None:
    from mechcheck.stats.multiplicity import holm

    if "grid" in claim:  # one claim, whatever its cells: it says itself what its answer is worth
        return None if claim["verdict"] in ("not_applicable", "errored", "skipped") else claim["grid"]["p"]
    own = [e for e in claim["expectations"] if e["role"] == "claim"]
    if not own or any(e["p"] is None for e in own) or claim["verdict"] in ("not_applicable", "errored", "skipped"):
        return None
    refuted = [e["p_refuted"] for e in own if e["p_refuted"] is not None]
    return min(1.0, 2 * min(max(e["p"] for e in own), *holm(refuted), 1.0))


def _is_decided(claim: Json) -> bool:
    return claim["verdict"] in ("supported", "refuted", "method_dependent")


def _undo(claim: Json, fdr: float) -> None:
    """What does not stand among so many claims decides nothing. Of a supported claim that is for its weakest check."""
    if claim["verdict"] == "supported":
        own = [i for i, e in enumerate(claim["expectations"]) if e["role"] == "claim"]
        claim["deciding"] = max(own, key=lambda i: claim["expectations"][i]["p"])
    claim["reason"] = (
        f"{claim['verdict']} alone, and not at a false discovery rate of {fdr:g} over this run (p = {claim['p_adjusted']:.2g} adjusted); "
        f"{claim['reason']}"
    )
    claim["verdict"], claim["met"] = "inconclusive", False


def multiplicity_lines(found: Json | None) -> Iterable[str]:
    """What a reader is told of it."""
    if found is None:
        return
    if found["false_share"] is not None:
        yield (
            f"of {found['decided']} claims that were decided, about {found['false_share']:.1%} are expected to be false "
            f"({found['tested']} were tested, of which {found['nulls']:.0%} look like nothing is there)"
        )
    if found["undone"]:
        more = "more were" if found["decided"] else "were"
        yield f"{found['undone']} {more} decided alone, and not at the false discovery rate of {found['fdr']:g} that was asked for"


def undone_text(claim: Mapping[str, Any]) -> str | None:
    """How a claim was decided alone, where it does not stand among those of its run; None where it does."""
    check = deciding_check(claim)
    undecided_grid = "grid" in claim and claim["grid"]["answer"] == "inconclusive"
    if claim["verdict"] != "inconclusive" or undecided_grid or check is None or check["verdict"] not in ("supported", "refuted"):
        return None
    return str(claim["reason"]).partition("; ")[0]
