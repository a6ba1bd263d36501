"""What runs that died left in a report folder: found, told, made into evidence, cleared."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.base.reading import read_json
from mechcheck.evidence.multiplicity import judge_run
from mechcheck.evidence.parts import ABOUT, LOCK, Parts, spare_folder
from mechcheck.evidence.store import FILE, RUN_FOLDER, SAMPLES, evidence_of, publish

Json = dict[str, Any]
RECOVERED = "recovered-"
_TOLD = "told"
_QUIET_S = 3600.0
"""Seconds without a change after which a run that nobody can ask whether it is alive is taken for dead."""


class DeadRun(NamedTuple):
    """A run that ended without evidence."""

    parts: Parts
    decided: int
    """Claims of which the verdict is there."""
    told: bool
    """Whether a later run told of it."""

    @property
    def text(self) -> str:
        """For whoever runs claims there again."""
        claims = f"{self.decided} decided claim{'s' * (self.decided != 1)}"
        folder = os.path.relpath(self.parts.folder.parent)
        return f"an earlier run died and left {claims} in {folder}: `mechcheck recover {folder}` makes evidence of them"


def dead_runs(report: Path) -> list[DeadRun]:
    """The runs that died in a report folder, the latest first; what is left of those that decided nothing, or have evidence, is cleared."""
    found = []
    for folder in report.glob(f"{RUN_FOLDER}*"):
        if not folder.is_dir() or folder.is_symlink() or is_alive(folder):
            continue
        parts = parts_of(folder)
        decided = parts.left().decided
        if decided <= _decided_in(report / FILE, parts.run):
            parts.remove()
        else:
            found.append(DeadRun(parts, len(decided), (folder / _TOLD).exists()))
    return sorted(found, key=lambda one: _changed(one.parts.folder), reverse=True)


def parts_of(folder: Path) -> Parts:
    """What lies in a run's folder, and in its spare one."""
    return Parts(folder, spare_folder(folder.name.removeprefix(RUN_FOLDER)))


def tell(run: DeadRun) -> str:
    """The text about it, which is not told for the first time from now on."""
    with suppress(OSError):
        (run.parts.folder / _TOLD).touch()
    return run.text


def is_alive(folder: Path) -> bool:
    """Whether a process of the run that writes to this folder lives."""
    try:
        import fcntl

        with (folder / LOCK).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # no locks here, or none in this folder
        return time.time() - _changed(folder) < _QUIET_S
    return False


def _changed(folder: Path) -> float:
    """When something in a folder changed last."""
    times = [0.0]
    for path in (folder, *folder.glob("*")):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def _decided_in(evidence: Path, run: str) -> frozenset[str]:
    """The claims that a run's evidence has decided; none where the evidence is another's."""
    try:
        found = read_json(evidence)
        undecided = set(found["run"]["undecided"])
        return frozenset(claim["id"] for claim in found["claims"] if found["run"]["id"] == run and claim["id"] not in undecided)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def recover(folder: Path, out: Path | None = None) -> list[Path]:
    """Make evidence of what dead runs left: not complete, with every claim that was decided, and those that were started as errored.

    Args:
        folder: a report folder, or the folder of one run.
        out: where the evidence goes; a folder beside the run's own by default, so that it replaces no evidence.

    Returns:
        The folders with evidence, the latest run first. What it was made of is removed.

    Raises:
        MechcheckError: no run died there; several did, and they cannot all go to one place; a run is alive, or left too little.
    """
    if not folder.is_dir():
        raise MechcheckError(f"there is no folder {folder}; name the one that evidence goes to (--mech-report), or a run's folder in it")
    parts = parts_of(folder)
    if (folder / ABOUT).exists() or parts.left().records:
        if is_alive(folder):
            raise MechcheckError(f"the run of {folder} is still alive, and will write its evidence itself")
        runs = [parts]
    else:
        runs = [run.parts for run in dead_runs(folder)]
    if not runs:
        raise MechcheckError(f"no run that died left claims in {folder}: there is nothing to recover")
    if out is not None and len(runs) > 1:
        names = ", ".join(str(one.folder) for one in runs)
        raise MechcheckError(f"{len(runs)} runs died in {folder}, which cannot all go to {out}: name one of {names}")
    return [_recover(one, out) for one in runs]


def _recover(parts: Parts, out: Path | None) -> Path:
    about, left = parts.about(), parts.left()
    report = parts.folder.parent
    if not isinstance(about, dict) or not left.records:
        raise MechcheckError(f"{parts.folder} says too little to make evidence of it: {ABOUT} or the claims' records cannot be read")
    to = out or report / f"{RECOVERED}{about['run']['id']}"
    roster = [record["id"] for record in (parts.roster() or {}).values()]
    undecided = sorted(({*roster, *left.records}) - left.decided)
    run = about["run"] | {"complete": False, "undecided": undecided, "problems": list(left.problems)}
    records = list(left.records.values())
    run["multiplicity"] = judge_run(records, run["confidence"], about["fdr"])
    evidence = evidence_of(run, records, parts.sentinels(), report)
    try:
        publish(evidence, to, [*parts.samples, report / SAMPLES / run["id"]])
    except OSError as error:
        raise MechcheckError(f"{to} cannot be written ({error.strerror or error}); name another folder with --out") from error
    parts.remove()
    return to
