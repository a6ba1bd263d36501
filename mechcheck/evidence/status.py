"""What can have become of a claim since a baseline, in a word, and which of these words fail a run."""

from collections.abc import Collection
from typing import Literal, get_args

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.runs import Json

Status = Literal["same", "drifted", "unsure", "flipped", "new", "missing", "incomparable"]

CHANGES: tuple[str, ...] = tuple(status for status in get_args(Status) if status != "same")


def failing_changes(evidence: Json, fail_on: Collection[str]) -> list[str]:
    """The changes that fail the run: claim ids, each with its word; accepted changes do not."""
    found = [(claim["id"], claim["drift"]["status"], claim["drift"]["accepted"]) for claim in evidence["claims"] if claim["drift"]]
    found += [(claim["id"], "missing", claim["accepted"]) for claim in (evidence["run"].get("baseline") or {"missing": []})["missing"]]
    return [f"{name} ({status})" for name, status, accepted in found if status in fail_on and accepted is None]


def words_among(text: str, allowed: Collection[str]) -> frozenset[str]:
    """A comma-separated list of verdicts or changes.

    Raises:
        MechcheckError: a word that is none.
    """
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := sorted(words - set(allowed)):
        raise MechcheckError(f"unknown {', '.join(map(repr, unknown))}; choose among {', '.join(allowed)}")
    return words
