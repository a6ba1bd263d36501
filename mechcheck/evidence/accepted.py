"""Changes that someone accepted, kept beside the baseline that they are changes from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mechcheck.base.errors import MechcheckError
from mechcheck.base.json_schema import misfit
from mechcheck.base.reading import is_dir, read_json
from mechcheck.evidence.runs import Json
from mechcheck.evidence.store import write_json
from mechcheck.evidence.upgrade import same_words

ACCEPTED_FILE = "accepted.json"
ACCEPTED_SCHEMA = "mechcheck.accepted/1"
_ENTRY = ("id", "statement", "why", "on", "verdict", "expectations")
_NUMBER = {"type": ["number", "null"]}
_REGION = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_CHECK = {
    "type": "object",
    "required": ["label", "threshold", "value", "margin"],
    "properties": {
        "label": {"type": "string"}, "threshold": {"oneOf": [{"type": "number"}, _REGION]}, "region": _REGION, "value": _NUMBER,
        "margin": {"type": "number"},
    },
}  # fmt: skip
_TEXTS = {name: {"type": "string"} for name in ("id", "statement", "why", "on")}
_SCHEMA = {
    "type": "object",
    "required": ["schema", "accepted"],
    "properties": {
        "accepted": {
            "type": "array",
            "items": {
                "type": "object",
                "required": list(_ENTRY),
                "properties": {**_TEXTS, "verdict": {"type": ["string", "null"]}, "expectations": {"type": "array", "items": _CHECK}},
            },
        }
    },
}


def accepted_path(baseline: Path) -> Path:
    """Where the accepted changes of a baseline are kept: beside it."""
    return (baseline if is_dir(baseline) else baseline.parent) / ACCEPTED_FILE


def read_accepted(baseline: Path) -> dict[str, Json]:
    """Claim id -> the change that was accepted; none where there is no such file.

    Raises:
        MechcheckError: the file is not one of accepted changes.
    """
    path = accepted_path(baseline)
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MechcheckError(f"{path} is not a file of accepted changes: {error}") from None
    said = content.get("schema") if isinstance(content, dict) else None
    if said is not None and said != ACCEPTED_SCHEMA:
        raise MechcheckError(f"{path} has schema {said!r:.60}, this version reads {ACCEPTED_SCHEMA!r}")
    if problem := misfit(content, _SCHEMA):
        raise MechcheckError(f"{path} is not a file of accepted changes: {problem}")
    return {entry["id"]: {key: entry[key] for key in _ENTRY} for entry in content["accepted"]}


def accept(baseline: Path, claim: str, statement: str, why: str, now: Json | None, margins: Mapping[str, float]) -> Path:
    """Record that a claim's change is accepted, in place of what was recorded for it before; returns the file.

    Args:
        baseline: the evidence that the claim changed from.
        claim: its id.
        statement: what it says.
        why: the reason, for whoever reads the file.
        now: its record in the new run; None when it is accepted that there is none.
        margins: expectation's label -> by how much its value may still move and be the accepted one.
    """
    if not why.strip():
        raise MechcheckError('a change is accepted for a reason: --why "..."')
    known = read_accepted(baseline)
    known[claim] = {
        "id": claim,
        "statement": statement,
        "why": why.strip(),
        "on": datetime.now(UTC).date().isoformat(),
        "verdict": now and now["verdict"],
        "expectations": [
            {key: e[key] for key in ("label", "threshold", "region")} | {"value": e["estimate"]["value"], "margin": margins[e["label"]]}
            for e in (now["expectations"] if now else [])
        ],
    }
    path = accepted_path(baseline)
    write_json(path, {"schema": ACCEPTED_SCHEMA, "accepted": [known[name] for name in sorted(known)]})
    return path


def is_accepted(entry: Json | None, now: Json | None) -> bool:
    """Whether an accepted change is the one seen: the same verdict, checks and, within the margin, values.

    So an acceptance does not cover what the claim does later: a change that goes on growing is a change again.
    """
    if entry is None or now is None:
        return entry is not None and entry["verdict"] is None  # it was accepted that the claim is gone
    if (entry["verdict"], entry["statement"]) != (now["verdict"], now["statement"]):
        return False
    return len(entry["expectations"]) == len(now["expectations"]) and all(
        same_words(a["label"], e["label"])
        and (a["threshold"], a.get("region", e["region"])) == (e["threshold"], e["region"])  # regions were not always written down
        and _is_near(a["value"], e["estimate"]["value"], a["margin"])
        for a, e in zip(entry["expectations"], now["expectations"], strict=True)
    )


def _is_near(accepted: float | None, now: float | None, margin: float) -> bool:
    """None is a value that is not defined."""
    return accepted is now if accepted is None or now is None else abs(accepted - now) <= margin
