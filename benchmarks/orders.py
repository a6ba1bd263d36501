"""Do claims depend on their order? The claims on compiled models, in random orders, subsets and numbers of processes, against one run."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
CLAIMS = "claims/compiled"
FIELDS = ("verdict", "met", "reason", "decoys", "model", "circuit", "prompts", "counterexamples")
PROCESSES = ("", "-n0", "-n1", "-n2", "-n3", "-n4")


def essence(folder: Path) -> dict[str, Any]:
    """What must not depend on how claims were run: claim's id -> verdict, estimates, contrasts."""
    evidence = json.loads((folder / "evidence.json").read_text())
    return {
        claim["id"]: {field: claim[field] for field in FIELDS} | {"expectations": [e | {"p_adjusted": None} for e in claim["expectations"]]}
        for claim in evidence["claims"]
    }


def run(folder: Path, options: Sequence[str], claims: str = CLAIMS) -> tuple[dict[str, Any], float]:
    """Run the claims; what they came to, and the seconds that took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", claims, "-q", "--mech-profile=smoke", "--mech-report", str(folder), *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout)
    return essence(folder), round(time.perf_counter() - started, 1)


def orders(number: int, claims: str = CLAIMS) -> list[dict[str, Any]]:
    """The claims in so many random orders, each with its options, how many claims it ran, and which came out otherwise."""
    rng, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        right, seconds = run(reports / "straight", ["-p", "no:randomly", "-p", "no:cacheprovider"], claims)
        names = sorted({name.partition("[")[0].rpartition("/")[2] for name in right})
        rows.append({"options": ["-p", "no:randomly"], "claims": len(right), "differ": [], "s": seconds})
        cache = f"cache_dir={reports / 'cache'}"
        for i in range(number):
            options = ["-p", "randomly", f"--randomly-seed={rng.randrange(10**6)}"]
            options += [PROCESSES[i % len(PROCESSES)]] if PROCESSES[i % len(PROCESSES)] else []
            if i % 3 == 1:
                options += ["-k", " or ".join(rng.sample(names, max(1, len(names) // 2)))]
            options += ["--lf"] if i % 5 == 4 else []
            found, seconds = run(reports / str(i), [*options, "-o", cache], claims)
            differ = sorted(name for name in found if found[name] != right.get(name))
            rows.append({"options": options, "claims": len(found), "differ": differ, "s": seconds})
            print(f"{len(found):>4} claims  {len(differ)} differ  {seconds:>6} s  {' '.join(options)}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--claims", default=CLAIMS, help="what pytest is given (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="write results/orders.json too")
    chosen = parser.parse_args()
    rows = orders(chosen.orders, chosen.claims)
    differ = sum(len(row["differ"]) for row in rows)
    print(f"{sum(row['claims'] for row in rows)} claims in {len(rows)} runs, {differ} came out otherwise than in the first")
    if chosen.save:
        (RESULTS / "orders.json").write_text(json.dumps({"claims": chosen.claims, "rows": rows}, indent=1) + "\n")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
