"""Runs as they lie on disk: evidence with the samples beside it, read to be compared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import outgoing
from mechcheck.base.reading import is_dir, read_json
from mechcheck.evidence.door import unfit
from mechcheck.evidence.store import FILE, SAMPLES, SCHEMA, slug
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
        from mechcheck.evidence.samples.values import read_values

        path = self.samples / f"{slug(self.recorded_ids.get(claim, claim))}.npz"
        return [sample.measured for sample in read_values(path, self.claims[claim]["expectations"])]


def folder_of(path: Path) -> Path:
    """The folder that evidence, named by its file or by its folder, lies in."""
    return path if is_dir(path) else path.parent


def read_evidence(path: Path) -> Json:
    """The content of an evidence file; a directory stands for the evidence.json in it. One of schema 1 is brought up to this version's.

    Raises:
        MechcheckError: there is none, or it is no evidence of a version that is known.
    """
    if is_dir(path):
        path = path / FILE
    try:
        evidence = outgoing(read_json(path))  # it may come from anywhere, and is shown
    except FileNotFoundError:
        raise MechcheckError(f"no evidence at {path}; run `pytest claims` first, or name the file") from None
    except (OSError, ValueError) as error:
        raise MechcheckError(f"{path} is not an evidence file of mechcheck: {error}") from None
    run = evidence.get("run") if isinstance(evidence, dict) else None
    found = run.get("schema") if isinstance(run, dict) else None
    if found is None:
        raise MechcheckError(f"{path} is not an evidence file of mechcheck: it does not name its schema (run.schema)")
    if found == EARLIER:
        try:
            evidence = upgraded(evidence, SCHEMA)
        except (LookupError, TypeError, AttributeError, ValueError) as error:  # whatever is not as schema 1 had it
            raise MechcheckError(f"{path} is not whole: {type(error).__name__}: {error}; make it again with `pytest claims`") from None
    elif found != SCHEMA:
        raise MechcheckError(f"{path} has schema {found!r:.60}, this version reads {SCHEMA!r} and {EARLIER!r}")
    if problem := unfit(evidence):
        raise MechcheckError(
            f"{path} is not whole: {problem}; make it again with `pytest claims`, or read it with the version that wrote it"
        )
    return evidence


def read_run(path: Path) -> RunRecord:
    """A run that can be compared: evidence in which nothing is lacking, and its samples.

    Raises:
        MechcheckError: no evidence, an evidence file with parts missing, or no samples beside it.
    """
    evidence = read_evidence(path)
    named = evidence["run"].get("samples", SAMPLES)
    if not _SAMPLES.fullmatch(str(named)):  # evidence can come from anywhere, and must not say what else is read
        raise MechcheckError(f"{path} names {named!r} as the folder of its samples, which lie in {SAMPLES}/ beside it")
    folder = folder_of(path) / named
    if not is_dir(folder) and any(claim["expectations"] for claim in evidence["claims"]):
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
