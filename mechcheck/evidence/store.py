"""The evidence of a run: one record per claim, merged into evidence.json by the process that owns the run."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from mechcheck.base.outgoing import outgoing
from mechcheck.evidence.dtypes import mark_dtypes
from mechcheck.evidence.ledger import remember

SCHEMA = "mechcheck.evidence/2"
FILE = "evidence.json"
SAMPLES = "samples"
RUN_FOLDER = ".run-"
"""What the name of a run's own folder begins with, which is there until all is merged; the run's id is the rest of it."""

Json = dict[str, Any]


def schema() -> dict[str, Any]:
    """The JSON Schema of evidence.json."""
    return json.loads(resources.files("mechcheck").joinpath("evidence.schema.json").read_text(encoding="utf-8"))


def slug(text: str) -> str:
    """A file name made of a claim's id: readable, and unique after shortening."""
    readable = re.sub(r"[^\w.-]+", "-", text).strip("-")[:80]
    return f"{readable}-{sha256(text.encode()).hexdigest()[:8]}"


def texts_file(digest: str) -> str:
    """The name of the file, among a run's samples, that has the texts of a set of prompts."""
    return f"prompts-{digest}.npz"


def write_json(path: Path, content: Any) -> None:
    """Write all or nothing; refuses NaN, which JSON does not have."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    # A lone surrogate, as a path can hold one, becomes its JSON escape.
    write_bytes(path, (text + "\n").encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        # mkstemp makes the file readable by its owner only; evidence is to be read by others too.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def evidence_of(run: Json, claims: Iterable[Json], sentinels: Iterable[Json], ledger: Path) -> Json:
    """The evidence of a run, which is added to the ledger in a folder.

    Args:
        run: about the run as a whole; its `id` names the folder that its samples will lie in.
        claims: their records, in any order.
        sentinels: as the run's processes found them.
        ledger: the folder.
    """
    sorted_claims = sorted(claims, key=lambda c: c["id"])
    found = {(s["model"], s["name"], s["passed"]): s for s in sentinels}
    mark_dtypes(sorted_claims)
    problem = remember(ledger, run, sorted_claims)
    about = {"sentinels": [found[key] for key in sorted(found)], "samples": f"{SAMPLES}/{run['id']}", "ledger_problem": problem}
    return {"run": run | outgoing(about), "claims": sorted_claims}


def publish(evidence: Json, folder: Path, samples: Sequence[Path] = ()) -> None:
    """Put evidence and its samples into a folder, in place of what was there.

    Evidence names the folder of its samples, so until the last step, a single renaming, the earlier evidence and its samples stay as they
    were, and afterwards the new ones are there. All that needs room is the new evidence itself, and it is written before anything else.

    Args:
        evidence: as `evidence_of` makes it.
        folder: where it goes.
        samples: folders whose .npz files belong to this run; they are moved.

    Raises:
        OSError: it could not be put there; the earlier evidence can be read as before.
    """
    staged = folder / f"{RUN_FOLDER}{evidence['run']['id']}"
    write_json(staged / FILE, evidence)
    kept = folder / evidence["run"]["samples"]
    with locked(folder):
        for source in samples:
            if source != kept:
                move_samples(source, kept)
        os.replace(staged / FILE, folder / FILE)
        for earlier in kept.parent.iterdir() if kept.parent.is_dir() else ():
            if earlier != kept:
                remove(earlier)
    with suppress(OSError):
        staged.rmdir()  # where it was made for this alone


def move_samples(source: Path, to: Path) -> None:
    """Move a run's samples from one folder to another, which is made if there are any."""
    for path in sorted(source.glob("*.npz")):
        to.mkdir(parents=True, exist_ok=True)
        shutil.move(path, to / path.name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold off whoever else publishes in this folder; where folders cannot be locked, nobody is held off."""
    handle = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder as far as possible: what cannot be removed is no reason to lose a run."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
