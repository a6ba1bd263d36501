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
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import psutil
import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.leftovers import dead_runs, recover
from mechcheck.evidence.runs import RunRecord, read_run
from mechcheck.evidence.store import FILE, schema
from mechcheck.report import render

RESULT = Path(__file__).parent / "results" / "soak.json"
N = 12
IDS = {f"test_it[{i}]" for i in range(N)}
CLAIMS = f"""
import ctypes, json, os, resource, shutil, signal, threading, time
from pathlib import Path

import numpy as np
import pytest
from mechcheck import claim
from mechcheck.stats.measurement import Measurement

PLAN = json.loads(os.environ["SOAK_PLAN"])
REPORTS = Path("reports").absolute()

def fill():
    with open(REPORTS / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass

def starve(room):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
    np.ones(room, dtype=np.int64)

def later(seconds, code):
    threading.Timer(seconds, os._exit, [code]).start()

def spoil(how):
    for path in [*REPORTS.glob(".run-*/claims/*.json"), *REPORTS.glob(".run-*/samples/*.npz")]:
        path.unlink()
        how(path)

FAULTS = dict(
    nan=lambda: None,
    exit=lambda: os._exit(3),
    timeout_thread=lambda: (later(0.05, 1), time.sleep(30)),
    kill=lambda: os.kill(os.getpid(), signal.SIGKILL),
    segfault=lambda: ctypes.string_at(0),
    delete=lambda: shutil.rmtree(REPORTS, ignore_errors=True),
    corrupt=lambda: spoil(lambda path: path.write_bytes(b"{{")),
    symlink=lambda: spoil(lambda path: path.symlink_to("/nowhere/at/all")),
    full=fill,
    read_only=lambda: os.system(f"mount -o remount,ro {{REPORTS}}"),
    file_size=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (PLAN["size"], resource.RLIM_INFINITY)),
    memory=lambda: starve(PLAN["size"] * 512),
    hang=lambda: time.sleep(30),
    deaf=lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT]), time.sleep(30)),
    pytest_exit=lambda: pytest.exit("enough", returncode=PLAN["size"] % 2),
    fail=lambda: pytest.fail("no"),
)

@pytest.mark.parametrize("i", range({N}))
@claim("it is so", decoy={{"mean": -1.0}})
def test_it(check, i, mean=1.0):
    time.sleep(0.01)
    name = PLAN["claims"].get(str(i)) if mean > 0 else None
    if name:
        FAULTS[name]()
    values = mean + np.linspace(-0.5, 0.5, 24) * (np.nan if name == "nan" else 1)
    check.above(Measurement(values, tuple(f"p{{k}}" for k in range(24)), tuple(f"t{{k % 8}}" for k in range(24)), "effect", "logits"), 0)
"""
OF_CLAIMS = (
    "nan", "exit", "timeout_thread", "kill", "segfault", "delete", "corrupt", "symlink", "file_size", "memory", "hang", "deaf",
    "pytest_exit", "fail",
)  # fmt: skip
ON_A_DISK = ("full", "read_only")
FROM_OUTSIDE = ("sigint", "sigint_twice", "sigterm", "sighup", "sigkill", "sigkill_worker")
_LEAST = 8000
"""Bytes that files may have at least: a claim's own fits; where nothing does, and the process is killed, nothing could be kept."""
_SHOWN = re.compile(r"\b(SUPPORTED|REFUTED|INCONCLUSIVE|VACUOUS|FAILED|PASSED)\b")
_NAME = re.compile(r"test_claims\.py::(test_it\[\d+\])")


class Plan(NamedTuple):
    """A run, and what goes wrong in it."""

    claims: dict[str, str]
    """Claim -> what happens in it."""
    signal: str | None
    after_claims: int
    """The signal comes when the terminal has shown so many, ..."""
    after_s: float
    """... and then so many seconds have gone by; behind the last claim, evidence is written."""
    size: int
    two_processes: bool
    first_failure_ends: bool

    @property
    def faults(self) -> tuple[str, ...]:
        """Their names."""
        return (*self.claims.values(), *([self.signal] if self.signal else []))


class Seen(NamedTuple):
    """A run that is over."""

    status: int
    output: str
    reports: Path
    temporary: Path

    @property
    def shown(self) -> dict[str, str]:
        """Claim -> the last verdict that the terminal showed of it."""
        found = {}
        for line in self.output.splitlines():
            if " worker " not in line and line.count("::") == 1 and (word := _SHOWN.search(line)) and (name := _NAME.search(line)):
                found[name[1]] = word[1].lower()
        return found


