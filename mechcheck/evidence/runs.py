"""Runs as they lie on disk: evidence with the samples beside it, read to be compared."""

import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import outgoing
from mechcheck.evidence.store import FILE, SAMPLES, SCHEMA, read_json, schema, slug
from mechcheck.evidence.upgrade import EARLIER, upgraded

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement

Json = dict[str, Any]
_SAMPLES = re.compile(rf"{SAMPLES}(/[\w-]+)?")


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
            value = expectation["estimate"]["value"]
            if value is not None and not math.isclose(measured.mean, value, rel_tol=1e-6, abs_tol=1e-9):
                raise MechcheckError(
                    f"its samples are of another run than the evidence: {expectation['label']} was estimated as "
                    f"{value:.6g}, the samples' mean is {measured.mean:.6g} ({path})"
                )
        return found


def read_evidence(path: Path) -> Json:
    """The content of an evidence file; a directory stands for the evidence.json in it. One of schema 1 is brought up to this version's.

    Raises:
        MechcheckError: there is none, or it is no evidence of a version that is known.
    """
    if path.is_dir():
        path = path / FILE
    try:
        evidence = outgoing(read_json(path))  # it may come from anywhere, and is shown
        found = evidence["run"]["schema"]
    except FileNotFoundError:
        raise MechcheckError(f"no evidence at {path}; run `pytest claims` first, or name the file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise MechcheckError(f"{path} is not an evidence file of mechcheck ({type(error).__name__}: {error})") from error
    if found == SCHEMA:
        return evidence
    if found != EARLIER:
        raise MechcheckError(f"{path} has schema {found!r}, this version reads {SCHEMA!r} and {EARLIER!r}")
    try:
        return upgraded(evidence, SCHEMA)
    except (KeyError, TypeError, AttributeError) as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, error: Exception) -> MechcheckError:
    return MechcheckError(f"{path} is not whole: {type(error).__name__}: {error}")


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
        raise _not_whole(path, error) from error
    if lacking:
        raise MechcheckError(f"{path} is not whole: it lacks {', '.join(lacking)}; make it again with `pytest claims`")
    named = evidence["run"].get("samples", SAMPLES)
    if not _SAMPLES.fullmatch(str(named)):  # evidence can come from anywhere, and must not say what else is read
        raise MechcheckError(f"{path} names {named!r} as the folder of its samples, which lie in {SAMPLES}/ beside it")
    folder = (path if path.is_dir() else path.parent) / named
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
