"""Runs as they lie on disk: evidence with the samples beside it, read to be compared, and the changes that someone accepted."""

import json
import math
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.store import FILE, SCHEMA, read_json, schema, slug, write_json

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement

Json = dict[str, Any]
Status = Literal["same", "drifted", "unsure", "flipped", "new", "missing", "incomparable"]

CHANGES: tuple[str, ...] = tuple(status for status in get_args(Status) if status != "same")
SAMPLES = "samples"
ACCEPTED_FILE = "accepted.json"
ACCEPTED_SCHEMA = "mechcheck.accepted/1"
_ENTRY = ("id", "statement", "why", "on", "verdict", "expectations")


@dataclass(frozen=True)
class RunRecord:
    """A run's evidence, and where the values of its prompts lie."""

    run: Json
    claims: Mapping[str, Json]
    """By claim id."""
    samples: Path
    file: str = ""
    """As the user named it."""
    recorded_ids: Mapping[str, str] = field(default_factory=dict)
    """Claim id -> the id its samples were written under, where a model was renamed."""

    def measurements(self, claim: str) -> list["Measurement"]:
        """The measurement behind each of a claim's expectations, in their order.

        Raises:
            MechcheckError: they are not there, not readable, or not those that the evidence was made from.
        """
        import numpy as np

        from mechcheck.stats.measurement import Measurement

        path = self.samples / f"{slug(self.recorded_ids.get(claim, claim))}.npz"
        expectations = self.claims[claim]["expectations"]
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = [
                    Measurement(
                        stored[f"values_{i}"],
                        tuple(stored[f"ids_{i}"].tolist()),
                        tuple(stored[f"templates_{i}"].tolist()),
                        denominator=stored.get(f"denominator_{i}"),
                    )
                    for i in range(len(expectations))
                ]
        except FileNotFoundError:
            raise MechcheckError(f"its samples are not beside the evidence (no {path})") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise MechcheckError(f"its samples cannot be read ({path}: {type(error).__name__}: {error})") from error
        for measured, expectation in zip(found, expectations, strict=True):
            if not math.isclose(measured.mean, expectation["estimate"]["value"], rel_tol=1e-6, abs_tol=1e-9):
                raise MechcheckError(
                    f"its samples are of another run than the evidence: {expectation['label']} was estimated as "
                    f"{expectation['estimate']['value']:.6g}, the samples' mean is {measured.mean:.6g} ({path})"
                )
        return found


def read_evidence(path: Path) -> Json:
    """The content of an evidence file; a directory stands for the evidence.json in it.

    Raises:
        MechcheckError: there is none, or it is no evidence of this version.
    """
    if path.is_dir():
        path = path / FILE
    try:
        evidence = read_json(path)
        found = evidence["run"]["schema"]
    except FileNotFoundError:
        raise MechcheckError(f"no evidence at {path}; run `pytest claims` first, or name the file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise MechcheckError(f"{path} is not an evidence file of mechcheck ({type(error).__name__}: {error})") from error
    if found != SCHEMA:
        raise MechcheckError(f"{path} has schema {found!r}, this version reads {SCHEMA!r}")
    return evidence


def read_run(path: Path) -> RunRecord:
    """A run that can be compared: evidence in which nothing is lacking, and its samples.

    Raises:
        MechcheckError: no evidence, an evidence file with parts missing, or no samples beside it.
    """
    evidence = read_evidence(path)
    required = {kind: schema()["$defs"][kind]["required"] for kind in ("run", "claim", "expectation")}
    try:
        parts = [("run", evidence["run"]), *(("claim", claim) for claim in evidence["claims"])]
        parts += [("expectation", e) for claim in evidence["claims"] for e in claim["expectations"]]
        lacking = sorted({f"{kind}.{key}" for kind, part in parts for key in required[kind] if key not in part})
    except (KeyError, TypeError) as error:
        raise MechcheckError(f"{path} is not whole: {type(error).__name__}: {error}") from error
    if lacking:
        raise MechcheckError(f"{path} is not whole: it lacks {', '.join(lacking)}; make it again with `pytest claims`")
    folder = (path if path.is_dir() else path.parent) / SAMPLES
    if not folder.is_dir() and any(claim["expectations"] for claim in evidence["claims"]):
        raise MechcheckError(
            f"{path} has no samples beside it ({folder}), and runs are compared prompt by prompt; "
            "keep evidence.json and its samples/ together"
        )
    return RunRecord(evidence["run"], {claim["id"]: claim for claim in evidence["claims"]}, folder, str(path))


def read_baseline(path: Path) -> RunRecord:
    """A run to compare others with.

    Raises:
        MechcheckError: as `read_run` does, or the run was interrupted.
    """
    record = read_run(path)
    if record.run["complete"] is not True:
        raise MechcheckError(
            f"{path} is of a run that was interrupted, so claims are absent from it that were never run: "
            "it is no baseline; run `pytest claims` to the end and take that"
        )
    return record


def renamed(record: RunRecord, old: str, new: str) -> RunRecord:
    """The same run with a model under another name, as when a new checkpoint has a name of its own.

    Raises:
        MechcheckError: no claim is about such a model.
    """
    ids: dict[str, str] = {}
    claims: dict[str, Json] = {}
    for name, claim in record.claims.items():
        if claim["model"] and claim["model"]["name"] == old:
            stem, bracket, parameters = name.partition("[")
            renamed_id = stem + bracket + parameters.replace(old, new, 1)
            ids[renamed_id] = record.recorded_ids.get(name, name)
            claims[renamed_id] = claim | {"id": renamed_id, "model": claim["model"] | {"name": new}}
        else:
            claims[name] = claim
    if not ids:
        known = sorted({claim["model"]["name"] for claim in record.claims.values() if claim["model"]})
        raise MechcheckError(f"no claim in {record.file} is about {old!r}; its models: {', '.join(known) or 'none'}")
    return replace(record, claims=claims, recorded_ids={**record.recorded_ids, **ids})


def accepted_path(baseline: Path) -> Path:
    """Where the accepted changes of a baseline are kept: beside it."""
    return (baseline if baseline.is_dir() else baseline.parent) / ACCEPTED_FILE


def read_accepted(baseline: Path) -> dict[str, Json]:
    """Claim id -> the change that was accepted; none where there is no such file.

    Raises:
        MechcheckError: the file is not one of accepted changes.
    """
    path = accepted_path(baseline)
    try:
        content = read_json(path)
        if content["schema"] != ACCEPTED_SCHEMA:
            raise MechcheckError(f"{path} has schema {content['schema']!r}, this version reads {ACCEPTED_SCHEMA!r}")
        return {entry["id"]: {key: entry[key] for key in _ENTRY} for entry in content["accepted"]}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise MechcheckError(f"{path} is not a file of accepted changes ({type(error).__name__}: {error})") from error


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
            {"label": e["label"], "threshold": e["threshold"], "value": e["estimate"]["value"], "margin": margins[e["label"]]}
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
        (a["label"], a["threshold"]) == (e["label"], e["threshold"]) and abs(a["value"] - e["estimate"]["value"]) <= a["margin"]
        for a, e in zip(entry["expectations"], now["expectations"], strict=True)
    )


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