def draw(rng: random.Random, disks: bool) -> Plan:
    """A plan."""
    two = rng.random() < 1 / 12
    known = [*OF_CLAIMS, *(ON_A_DISK if disks else ()), *FROM_OUTSIDE]
    chosen = rng.choices([name for name in known if two or name != "sigkill_worker"], k=rng.choices((1, 2, 3, 4), (4, 3, 2, 1))[0])
    outside = [name for name in chosen if name in FROM_OUTSIDE][:1]
    inside = {str(rng.randrange(N)): name for name in chosen if name not in FROM_OUTSIDE}
    if set(inside.values()) & {"hang", "deaf"} and not outside:
        outside = ["sigterm"]  # as whatever runs jobs does to one that takes too long
    after, seconds = rng.randrange(N + 1), rng.uniform(0, 0.3) * rng.random()
    if set(inside.values()) & {"hang", "deaf"}:
        after = min(after, *(int(i) for i, name in inside.items() if name in ("hang", "deaf")))
    return Plan(inside, outside[0] if outside else None, after, seconds, rng.randrange(_LEAST, 60000), two, rng.random() < 0.15)


def once(plan: Plan, folder: Path, earlier: Path) -> Seen:
    """Run the claims as planned."""
    reports, temporary = folder / "reports", folder / "temporary"
    temporary.mkdir(parents=True)
    (folder / "test_claims.py").write_text(CLAIMS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    if set(plan.faults) & set(ON_A_DISK):
        reports.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "soak", reports], check=True)
    shutil.copytree(earlier, reports, dirs_exist_ok=True)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _be_pytest(plan, folder, theirs)
    os.close(theirs)
    chunks: list[bytes] = []
    killing = threading.Thread(target=_send, args=(plan, child, chunks), daemon=True)
    killing.start()
    while chunk := os.read(ours, 65536):
        chunks.append(chunk)
    os.close(ours)
    _, status = os.waitpid(child, 0)
    killing.join()
    with_workers = time.monotonic() + 20
    while plan.two_processes and _group(child) and time.monotonic() < with_workers:
        time.sleep(0.05)
    return Seen(os.waitstatus_to_exitcode(status), b"".join(chunks).decode(errors="replace"), reports, temporary)


def _be_pytest(plan: Plan, folder: Path, output: int) -> None:
    """In the fork: the command `pytest`."""
    status = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        about = {"SOAK_PLAN": json.dumps(plan._asdict()), "TMPDIR": str(folder / "temporary"), "COLUMNS": "200"}
        os.environ |= about | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        os.environ.pop("PYTEST_ADDOPTS", None)
        tempfile.tempdir = None
        arguments = ["-v", "-p", "mechcheck.plugin", "-p", "xdist", "-p", "no:cacheprovider", "-W", "ignore", "--mech-profile=smoke"]
        arguments += ["-n2"] * plan.two_processes + ["-x"] * plan.first_failure_ends
        sys.argv = ["pytest", *arguments]
        status = int(pytest.main(arguments))
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _send(plan: Plan, child: int, output: list[bytes]) -> None:
    """Send what the plan says, and end what hangs."""
    if plan.signal is None:
        return
    while _runs(child) and b"".join(output).count(b"%]") < plan.after_claims:
        time.sleep(0.005)
    time.sleep(plan.after_s)
    for number in {"sigint": [2], "sigint_twice": [2, 2], "sigterm": [15], "sighup": [1], "sigkill": [9], "sigkill_worker": []}[
        plan.signal
    ]:
        _kill(child, number)
        time.sleep(plan.after_s / 20)
    if plan.signal == "sigkill_worker" and (workers := _children(child)):
        _kill(workers[0], 9)
    if {"hang", "deaf"} & set(plan.faults):
        for number, wait in ((15, 2.0), (9, 0.0)):
            for _ in range(int(wait / 0.05) or 1):
                time.sleep(0.05)
                if not _runs(child):
                    return
            for worker in _children(child) if number == 9 else ():
                _kill(worker, 9)
            _kill(child, number)


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _children(process: int) -> list[int]:
    try:
        return [one.pid for one in psutil.Process(process).children()]
    except psutil.NoSuchProcess:
        return []


def _group(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def judge(plan: Plan, seen: Seen, earlier: Path) -> tuple[dict[str, Any], list[str]]:
    """Counts, and what was wrong."""
    wrong: list[str] = []
    where = re.search(r"could not be written to \S+ \(.*\): it is in (\S+)", seen.output)
    place = Path(where[1]) if where else seen.reports
    for path in (seen.reports / "ballast",):
        path.unlink(missing_ok=True)
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
        plan, place = draw(rng, disks), folder / f"run{done}"
        try:
            seen = once(plan, place, earlier)
            counts, found = judge(plan, seen, earlier)
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
