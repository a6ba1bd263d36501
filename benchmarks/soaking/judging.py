"""What became of a run, against what its terminal showed."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import jsonschema

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.leftovers import dead_runs, recover
from mechcheck.evidence.runs import RunRecord, read_run
from mechcheck.evidence.store import FILE, schema
from soaking.plans import IDS
from soaking.running import Seen


def judge(seen: Seen, earlier: Path) -> tuple[dict[str, Any], list[str]]:
    """Counts, and what was wrong."""
    wrong: list[str] = []
    where = re.search(r"could not be written to \S+ \(.*\): it is in (\S+)", seen.output)
    place = Path(where[1]) if where else seen.reports
    (seen.reports / "ballast").unlink(missing_ok=True)
    before = read_run(earlier).run["id"]
    new = _evidence(place, wrong)
    if new is not None and new.run["id"] == before:
        new = None
    recovered, direct = False, new is not None
    if new is None:
        tempfile.tempdir = str(seen.temporary)
        try:
            (folder, *more) = recover(seen.reports)
            new, recovered = _evidence(folder, wrong), True
            wrong += [f"two runs to recover: {more}"] * bool(more)
        except MechcheckError as error:
            if "nothing to recover" not in str(error) and "there is no folder" not in str(error):
                wrong.append(f"recover: {error}")
        finally:
            tempfile.tempdir = None
    verdicts = {} if new is None else {name: claim["verdict"] for name, claim in new.claims.items()}
    words = {"failed": ("errored", "refuted"), "passed": ("supported",)}
    lost = [
        f"{name} was shown as {word}, and is {verdicts.get(name)}"
        for name, word in seen.shown.items()
        if verdicts.get(name)
        not in (*words.get(word, (word,)), "errored" if word != "failed" and "crashed while running" in seen.output else "")
    ]
    complete = new is not None and new.run["complete"]
    false_complete = []
    if new is not None:
        decided = IDS - set(new.run["undecided"])
        if complete and set(verdicts) != IDS:
            false_complete.append(f"complete without {sorted(IDS - set(verdicts))}")
        if complete and set(seen.shown) != IDS:
            false_complete.append(f"complete, and the terminal did not show {sorted(IDS - set(seen.shown))}")
        if direct and not complete and set(seen.shown) == IDS:
            false_complete.append("all were shown, and it is not complete")
        if not direct and complete:
            false_complete.append("recovered, and complete")
        if direct and not set(seen.shown) <= decided:
            false_complete.append(f"shown and called undecided: {sorted(set(seen.shown) - decided)}")
    litter = _litter(seen, place)
    fine = direct and complete and place == seen.reports and all(verdict == "supported" for verdict in verdicts.values())
    fine = fine and not re.search("the page could not be written", seen.output)
    status = []
    if (seen.status == 0) != fine and not (fine and seen.status in (129, 130, 143, 2, -2, -15, -1, -9)):
        status.append(f"exit status {seen.status}, and all is {'well' if fine else 'not well'}")
    counts = {
        "runs": 1, "claims_shown": len(seen.shown), "recovered": int(recovered), "lost": len(lost), "wrong_complete": len(false_complete),
        "litter": len(litter), "wrong_exit": len(status), "unreadable": len(wrong),
    }  # fmt: skip
    return counts, [*wrong, *lost, *false_complete, *litter, *status]


def _evidence(folder: Path, wrong: list[str]) -> RunRecord | None:
    """The evidence in a folder, if it is whole; each claim's samples are read."""
    if not (folder / FILE).exists():
        return None
    try:
        jsonschema.validate(json.loads((folder / FILE).read_text()), schema())
        found = read_run(folder)
        for name, claim in found.claims.items():
            if claim["expectations"]:
                found.measurements(name)
    except (MechcheckError, ValueError, jsonschema.ValidationError) as error:
        wrong.append(f"{folder}: {error}")
        return None
    return found


def _litter(seen: Seen, place: Path) -> list[str]:
    """What nobody needs, and the next run would not clear."""
    tempfile.tempdir = str(seen.temporary)
    try:
        if seen.reports.is_dir():
            dead_runs(seen.reports)  # as the next run does first
    finally:
        tempfile.tempdir = None
    allowed = re.compile(r"evidence\.json|index\.html|ledger\.jsonl|samples|recovered-\w+")
    found = [str(path) for path in (seen.reports.iterdir() if seen.reports.is_dir() else ()) if not allowed.fullmatch(path.name)]
    found += [str(path) for path in seen.temporary.iterdir() if path != place and path.name.startswith("mechcheck-")]
    if seen.reports.is_dir():
        for folder in (seen.reports, *seen.reports.glob("recovered-*")):
            found += [str(path) for path in folder.rglob("*.tmp")]
    return [f"left behind: {path}" for path in found]
