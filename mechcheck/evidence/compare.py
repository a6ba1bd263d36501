"""Comparing two runs claim by claim: same, drifted, unsure, flipped, new, missing, or incomparable."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.accepted import is_accepted
from mechcheck.evidence.changes import changes_around_claim, changes_around_run
from mechcheck.evidence.drift import (
    MARGIN,
    Difference,
    adjust_by_claim,
    combine_changes,
    difference,
    difference_of_searches,
    judge,
    margin_of,
)
from mechcheck.evidence.missing import missing_claims
from mechcheck.evidence.rules import Pair, Ruling, ruling
from mechcheck.evidence.runs import Json, RunRecord
from mechcheck.evidence.status import Status
from mechcheck.evidence.upgrade import in_the_words_of
from mechcheck.stats.estimates import Estimate


class Comparison(NamedTuple):
    """What has changed since a baseline."""

    drift: dict[str, Json]
    """Claim id -> its `drift`, as the evidence schema has it, for the claims that were run now or in the baseline."""
    baseline: Json
    """The run's `baseline`, as the evidence schema has it: counts, missing claims, what changed around the claims."""


def compare(before: RunRecord, after: RunRecord, *, fraction: float = MARGIN, accepted: Mapping[str, Json] | None = None) -> Comparison:
    """Compare each claim of `after` with its namesake in `before`.

    - **same**: each expectation's difference is shown to lie within its margin; **drifted**: one is significant (false discovery
      rate over claims) and beyond it; **unsure**: neither was shown. See `mechcheck.evidence.drift`.
    - **flipped**: another verdict than before, whatever the differences say; they are told beside it.
    - **new**, **missing**: measured in one of the runs only. A claim is missing only where the second run asked for it.
    - **incomparable**: it says or demands something else, or was measured on other prompts, or not at all.

    Which of these comes first where several apply is in `mechcheck.evidence.rules`. Other weights, dtypes, circuits and versions
    are what a drift is looked for in: they are listed as changed, and compared.
    """
    accepted = accepted or {}
    pairs = {name: _pair(before, after, name) for name in after.claims}
    rulings = {name: found for name, pair in pairs.items() if (found := ruling(pair)).status != "unmentioned"}
    adjusted = adjust_by_claim([[d.p for d in found.differences] for found in rulings.values()])
    drift = {
        name: _drift(pairs[name], found, p_adjusted, fraction, accepted.get(name))
        for (name, found), p_adjusted in zip(rulings.items(), adjusted, strict=True)
    }
    gone, not_judged = missing_claims(before, after)
    missing = [_missing(claim, accepted.get(claim["id"])) for claim in gone]
    counts = Counter(found["status"] for found in drift.values())
    counts["missing"] += len(missing)
    summary = {
        "file": before.file,
        "created": before.run["created"],
        "commit": before.run["commit"],
        "n": sum(claim["verdict"] != "skipped" for claim in before.claims.values()),
        "margin": fraction,
        "level": 2 * after.run["confidence"] - 1,
        "counts": {status: n for status, n in counts.items() if n},
        "accepted": sum(found["accepted"] is not None for found in [*drift.values(), *missing]),
        "changed": list(changes_around_run(before.run, after.run)),
        "missing": missing,
        "not_judged": not_judged,
    }
    return Comparison(drift, summary)


def _pair(before: RunRecord, after: RunRecord, name: str) -> Pair:
    earlier = before.claims.get(name, {})
    was_skipped = earlier and earlier["verdict"] == "skipped"
    if earlier and before.run.get("upgraded_from"):
        earlier = in_the_words_of(earlier, after.claims[name])
    return Pair({} if was_skipped else earlier, after.claims[name], partial(_differences, before, after, name))


def _differences(before: RunRecord, after: RunRecord, name: str) -> list[Difference]:
    """The change of each expectation of a claim that has the same expectations in both runs.

    Raises:
        MechcheckError, NonFiniteError: values that are not there, or cannot be paired by prompt.
    """
    confidence = after.run["confidence"]
    pairs = zip(before.measurements(name), after.measurements(name), after.claims[name]["expectations"], strict=True)
    found = []
    for place, (earlier, now, expectation) in enumerate(pairs):
        if expectation["kind"] == "for_all":
            searches = (Estimate(**side.claims[name]["expectations"][place]["estimate"]) for side in (before, after))
            found.append(difference_of_searches(*searches))
            continue
        changed = difference(earlier, now, rate=expectation["kind"] == "rate", confidence=confidence)
        undefined = "undefined" in (expectation["verdict"], before.claims[name]["expectations"][place]["verdict"])
        if undefined and not changed.identical:
            raise MechcheckError(f"{expectation['label']} is undefined")
        found.append(changed)
    return found


def _drift(pair: Pair, found: Ruling, p_adjusted: list[float | None], fraction: float, accepted: Json | None) -> Json:
    """The claim's `drift`, as the evidence schema has it."""
    expectations = _expectations(pair.claim, found, p_adjusted, fraction)
    status, reason = _status(found, expectations)
    known = is_accepted(accepted, pair.claim) and status != "same"
    if accepted and not known and status != "same":
        reason += "; the change that was accepted was another one"
    measured_in_both = pair.earlier and pair.claim["verdict"] != "skipped"
    return {
        "status": status,
        "reason": reason,
        "verdict_before": pair.verdicts[0],
        "p_adjusted": min((p for p in p_adjusted if p is not None), default=None),
        "changed": list(changes_around_claim(pair.earlier, pair.claim)) if measured_in_both else [],
        "expectations": expectations,
        "accepted": _acceptance(accepted) if known else None,
    }


def _expectations(claim: Json, found: Ruling, p_adjusted: list[float | None], fraction: float) -> list[Json]:
    """The change of each expectation; none where the ruling has no differences."""
    if not found.differences:
        return []
    told = []
    for expectation, change, adjusted in zip(claim["expectations"], found.differences, p_adjusted, strict=True):
        margin = margin_of(change.before, expectation["threshold"], fraction)
        told.append(
            {
                "label": expectation["label"],
                "status": judge(change, margin, adjusted),
                "before": change.before,
                "after": change.after,
                "difference": asdict(change.estimate),
                "margin": margin,
                "p": change.p,
                "p_adjusted": adjusted,
            }
        )
    return told


def _status(found: Ruling, expectations: list[Json]) -> tuple[Status, str]:
    """The ruling's status and reason, and those of the differences where it leaves the decision to them or tells them too."""
    change = combine_changes(e["status"] for e in expectations)
    if found.status == "by differences":
        return change, _why(change, expectations)
    assert found.status != "unmentioned"
    return found.status, f"{found.reason}; {_why(change, expectations)}" if expectations else found.reason


def _why(change: str, expectations: list[Json]) -> str:
    if all(e["difference"]["low"] == e["difference"]["high"] == 0 for e in expectations):
        return "every prompt has the same value"
    telling = ", ".join(e["label"] for e in expectations if e["status"] == change)
    return {
        "same": "the differences lie within their margins",
        "drifted": f"beyond the margin: {telling}",
        "unsure": f"neither shown within the margin nor shown to have changed: {telling}",
    }[change]


def _missing(claim: Json, accepted: Json | None) -> Json:
    return {
        "id": claim["id"],
        "statement": claim["statement"],
        "model": claim["model"] and claim["model"]["name"],
        "verdict": claim["verdict"],
        "accepted": _acceptance(accepted) if is_accepted(accepted, None) else None,
    }


def _acceptance(entry: Json | None) -> Json | None:
    return entry and {"why": entry["why"], "on": entry["on"]}
