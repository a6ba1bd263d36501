"""A run of pytest in a fork, to which what was planned happens."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from soaking.plans import CLAIMS, ON_A_DISK, Plan

_SHOWN = re.compile(r"\b(SUPPORTED|REFUTED|INCONCLUSIVE|VACUOUS|FAILED|PASSED)\b")
_NAME = re.compile(r"test_claims\.py::(test_it\[\d+\])")


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
