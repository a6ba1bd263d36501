"""What has been shown circuit by circuit: a card for each task and model, with the claims by kind of evidence."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mechcheck.report._claims import KINDS, model_name
from mechcheck.report._tally import outcome

Json = dict[str, Any]


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
    came = outcome(claims)
    return Shown(kind, claims, came.state, came.text if claims else "no claim")


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
