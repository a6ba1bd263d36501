"""Running other programs within a step's time, and seeing how much memory they take."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
# Seconds: not worth beginning with, and to save what there is when interrupted.
LEAST, GRACE = 5, 20


class Ran(NamedTuple):
    """A command that was run."""

    output: str
    seconds: float
    ended: bool
    """False: it was stopped, its time was up."""
    code: int
    rss: int
    """Bytes of the largest process."""
    gpu: int | None
    """Bytes in use on the GPU at most, beyond what was in use before; sampled."""


class Clock:
    """What is left of a step's time."""

    def __init__(self, limit: float):
        self._end = time.monotonic() + limit

    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()


def run(command: Sequence[str], seconds: float, device: str) -> Ran:
    """Run a command in the repository, no longer than this; then all that it started is interrupted, and may save what it has."""
    if seconds < LEAST:
        return Ran("", 0.0, False, -1, 0, None)
    print("$", " ".join(command), flush=True)
    started = time.monotonic()
    with _gpu_watched(device) as seen, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        rss = [0]
        waiter = threading.Thread(target=_reap, args=(process, rss))
        waiter.start()
        waiter.join(seconds)
        ended = not waiter.is_alive()
        for how in (signal.SIGINT, signal.SIGKILL):
            if waiter.is_alive():
                with suppress(ProcessLookupError):  # it ended just now
                    os.killpg(process.pid, how)
                waiter.join(GRACE)
        output.seek(0)
        text = output.read()
    return Ran(text, time.monotonic() - started, ended, process.returncode, rss[0], seen[0])


def _reap(process: subprocess.Popen, rss: list[int]) -> None:
    """Wait for a process, and learn how large it or any process under it was."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    rss[0] = used.ru_maxrss * 1024


@contextmanager
def _gpu_watched(device: str) -> Iterator[list[int | None]]:
    """The most that is in use on the GPU, beyond what was before, looked at five times a second."""
    most: list[int | None] = [None]
    if device == "cpu":
        yield most
        return
    stop, before = threading.Event(), _in_use(device)

    def watch() -> None:
        while not stop.wait(0.2):
            most[0] = max(most[0] or 0, _in_use(device) - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        stop.set()
        watcher.join()


def _in_use(device: str) -> int:
    free, total = torch.cuda.mem_get_info(device)
    return total - free
