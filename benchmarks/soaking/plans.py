"""Twelve claims, what can go wrong in them, and plans of what does."""

import random
from typing import NamedTuple

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


def draw(rng: random.Random, number: int, disks: bool) -> Plan:
    """The plan of that number. Its first fault is each kind in its turn, so that all come up with any seed; the others are drawn."""
    known = [*OF_CLAIMS, *(ON_A_DISK if disks else ()), *FROM_OUTSIDE]
    first = known[number % len(known)]
    two = first == "sigkill_worker" or rng.random() < 1 / 20
    more = [name for name in known if two or name != "sigkill_worker"]
    chosen = [first, *rng.choices(more, k=rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0])]
    outside = [name for name in chosen if name in FROM_OUTSIDE][:1]
    inside = {str(rng.randrange(N)): name for name in chosen if name not in FROM_OUTSIDE}
    if set(inside.values()) & {"hang", "deaf"} and not outside:
        outside = ["sigterm"]  # as whatever runs jobs does to one that takes too long
    after, seconds = rng.randrange(N + 1), rng.uniform(0, 0.3) * rng.random()
    if set(inside.values()) & {"hang", "deaf"}:
        after = min(after, *(int(i) for i, name in inside.items() if name in ("hang", "deaf")))
    return Plan(inside, outside[0] if outside else None, after, seconds, rng.randrange(_LEAST, 60000), two, rng.random() < 0.15)
