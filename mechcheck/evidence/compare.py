"""Comparing two runs claim by claim: same, drifted, unsure, flipped, new, missing, or incomparable."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.evidence.baseline import Json, RunRecord, Status, is_accepted
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
from mechcheck.stats.estimates import Estimate

_PROVENANCE = ("name", "revision", "weights_sha256", "processing", "dtype", "device")
_RUN = ("commit", "dirty", "seed", "profile", "confidence", "device")


class Comparison(NamedTuple):
    """What has changed since a baseline."""

    drift: dict[str, Json]
    """Claim id -> its `drift`, as the evidence schema has it, for the claims that were run now or in the baseline."""
    baseline: Json
    """The run's `baseline`, as the evidence schema has it: counts, missing claims, what changed around the claims."""


@dataclass(frozen=True)
class _Draft:
    """A claim of both runs before its p-values are adjusted."""

    status: Status | None
    """None where the differences decide."""
    reason: str
    verdict_before: str | None
    changed: list[Json] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def compare(before: RunRecord, after: RunRecord, *, fraction: float = MARGIN, accepted: Mapping[str, Json] | None = None) -> Comparison:
    """Compare each claim of `after` with its namesake in `before`.

    - **same**: each expectation's difference is shown to lie within its margin; **drifted**: one is significant (false discovery
      rate over claims) and beyond it; **unsure**: neither was shown. See `_drift`.
    - **flipped**: another verdict than before, whatever the differences say; they are told beside it.
    - **new**, **missing**: measured in one of the runs only. A claim is missing only where the second run asked for it.
    - **incomparable**: it says or demands something else, or was measured on other prompts, or not at all.

    Other weights, dtypes, circuits and versions are what a drift is looked for in: they are listed as changed, and compared.
    """
    accepted = accepted or {}
    drafts = {name: draft for name in after.claims if (draft := _draft(before, after, name)) is not None}
    adjusted = adjust_by_claim([[d.p for d in draft.differences] for draft in drafts.values()])
    drift = {
        name: _drift(draft, after.claims[name], p_adjusted, fraction, accepted.get(name))
        for (name, draft), p_adjusted in zip(drafts.items(), adjusted, strict=True)
    }
    judged, not_judged = _gone(before, after)
    missing = [_missing(claim, accepted.get(claim["id"])) for claim in judged]
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
        "changed": list(_changed_run(before.run, after.run)),
        "missing": missing,
        "not_judged": not_judged,
    }
    return Comparison(drift, summary)


def _draft(before: RunRecord, after: RunRecord, name: str) -> _Draft | None:
    """What can be said before adjusting; None for a claim that was skipped in both runs, or is new and skipped."""
    claim, earlier = after.claims[name], before.claims.get(name)
    if earlier is not None and earlier["verdict"] == "skipped":
        earlier = None
    if claim["verdict"] == "skipped":
        return None if earlier is None else _Draft("missing", f"skipped in this run: {claim['reason']}", earlier["verdict"])
    if earlier is None:
        return _Draft("new", "the baseline has no such measurement", None)
    verdicts, changed = (earlier["verdict"], claim["verdict"]), list(_changed_claim(earlier, claim))
    turned = f"{verdicts[0]} -> {verdicts[1]}" if verdicts[0] != verdicts[1] else ""
    if verdicts == ("errored", "errored"):
        return _Draft("incomparable", "errored in both runs: nothing was measured", verdicts[0], changed)
    if "errored" in verdicts:
        return _Draft("flipped", turned, verdicts[0], changed)
    if other := _other_claim(earlier, claim):
        return _Draft("incomparable", f"it is another claim now: {other}{turned and f' ({turned})'}", verdicts[0], changed)
    try:
        differences = list(_differences(before, after, name))
    except (MechcheckError, NonFiniteError) as error:
        if turned and _on_the_same_prompts(earlier, claim):
            return _Draft("flipped", f"{turned}; {error}", verdicts[0], changed)
        return _Draft("incomparable", f"{error}{turned and f' ({turned})'}", verdicts[0], changed)
    return _Draft("flipped" if turned else None, turned, verdicts[0], changed, differences)


def _differences(before: RunRecord, after: RunRecord, name: str) -> Iterator[Difference]:
    confidence = after.run["confidence"]
    pairs = zip(before.measurements(name), after.measurements(name), after.claims[name]["expectations"], strict=True)
    for place, (earlier, now, expectation) in enumerate(pairs):
        if expectation["kind"] == "for_all":
            found = (Estimate(**side.claims[name]["expectations"][place]["estimate"]) for side in (before, after))
            yield difference_of_searches(*found)
            continue
        yield difference(earlier, now, rate=expectation["kind"] == "rate", confidence=confidence)


def _other_claim(earlier: Json, claim: Json) -> str:
    """What the claim says or demands otherwise than it did, or nothing."""
    if earlier["statement"] != claim["statement"]:
        return f"it said {earlier['statement']!r}"
    old, new = earlier["expectations"], claim["expectations"]
    if len(old) != len(new):
        return f"{len(old)} checks -> {len(new)}"
    for a, b in zip(old, new, strict=True):
        for key in ("label", "kind", "threshold", "margin"):
            if a[key] != b[key]:
                return f"{key} {a[key]} -> {b[key]}"
    return ""


