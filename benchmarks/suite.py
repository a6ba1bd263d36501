"""What the shipped claims cost beside what they cost at another commit: seconds of each claim file, where both come to the same verdict.

    git worktree add --detach /tmp/before COMMIT
    python benchmarks/suite.py --against /tmp/before [--rounds 1] [--save]

The whole suite runs in the one checkout and in the other by turns, on as many processes as the machine has cores. A claim counts in the
comparison where it has one name and one verdict in both; a median over the rounds.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "suite.json"


class Suite(NamedTuple):
    """One run of all claims of a checkout."""

    seconds: float
    """From start to end."""
    cpu: float
    """Of all its processes."""
    claims: Mapping[str, tuple[str, float]]
    """Name -> verdict and seconds."""


def suite(checkout: Path, arguments: Sequence[str] = ("claims",)) -> Suite:
    """Run the claims of a checkout by its own code."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [*command, "--mech-report", folder], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1):
            raise SystemExit(f"the claims of {checkout.name} could not be run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        claims = json.loads(Path(folder, "evidence.json").read_text())["claims"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {f"claims/{claim['nodeid'].rpartition('claims/')[2]}": (claim["verdict"], claim["duration_s"]) for claim in claims}
    return Suite(seconds, cpu, found)


def compared(now: Sequence[Suite], before: Sequence[Suite]) -> dict[str, Any]:
    """Seconds before and now of the claims that both have and decide alike, by file, the largest first."""
    verdicts = [{name: verdict for name, (verdict, _) in one.claims.items()} for one in (now[0], before[0])]
    both = sorted(set(verdicts[0]) & set(verdicts[1]))
    alike = [name for name in both if verdicts[0][name] == verdicts[1][name] != "skipped"]
    files: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for name in alike:
        row = files[name.partition("::")[0]]
        for place, runs in enumerate((before, now)):
            row[place] += median(run.claims[name][1] for run in runs)
        row[2] += 1
    ordered = sorted(files.items(), key=lambda item: -item[1][0])
    total = [sum(row[place] for _, row in ordered) for place in (0, 1)]
    return {
        "claims": {"before": len(verdicts[1]), "now": len(verdicts[0]), "in both": len(both), "with one verdict": len(alike)},
        "seconds": {"before": round(total[0], 1), "now": round(total[1], 1), "now/before": round(total[1] / total[0], 3)},
        "whole suite": {
            name: {"seconds": round(median(run.seconds for run in runs), 1), "CPU seconds": round(median(run.cpu for run in runs), 1)}
            for name, runs in (("before", before), ("now", now))
        },
        "files": {name: {"before": round(row[0], 1), "now": round(row[1], 1), "claims": int(row[2])} for name, row in ordered},
    }


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--claims", nargs="+", default=["claims"], help="what pytest is given")
    parser.add_argument("--save", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    chosen = parser.parse_args()
    runs: dict[Path, list[Suite]] = {ROOT: [], chosen.against.resolve(): []}
    for _ in range(chosen.rounds):
        for checkout, done in runs.items():
            done.append(suite(checkout, chosen.claims))
            print(f"{checkout.name}: {done[-1].seconds:.0f} s, {done[-1].cpu:.0f} CPU s, {len(done[-1].claims)} claims", flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=chosen.against, capture_output=True, text=True, check=True)
    found = {
        "against": commit.stdout.strip(), "rounds": chosen.rounds, "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    } | compared(*runs.values())  # fmt: skip
    print(json.dumps({key: value for key, value in found.items() if key != "files"}, indent=1))
    for name, row in found["files"].items():
        print(f"{row['before']:>7} {row['now']:>7}  {row['claims']:>3}  {name}")
    if chosen.save:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
