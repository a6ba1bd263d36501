"""Evidence of schema 1, brought up in memory to what this version writes: the one place that knows what schema 1 left out."""

import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

EARLIER = "mechcheck.evidence/1"

_ROUND_BRACKETS_AND_SIGNS = re.compile(r"[()*]|\s+")


def upgraded(evidence: Json, schema: str) -> Json:
    """The same run as `schema` has it.

    Schema 1 has no regions, roles, deciding checks or criteria of circuits, and all its estimates are valid. A region follows from
    the kind of the expectation, but for a rate, which may be claimed to be above or below its threshold: see `_side_of_rate`.

    Raises:
        KeyError, TypeError, AttributeError: it is not whole.
    """
    run = evidence["run"] | {"schema": schema, "upgraded_from": evidence["run"]["schema"], "multiplicity": None}
    return evidence | {"run": run, "claims": [_claim(claim) for claim in evidence["claims"]]}


def in_the_words_of(earlier: Json, now: Json) -> Json:
    """A claim of schema 1 with the labels that its checks have now, where they differ by brackets and signs of products alone.

    What schema 1 called "2 a - b" is called 2 * (a - b) since: that is no other claim.
    """
    old, new = earlier["expectations"], now["expectations"]
    if len(old) != len(new):
        return earlier
    pairs = zip(old, new, strict=True)
    return earlier | {"expectations": [a | {"label": b["label"]} if _bare(a) == _bare(b) else a for a, b in pairs]}


def _bare(expectation: Json) -> list[str]:
    return _ROUND_BRACKETS_AND_SIGNS.sub(" ", expectation["label"]).split()


def _claim(claim: Json) -> Json:
    expectations = [_expectation(e) for e in claim["expectations"]]
    own = (i for i, e in enumerate(expectations) if e["verdict"] == claim["verdict"])
    circuit = claim["circuit"] and claim["circuit"] | {"criteria": {"met": None, "unmet": {}}}
    added = {"expectations": expectations, "deciding": next(own, 0) if expectations else None, "circuit": circuit}
    added |= {"p_adjusted": None}
    if claim["decoys"]:
        runs = [run | {"note": None} for run in claim["decoys"]["runs"]]
        added["decoys"] = claim["decoys"] | {"caveat": None, "runs": runs}
    if claim["drift"]:
        changes = [e | {"difference": _estimate(e["difference"])} for e in claim["drift"]["expectations"]]
        added["drift"] = claim["drift"] | {"expectations": changes}
    return claim | added


def _expectation(expectation: Json) -> Json:
    said = {"role": "claim", "region": _region(expectation), "estimate": _estimate(expectation["estimate"]), "p_refuted": None}
    return expectation | said | {"specificity": []}


def _estimate(estimate: Json) -> Json:
    return estimate | {"valid": True, "caveat": None}


def _region(expectation: Json) -> list[float | None]:
    kind, threshold = expectation["kind"], expectation["threshold"]
    if isinstance(threshold, list):
        return list(threshold)
    above = _side_of_rate(expectation) if kind == "rate" else kind != "below"
    if above is None:
        return [None, None]
    return [threshold, None] if above else [None, threshold]


def _side_of_rate(expectation: Mapping[str, Any]) -> bool | None:
    """Whether a rate was claimed to be above its threshold; None where schema 1 leaves it open.

    - A rate that was decided lies wholly on one side, which is the claimed one where it is supported and the other where it is refuted.
    - The label that schema 1 made by itself ends with the sign and the threshold.
    - Where the measured rate lies above the threshold, the exact p-value of "below" is at least 1/2 (the beta distribution that it is
      the tail of has its median above the measured rate), so that a smaller one is that of "above"; and likewise the other way round.
    """
    threshold, value, verdict, p = expectation["threshold"], expectation["estimate"]["value"], expectation["verdict"], expectation["p"]
    beyond = value > threshold
    if verdict in ("supported", "refuted"):
        return beyond == (verdict == "supported")
    made = re.search(r"^share with .* ([<>]) (\S+)(?: \(\d+\))?$", expectation["label"])
    if made and made[2] == f"{threshold:g}":
        return made[1] == ">"
    if p is not None and p < 0.5 and value != threshold:
        return beyond
    return None
