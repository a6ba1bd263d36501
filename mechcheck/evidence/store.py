"""The evidence of a run: one record per claim, merged into evidence.json by the process that owns the run."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from mechcheck.base.reading import read_json
from mechcheck.evidence.dtypes import mark_dtypes
from mechcheck.evidence.ledger import remember

SCHEMA = "mechcheck.evidence/2"
FILE = "evidence.json"


def schema() -> dict[str, Any]:
    """The JSON Schema of evidence.json."""
    return json.loads(resources.files("mechcheck").joinpath("evidence.schema.json").read_text(encoding="utf-8"))


def slug(text: str) -> str:
    """A file name made of a claim's id: readable, and unique after shortening."""
    readable = re.sub(r"[^\w.-]+", "-", text).strip("-")[:80]
    return f"{readable}-{sha256(text.encode()).hexdigest()[:8]}"


def write_json(path: Path, content: Any) -> None:
    """Write all or nothing; refuses NaN, which JSON does not have."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        # A lone surrogate, as a path can hold one, becomes its JSON escape.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text + "\n")
        # mkstemp makes the file readable by its owner only; evidence is to be read by others too.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def merge(parts: Path, report: Path, run: dict[str, Any], records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge the claims' records into `report`/evidence.json, with what else lies under `parts`; samples and tries go beside it."""
    claims = sorted(records, key=lambda c: c["id"])
    sentinels = {(s["model"], s["name"], s["passed"]): s for p in (parts / "sentinels").glob("*.json") for s in read_json(p)}
    mark_dtypes(claims)
    about = {"sentinels": [sentinels[key] for key in sorted(sentinels)], "ledger_problem": remember(report, run, claims)}
    evidence = {"run": run | about, "claims": claims}
    samples, fresh = report / "samples", parts / "samples"
    if samples.is_dir():
        shutil.rmtree(samples)
    if fresh.is_dir():
        shutil.move(fresh, samples)
    write_json(report / FILE, evidence)
    shutil.rmtree(parts)
    return evidence
