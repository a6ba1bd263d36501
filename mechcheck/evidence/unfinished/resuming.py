"""A run that was interrupted, to be gone on with: what it had decided stays, under its id."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mechcheck.base.reading import read_json
from mechcheck.evidence.leftovers import dead_runs, parts_of
from mechcheck.evidence.multiplicity import undone_text
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.store import FILE, RUN_FOLDER, slug

Json = dict[str, Any]
# What the merging of a run says of a claim, and will say anew.
_MERGED = {"p_adjusted": None, "drift": None}


class Interrupted(NamedTuple):
    """What is known of such a run."""

    parts: Parts
    run: Json
    """About the run as a whole."""
    records: dict[str, Json]
    """Claim id -> record, of the claims that were decided."""
    sentinels: list[Json]
    """That are in its evidence, and nowhere else."""
    roster: dict[str, Json] | None
    """The records of all its claims, by node id; None where only its evidence is left."""

    @property
    def text(self) -> str:
        """For whoever resumes it."""
        n = len(self.records)
        return f"resuming the run of {self.run['created']}, which had decided {n} claim{'s' * (n != 1)}"

    def lay_out(self) -> None:
        """Put what is in its evidence where a run's processes leave such things."""
        there = self.parts.left().decided
        files: dict[str, Any] = {
            f"claims/{slug(record['nodeid'])}.json": {"state": "decided", "record": record}
            for name, record in self.records.items()
            if name not in there
        }
        files |= {"sentinels/resumed.json": self.sentinels} if self.sentinels else {}
        self.parts.take({name: zlib.compress(json.dumps(content).encode()) for name, content in files.items()})

    def leave(self) -> None:
        """Have everything as it was before this run began in the same folder."""
        if self.roster is None:
            self.parts.remove()
        else:
            self.parts.save_roster(self.roster, keep=False)


def interrupted_run(report: Path) -> Interrupted | None:
    """The latest run in a report folder that was stopped or killed before all was decided; None where there is none."""
    evidence = _incomplete(report / FILE)
    dead = dead_runs(report)
    if dead and (about := dead[0].parts.about()) is not None:
        parts = dead[0].parts
        left, roster = parts.left(), parts.roster() or {}
        records = {name: record for name, record in left.records.items() if name in left.decided}
        if evidence is not None and evidence["run"]["id"] == parts.run:  # it had been resumed before
            return Interrupted(parts, about["run"], _decided(evidence) | records, evidence["run"]["sentinels"], roster)
        return Interrupted(parts, about["run"], records, [], roster)
    if evidence is None:
        return None
    run = evidence["run"]
    return Interrupted(parts_of(report / f"{RUN_FOLDER}{run['id']}"), run, _decided(evidence), run["sentinels"], None)


def _incomplete(file: Path) -> Json | None:
    try:
        evidence: Json = read_json(file)
        return evidence if evidence["run"]["complete"] is False and evidence["run"]["id"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _decided(evidence: Json) -> dict[str, Json]:
    """The records of evidence as they were before claims were judged together; one that this undid is decided again."""
    undecided = set(evidence["run"]["undecided"])
    found = {}
    for claim in evidence["claims"]:
        if claim["id"] in undecided or undone_text(claim) is not None:
            continue
        alone = {name: value for name, value in claim.items() if name != "tries"} | _MERGED
        found[claim["id"]] = alone | {"expectations": [e | {"p_adjusted": None} for e in claim["expectations"]]}
    return found


def differences(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """What of a run's `inputs` is another, in words; `before` is None where that run did not say."""
    if before is None:
        return ["it does not say what it was made from"]
    found = []
    for kind, noun in (("options", "option"), ("versions", "version of"), ("files", "file")):
        was, is_ = before.get(kind, {}), now.get(kind, {})
        for name in sorted(was.keys() | is_.keys()):
            if was.get(name) != is_.get(name):
                change = "has changed" if kind == "files" else f"was {was.get(name)}, is {is_.get(name)}"
                found.append(f"{noun} {name} {change}")
    return found
