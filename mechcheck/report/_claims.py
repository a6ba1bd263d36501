"""What a claim says on one line, and how claims are ordered and grouped: no HTML here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.drawing.numbers import MISSING, estimate_text

Json = dict[str, Any]

KINDS = ("behaviour", "structure", "necessity", "sufficiency", "specificity", "generalisation")
VERDICTS = ("supported", "refuted", "inconclusive", "vacuous", "not_applicable", "errored", "skipped")
SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "∅", "not_applicable": "∘", "errored": "!", "skipped": "–"}
# Of a single check, which is more than a claim can be.
OUTCOME_SYMBOLS = SYMBOLS | {"undefined": "∘"}
# What asks for attention comes first.
_URGENCY = ("errored", "vacuous", "refuted", "supported", "not_applicable", "inconclusive")


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
    return verdict.replace("_", " ")


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
    """What to add to the verdict where it is not read as it stands: an expected refutation, an unexpected support."""
    if claim["expect"] == "supported":
        return ""
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
    """The model's name, or nothing when the claim never had one."""
    return claim["model"]["name"] if claim["model"] else ""


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


def decoys(claim: Json) -> Decoys | None:
    """The tally of the decoy runs; None when there were none."""
    runs = claim["decoys"]
    if not runs or not runs["n"]:
        return None
    if claim["expect"] == "refuted":
        return Decoys(runs["supported"], runs["n"], "supported")
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


class Count(NamedTuple):
    """How many claims came out with a verdict, and how many of them were met."""

    verdict: str
    n: int
    met: int


def counts(claims: Iterable[Json]) -> list[Count]:
    """One count per verdict that occurs, in a fixed order."""
    tally = {v: [0, 0] for v in VERDICTS}
    for claim in claims:
        tally[claim["verdict"]][0] += 1
        tally[claim["verdict"]][1] += bool(claim["met"])
    return [Count(v, n, met) for v, (n, met) in tally.items() if n]


class Shown(NamedTuple):
    """The claims of one kind of evidence on a card, and what they come to."""

    kind: str
    claims: list[Json]
    state: str
    text: str


class Card(NamedTuple):
    """A circuit: what has been claimed about one task on one model, by kind of evidence."""

    task: str
    model: str
    circuits: list[Json]
    """Claims of one task may be about several: those of a study, beside those of the phenomenon."""
    kinds: list[Shown]


def _shown(kind: str, claims: list[Json]) -> Shown:
    judged = [c for c in claims if c["met"] is not None]
    met = sum(bool(c["met"]) for c in judged)
    if not claims:
        return Shown(kind, claims, "none", "no claim")
    if not judged:
        return Shown(kind, claims, "none", "not run")
    state = "all" if met == len(judged) else "some" if met else "failed"
    return Shown(kind, claims, state, f"{met} of {len(judged)} as claimed")


def cards(claims: Sequence[Json]) -> list[Card]:
    """One card per task and model, in the order in which they first occur; `unplaced` has the claims that never had a model."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for claim in claims:
        if claim["model"]:
            groups.setdefault((claim["task"] or "", model_name(claim)), []).append(claim)
    result = []
    for (task, model), members in groups.items():
        kinds = [_shown(kind, [c for c in members if c["kind"] == kind]) for kind in KINDS]
        if unclassified := [c for c in members if c["kind"] is None]:
            kinds.append(_shown("no kind given", unclassified))
        result.append(Card(task, model, _different(c["circuit"] for c in members if c["circuit"]), kinds))
    return result


def _different(circuits: Iterable[Json]) -> list[Json]:
    found: list[Json] = []
    for circuit in circuits:
        if circuit not in found:
            found.append(circuit)
    return found


def unplaced(claims: Iterable[Json]) -> list[Json]:
    """Claims that no card shows, because they never had a model."""
    return [c for c in claims if not c["model"]]


class Grid(NamedTuple):
    """The verdicts of one test under each of its arguments (columns) on each model (rows)."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Json | None]]]
    shown: str | None
    """Which check every cell shows ("" where none was measured); None where they show different ones, and each has to say which."""


# A test with more variants than this is better looked at in the list of claims.
_LARGEST_GRID = 160


def grids(claims: Iterable[Json]) -> dict[str, Grid]:
    """Claim id -> the grid of all claims made by the same test; claims that stand alone have none."""
    tests: dict[tuple[str, str], list[Json]] = {}
    for claim in claims:
        tests.setdefault((claim["nodeid"].partition("[")[0], claim["statement"]), []).append(claim)
    return {claim["id"]: grid for members in tests.values() if (grid := _grid(members)) for claim in members}


def _grid(members: Sequence[Json]) -> Grid | None:
    only_methods = all(list(claim["params"]) == ["method"] for claim in members)
    names = {id(c): c["params"]["method"] if only_methods else ", ".join(f"{k}={v}" for k, v in c["params"].items()) for c in members}
    columns, models = list(dict.fromkeys(names.values())), list(dict.fromkeys(map(model_name, members)))
    if len(members) < 2 or len(columns) * len(models) > _LARGEST_GRID:
        return None
    found = {(model_name(claim), names[id(claim)]): claim for claim in members}
    title = "Under each method" if only_methods else "The same test, otherwise" if len(columns) > 1 else "On each model"
    shown = {(check_name(claim), deciding["unit"]) for claim in members if (deciding := headline(claim))}
    common = next(iter(shown))[0] if len(shown) == 1 else None if shown else ""
    return Grid(title, columns, [(model, [found.get((model, column)) for column in columns]) for model in models], common)
