"""What a claim says on one line, and what claims are ordered by: no HTML here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.drawing.numbers import MISSING, estimate_text

Json = dict[str, Any]

KINDS = ("behaviour", "structure", "necessity", "sufficiency", "specificity", "generalisation")
VERDICTS = ("supported", "refuted", "inconclusive", "vacuous", "not_applicable", "errored", "skipped", "method_dependent")
SYMBOLS = {
    "supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "∅", "not_applicable": "∘", "errored": "!", "skipped": "–",
    "method_dependent": "≠",
}  # fmt: skip
# Of a single check, which is more than a claim can be.
OUTCOME_SYMBOLS = SYMBOLS | {"undefined": "∘"}
# What asks for attention comes first.
_URGENCY = ("errored", "vacuous", "refuted", "method_dependent", "supported", "not_applicable", "inconclusive")


def names_at(at: int, positions: Mapping[str, int], spans: Mapping[str, Sequence[int]]) -> str:
    """The named positions and spans that a token stands at."""
    return " ".join([*(name for name, place in positions.items() if place == at), *(name for name, some in spans.items() if at in some)])


class Region(NamedTuple):
    """The claimed side of the threshold: an open end is None; both are where the record does not say which side is claimed."""

    low: float | None
    high: float | None

    @property
    def edges(self) -> tuple[float, ...]:
        """The thresholds themselves."""
        return tuple(e for e in self if e is not None)


def region(expectation: Json) -> Region:
    """Where the effect must lie for the expectation to hold, as the evidence says it: nothing else knows the direction."""
    return Region(*expectation["region"])


def edges(expectation: Json) -> tuple[float, ...]:
    """The ends of what is claimed; where nobody knows on which side of the threshold that is, the threshold."""
    return region(expectation).edges or (expectation["threshold"],)


def word(verdict: str) -> str:
    """A verdict as a reader is told it."""
    return verdict.replace("method_", "method-").replace("_", " ")


def headline(claim: Json) -> Json | None:
    """The expectation that decided the verdict."""
    return None if claim["deciding"] is None else claim["expectations"][claim["deciding"]]


def check_name(claim: Json) -> str:
    """The deciding check by its label, behind its place where there are several: "check 2 of 3: label"; "" where nothing was measured."""
    deciding = headline(claim)
    return "" if deciding is None else f"{check_place(claim, claim['deciding'])}{deciding['label']}"


def check_place(claim: Json, place: int) -> str:
    """Which of several checks one is: "check 2 of 3: "; nothing where it is the only one."""
    checks = claim["expectations"]
    needed = ", a precondition" if checks[place]["role"] == "precondition" else ""
    return f"check {place + 1} of {len(checks)}{needed}: " if len(checks) > 1 else ""


def counterexamples(claim: Json, expectation: Json) -> list[Json]:
    """The counterexamples that refute one of a claim's expectations."""
    return [found for found in claim["counterexamples"] if found["expectation"] == expectation["label"]]


def verdict_note(claim: Json) -> str:
    """What to add to the verdict where it is not read as it stands: an expected refutation, an unexpected support, one by all methods."""
    if claim["expect"] == "supported":
        return "robust" if "grid" in claim and claim["verdict"] == "supported" else ""
    return "as expected" if claim["verdict"] == claim["expect"] else f"expected {word(claim['expect'])}"


def verdict_text(claim: Json) -> str:
    """The verdict in words, e.g. "refuted, as expected"."""
    note = verdict_note(claim)
    return f"{word(claim['verdict'])}, {note}" if note else word(claim["verdict"])


def rank(claim: Json) -> int:
    """Order of attention: what did not come out as claimed, then what did, then what was not run."""
    if claim["met"] is None:
        return len(_URGENCY) + 1
    if claim["met"]:
        return len(_URGENCY)
    return _URGENCY.index(claim["verdict"]) if claim["verdict"] in _URGENCY else 0


def model_name(claim: Json) -> str:
    """The model's name, or those of its grid's models; nothing when the claim never had one."""
    axis = claim.get("grid", {}).get("axes", {}).get("models")
    return ", ".join(axis) if axis else claim["model"]["name"] if claim["model"] else ""


class Row(NamedTuple):
    """A claim's numbers as they stand in a table; `value`, `low` and `size` are what they sort by."""

    verdict: str
    effect: str
    unit: str
    interval: str
    level: float | None
    n: str
    value: float | None
    low: float | None
    size: int | None
    check: str
    """Which check decided, where there are several."""


def row(claim: Json) -> Row:
    """The line of a claim, from the expectation that decided it."""
    deciding = headline(claim)
    if deciding is None:
        return Row(verdict_text(claim), MISSING, "", MISSING, None, MISSING, None, None, None, "")
    e, check = deciding["estimate"], check_name(claim) if len(claim["expectations"]) > 1 else ""
    if deciding["kind"] == "for_all":
        said = "none found" if e["value"] else "counterexample"
        return Row(verdict_text(claim), said, "", MISSING, None, f"{e['n']:,}", e["value"], e["low"], e["n"], check)
    value, interval = estimate_text(e["value"], e["low"], e["high"], edges(deciding))
    n = f"{e['n']:,}" if e["clusters"] == e["n"] else f"{e['n']:,} ({e['clusters']:,})"
    level = None if interval == MISSING else e["level"]
    return Row(verdict_text(claim), value, deciding["unit"], interval, level, n, e["value"], e["low"], e["n"], check)


class Decoys(NamedTuple):
    """How many decoys did what they should: be rejected, or, for a claim expected to be refuted, come out supported."""

    good: int
    n: int
    word: str
    """What the good ones are: "rejected", or a "positive control"."""


def decoys(claim: Json) -> Decoys | None:
    """The tally of the decoy runs; None when there were none."""
    runs = claim["decoys"]
    if not runs or not runs["n"]:
        return None
    if claim["expect"] == "refuted":
        return Decoys(runs["supported"], runs["n"], "positive controls" if runs["n"] > 1 else "positive control")
    return Decoys(runs["rejected"], runs["n"], "rejected")


# What has changed comes first.
_DRIFTS = ("flipped", "drifted", "missing", "incomparable", "unsure", "new", "same")


def drift_rank(claim: Json) -> int:
    """Order of attention among claims that were compared with a baseline; accepted changes stand after those that were not."""
    drift = claim["drift"]
    status = drift["status"]
    return (_DRIFTS.index(status) if status in _DRIFTS else 0) + len(_DRIFTS) * bool(drift["accepted"])


def contrast_values(claim: Json) -> list[list[float | None]]:
    """What each decoy (or positive control) gave for each expectation, in the order of the claim's expectations.

    An expectation whose label names its sites is called otherwise on a decoy: it is known by its place then.
    """
    labels = [e["label"] for e in claim["expectations"]]
    rows = []
    for run in claim["decoys"]["runs"] if claim["decoys"] else []:
        given = run["values"]
        placed = list(given.values()) if len(given) == len(labels) else [None] * len(labels)
        rows.append([given.get(label, value) for label, value in zip(labels, placed, strict=True)])
    return rows


def labelled(claim: Json, rows: Sequence[Sequence[float | None]], place: int) -> list[tuple[str, float]]:
    """Label and value of each decoy that gave the expectation at that place a value."""
    runs = claim["decoys"]["runs"] if claim["decoys"] else []
    return [(run["label"], value) for run, values in zip(runs, rows, strict=True) if (value := values[place]) is not None]
