"""Runs that go wrong: `python benchmarks/soak.py` has claims run under random faults, and counts what was lost or told wrongly.

Each run is of twelve quick claims, in one process or (one run in twelve) in two of pytest-xdist's, into a folder with the evidence of an
earlier run. One to four faults are drawn for it: a signal at a random moment, and things that random claims do.
Afterwards:

- every claim whose verdict the terminal showed is in the run's evidence, or in what `mechcheck recover` makes: else it is *lost*;
- the evidence is called complete if and only if all twelve were decided;
- the earlier evidence, or the new, is whole, and its samples can be read;
- nothing else is left in the report folder or among the temporary files;
- the exit status is 0 for a complete run in which all came out as claimed and whose evidence is where it belongs, and for no other.

Writes benchmarks/results/soak.json. A run in one process takes a fraction of a second, being a fork of one that has the imports behind it.
A full disk and one that becomes read-only are tried where this may mount a small one (as root, on Linux).
"""

import argparse
import gc
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from soaking.judging import judge
from soaking.plans import Plan, draw
from soaking.running import once

from mechcheck.evidence.store import FILE
from mechcheck.report import render

RESULT = Path(__file__).parent / "results" / "soak.json"


def soak(faults: int, seconds: float, seed: int, folder: Path, *, keep: bool = False) -> dict[str, Any]:
    """Run until there were so many faults, or for so long; the totals, by fault."""
    began, totals, wrong, done = time.monotonic(), {"all runs": Counter()}, [], 0
    earlier = folder / "earlier"
    disks = _can_mount(folder)
    first = once(Plan({}, None, 0, 0.0, 0, False, False), folder / "first", _nothing(folder))
    assert first.status == 0, first.output
    shutil.copytree(first.reports, earlier)
    render(json.loads((earlier / FILE).read_text()))  # the page's templates are then compiled in every fork
    gc.collect()
    gc.freeze()
    while totals["all runs"]["faults"] < faults and time.monotonic() - began < seconds:
        rng = random.Random(f"{seed} {done}")
        plan, place = draw(rng, done, disks), folder / f"run{done}"
        try:
            seen = once(plan, place, earlier)
            counts, found = judge(seen, earlier)
        finally:
            if os.path.ismount(place / "reports"):
                subprocess.run(["umount", "-l", place / "reports"], check=True)
        for name in {*plan.faults} or {"none"}:
            totals.setdefault(name, Counter()).update(counts)
        if found:
            wrong.append({"run": done, "plan": plan._asdict(), "status": seen.status, "wrong": found})
            print(json.dumps(wrong[-1]), flush=True)
            if keep:
                (place / "output").write_text(seen.output)
        if not (found and keep):
            shutil.rmtree(place)
        totals["all runs"].update(counts | {"faults": len(plan.faults)})
        done += 1
        if done % 20 == 0:
            print(f"{done} runs, {totals['all runs']['faults']} faults, {time.monotonic() - began:.0f} s, {len(wrong)} wrong", flush=True)
    every = totals.pop("all runs")
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "disks": disks,
        "all": dict(every),
        "by_fault": {name: dict(totals[name]) for name in sorted(totals)},
        "wrong": wrong,
    }


def _nothing(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def _can_mount(folder: Path) -> bool:
    """Whether a small disk can be had."""
    place = folder / "disk"
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "soak", place], check=True, capture_output=True)
        subprocess.run(["umount", place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def warm() -> None:
    """Import what a run needs, so that its forks need not."""
    import importlib

    import mechcheck

    for name in mechcheck.__all__:
        getattr(mechcheck, name)
    for name in (
        "mechcheck.plugin.session",
        "mechcheck.plugin.html",
        "mechcheck.report",
        "mechcheck.verdicts.looks",
        "mechcheck.verdicts.contrast",
        "mechcheck.evidence.used",
        "hypothesis",
        "xdist.dsession",
    ):
        importlib.import_module(name)


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    columns = ("runs", "claims_shown", "recovered", "lost", "wrong_complete", "unreadable", "litter", "wrong_exit")
    lines = ["| fault | " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, counts in (*result["by_fault"].items(), ("all", result["all"])):
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(str(counts.get(column, 0)) for column in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500, help="at least (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs in which something was wrong")
    chosen = parser.parse_args()
    warm()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    result = soak(chosen.faults, chosen.seconds, chosen.seed, folder, keep=chosen.keep)
    if not (chosen.keep and result["wrong"]):
        shutil.rmtree(folder)
    print(table(result))
    chosen.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(bool(result["wrong"]))


if __name__ == "__main__":
    main()
