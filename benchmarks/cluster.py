"""What `--mech-cluster` costs: claims of one second in plain pytest and on one worker, and claims that wait on 64 workers.

    python benchmarks/cluster.py [--claims 45] [--workers 64] [--each 8] [--wait 30]

The claims wait in place of computing, so one machine can stand for a cluster: its workers are forked from this process, which has
run a claim and so imported what claims need. Each runs a session of pytest and sends reports and evidence home, as workers elsewhere do.
Efficiency is what the claims waited in all, divided by the seconds that the workers were there: from the beginning of the run, and each
from when it was ready.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "cluster.json"
CLAIM = """
import time
import numpy as np
import pytest
from mechcheck import claim
from mechcheck.stats.measurement import Measurement

@pytest.mark.parametrize("i", range({n}))
@claim("it waits", decoy={{"mean": -1.0}})
def test_it(check, i, mean=1.0):
    time.sleep({wait} * (mean > 0))
    found = mean + np.linspace(-0.5, 0.5, 24)
    check.above(Measurement(found, tuple(map(str, range(24))), tuple(str(j % 8) for j in range(24)), "effect", "logits"), 0)
"""
OPTIONS = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--mech-profile=smoke")


def seconds(folder: Path, *options: str) -> float:
    """Of a whole run of pytest, in a process of its own."""
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "pytest", *OPTIONS, *options], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.monotonic() - began


def overhead(n: int) -> dict[str, Any]:
    """Claims of one second, in plain pytest and handed out to one worker: of a run, and of each claim beyond the first few."""
    few = 5
    found: dict[str, Any] = {"claims": n}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for way, options in {"plain": (), "cluster": ("--mech-cluster=local", "--mech-workers=1")}.items():
            took = []
            for some in (few, n):
                (folder / "test_wait.py").write_text(CLAIM.format(n=some, wait=1.0))
                took.append(seconds(folder, *options))
            found[way] = {"whole_s": round(took[1], 2), "each_s": round((took[1] - took[0]) / (n - few), 4)}
    return found | {"overhead_of_each": round(found["cluster"]["each_s"] / found["plain"]["each_s"] - 1, 4)}


class Forked:
    """Workers that have imported already what this process has."""

    def __init__(self) -> None:
        from mechcheck.cluster.connected import Door

        self._door = Door("127.0.0.1")
        self.pids: list[int] = []

    def start(self, number: int, resources: Any) -> Any:
        import signal

        from mechcheck.cluster.serving import serve

        pid = os.fork()
        if pid == 0:
            try:
                serve(("127.0.0.1", self._door.port), self._door.key, number, list(sys.path))
            finally:
                os._exit(0)
        self.pids.append(pid)
        return self._door.expect(number, lambda: True, lambda: os.kill(pid, signal.SIGKILL))

    def close(self) -> None:
        self._door.close()
        for pid in self.pids:
            os.waitpid(pid, 0)


def scaling(workers: int, each: int, wait: float) -> dict[str, Any]:
    """Claims that wait, on so many workers."""
    import pytest

    from mechcheck.cluster import executor
    from mechcheck.cluster.pool import Pool

    forked = Forked()
    ready: list[float] = []
    begun = Pool._begun

    def noticing(self: Pool, hired: Any, answer: bytes) -> None:
        begun(self, hired, answer)
        ready.append(time.monotonic())

    Pool._begun = noticing  # type: ignore[method-assign]
    executor._place = lambda where, n, options: (forked.start, forked.close, n)  # type: ignore[assignment]
    n = workers * each
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_warm.py").write_text(CLAIM.format(n=1, wait=0.0))
        (folder / "test_wait.py").write_text(CLAIM.format(n=n, wait=wait))
        os.chdir(folder)
        pytest.main([*OPTIONS, "test_warm.py"])
        gc.freeze()
        began = time.monotonic()
        status = pytest.main([*OPTIONS, "test_wait.py", "--mech-cluster=forked", f"--mech-workers={workers}"])
        took = time.monotonic() - began
        evidence = json.loads((folder / "reports" / "evidence.json").read_text())
        os.chdir(ROOT)
    if status != 0 or len(evidence["claims"]) != n or not evidence["run"]["complete"]:
        raise SystemExit(f"the run ended with {status}")
    ideal, there = each * wait, sum(began + took - one for one in ready)
    return {
        "workers": workers, "claims": n, "wait_s": wait, "ideal_s": ideal, "whole_s": round(took, 2),
        "last_ready_s": round(ready[-1] - began, 2), "efficiency": round(ideal / took, 4),
        "efficiency_once_ready": round(n * wait / there, 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=45)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--each", type=int, default=8, help="claims for each worker")
    parser.add_argument("--wait", type=float, default=30.0)
    asked = parser.parse_args()
    found = {
        "command": " ".join(["python benchmarks/cluster.py", *(f"--{name} {value:g}" for name, value in vars(asked).items())]),
        "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[1], 1), "python": platform.python_version()},
        "overhead": overhead(asked.claims),
        "scaling": scaling(asked.workers, asked.each, asked.wait),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