def _on_the_same_prompts(earlier: Json, claim: Json) -> bool:
    prompts = [side["prompts"] and side["prompts"]["ids_sha256"] for side in (earlier, claim)]
    return prompts[0] is not None and prompts[0] == prompts[1]


def _drift(draft: _Draft, claim: Json, p_adjusted: list[float | None], fraction: float, accepted: Json | None) -> Json:
    """The claim's `drift`, as the evidence schema has it."""
    expectations = []
    for expectation, found, adjusted in zip(claim["expectations"], draft.differences, p_adjusted, strict=bool(draft.differences)):
        margin = margin_of(found.before, expectation["threshold"], fraction)
        expectations.append(
            {
                "label": expectation["label"],
                "status": judge(found, margin, adjusted),
                "before": found.before,
                "after": found.after,
                "difference": asdict(found.estimate),
                "margin": margin,
                "p": found.p,
                "p_adjusted": adjusted,
            }
        )
    status, reason = draft.status, draft.reason
    if expectations:
        change = combine_changes(e["status"] for e in expectations)
        if status is None:
            status, reason = change, _why(change, expectations)
        else:
            reason += f"; {_why(change, expectations)}"
    known = is_accepted(accepted, claim) and status != "same"
    if accepted and not known and status != "same":
        reason += "; the change that was accepted was another one"
    return {
        "status": status,
        "reason": reason,
        "verdict_before": draft.verdict_before,
        "p_adjusted": min((p for p in p_adjusted if p is not None), default=None),
        "changed": draft.changed,
        "expectations": expectations,
        "accepted": _acceptance(accepted) if known else None,
    }


def _why(change: str, expectations: list[Json]) -> str:
    if all(e["difference"]["low"] == e["difference"]["high"] == 0 for e in expectations):
        return "every prompt has the same value"
    telling = ", ".join(e["label"] for e in expectations if e["status"] == change)
    return {
        "same": "the differences lie within their margins",
        "drifted": f"beyond the margin: {telling}",
        "unsure": f"neither shown within the margin nor shown to have changed: {telling}",
    }[change]


def _gone(before: RunRecord, after: RunRecord) -> tuple[list[Json], Json | None]:
    """Claims of the baseline of which the new run has no record: those it asked for, and how many more there are, and why."""
    gone = [claim for name, claim in before.claims.items() if name not in after.claims and claim["verdict"] != "skipped"]
    selection = after.run.get("selection")
    judged: list[Json] = []
    if not after.run["complete"]:
        why = "the run was interrupted"
    elif selection is None:
        why = "the run does not say which claims it asked for"
    elif selection["narrowed"]:
        why = f"only a part of the claims was run ({selection['narrowed']})"
    else:
        judged = [claim for claim in gone if _asked_for(selection, claim)]
        why = "they lie outside of the paths and models of this run"
    left = len(gone) - len(judged)
    return judged, {"n": left, "why": why} if left else None


def _asked_for(selection: Json, claim: Json) -> bool:
    if selection["models"] and claim["model"] and claim["model"]["name"] not in selection["models"]:
        return False
    return any(_lies_in(claim["nodeid"], path) for path in selection["paths"])


def _lies_in(nodeid: str, path: str) -> bool:
    if path in (".", ""):
        return not nodeid.startswith("../")
    return nodeid == path or any(nodeid.startswith(path + mark) for mark in ("/", "::", "["))


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


def _changed_claim(earlier: Json, claim: Json) -> Iterator[Json]:
    """What the claim was measured on, or with, that is not as it was."""
    yield from _changes("expected verdict", earlier["expect"], claim["expect"])
    old, new = earlier["model"] or {}, claim["model"] or {}
    for key in _PROVENANCE:
        yield from _changes(key, old.get(key), new.get(key))
    old, new = ((side["circuit"] or {"roles": {}})["roles"] for side in (earlier, claim))
    for role in sorted({*old, *new}):
        yield from _changes(f"circuit: {role}", old.get(role), new.get(role))
    yield from _changes("prompts", *(_prompts(side["prompts"]) for side in (earlier, claim)))
    for a, b in zip(earlier["expectations"], claim["expectations"], strict=False):
        if a["control"] and b["control"]:
            yield from _changes(f"controls of {b['label']}", *("; ".join(side["control"]["labels"]) for side in (a, b)))
    old, new = ({found["expectation"]: found["example"] for found in side["counterexamples"]} for side in (earlier, claim))
    for label in sorted({*old, *new}):
        yield from _changes(f"counterexample of {label}", old.get(label), new.get(label))


def _prompts(prompts: Json | None) -> str | None:
    return None if prompts is None else f"{prompts['n']} prompts, sha256 {prompts['ids_sha256']}"


def _changed_run(earlier: Json, run: Json) -> Iterator[Json]:
    for key in _RUN:
        yield from _changes(key, earlier[key], run[key])
    for package in sorted({*earlier["versions"], *run["versions"]}):
        yield from _changes(package, earlier["versions"].get(package), run["versions"].get(package))


def _changes(what: str, before: Any, after: Any) -> Iterable[Json]:
    return [] if before == after else [{"what": what, "before": _text(before), "after": _text(after)}]


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
