"""Does a long run stay flat? Memory, open files and threads of one process, over 500 claims on two models by turns."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ("names-gpt2-seed1", "names-gpt2-seed4")
RESULTS = Path(__file__).parent / "results"
SOURCE = """
import pytest
from mechcheck import Ablate, claim, heads, run

@pytest.mark.parametrize("number", range({each}))
@claim("A head is not all there is to the task", task="ioi", kind="necessity")
def test_quick(model, prompts, check, number):
    head = heads(f"{{number % model.cfg.n_layers}}.{{number % model.cfg.n_heads}}@END")
    check.above(run(model, prompts, Ablate(head, "mean")), {least})
"""
WATCH = """
import gc, json, psutil

SELF, SEEN, EVERY = psutil.Process(), [], {every}

def pytest_runtest_logfinish(nodeid):
    SEEN.append(None)
    if len(SEEN) % EVERY == 0:
        gc.collect()
        memory = SELF.memory_full_info()
        with open("flat.jsonl", "a") as lines:
            row = dict(claims=len(SEEN), mib=round(memory.uss / 2**20, 1), files=SELF.num_fds(), threads=SELF.num_threads())
            print(json.dumps(row | dict(objects=len(gc.get_objects()))), file=lines)
"""


def flat(claims: int, every: int) -> list[dict[str, float]]:
    """Run so many claims in one process; what it held after each `every` of them.

    Returns:
        Rows with `claims`, `mib` (memory that is this process's alone), `files`, `threads` and `objects` (that Python's collector knows).
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_quick.py").write_text(SOURCE.format(each=claims // len(MODELS), least=-100.0))
        Path(folder, "conftest.py").write_text(WATCH.format(every=every))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--mech-profile=smoke"]
        done = subprocess.run(
            [*command, *(f"--mech-model={name}" for name in MODELS)], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1):
            raise SystemExit(done.stdout)
        verdicts = {claim["verdict"] for claim in json.loads(Path(folder, "reports", "evidence.json").read_text())["claims"]}
        if "errored" in verdicts:
            raise SystemExit(done.stdout)
        return [json.loads(line) for line in Path(folder, "flat.jsonl").read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=500)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--save", action="store_true", help="write results/flat.json too")
    chosen = parser.parse_args()
    rows = flat(chosen.claims, chosen.every)
    print("  ".join(f"{name:>8}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>8}" for value in row.values()))
    if chosen.save:
        (RESULTS / "flat.json").write_text(json.dumps({"models": MODELS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
