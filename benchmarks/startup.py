"""What it costs to begin: the CPU seconds of one claim, and of collecting all, beside those of the imports that they cannot do without.

    python benchmarks/startup.py [--against CHECKOUT] [--rounds 5]

Each command runs in a process of its own, by turns with the others and with those of another checkout; the first round, which compiles
bytecode (kept in the temporary directory), does not count. CPU seconds are those of the process and its children, in the program and in
the system. Under `mechcheck watch` it is the time from saving a claim to its verdict, and the CPU seconds of the run.
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
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "plugin" / "watch"))
RESULT = Path(__file__).parent / "results" / "startup.json"
CLAIM = "claims/ioi/test_behaviour.py::test_prefers_the_indirect_object[names-gpt2-seed0]"
PYTEST = ("-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "one claim": (*PYTEST, CLAIM),
    "collecting all claims": (*PYTEST, "claims", "--collect-only"),
}
FLOOR: Mapping[str, tuple[str, ...]] = {
    "pytest and its plugins, no test": (*PYTEST, "--collect-only", "benchmarks/results"),
    "import torch": ("-c", "import torch"),
    "import torch, transformer_lens.model_bridge": ("-c", "import torch, transformer_lens.model_bridge"),
}


def cpu_seconds(command: tuple[str, ...], checkout: Path, scratch: Path) -> float:
    """What a command takes in a checkout; its bytecode, its cache and its evidence stay in a folder of its own."""
    own = {"PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"), "OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | own
    report = (f"--mech-report={scratch / 'reports'}",) if "pytest" in command else ()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command, *report], cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 5):  # 5: no test was collected, as in the floor
        raise SystemExit(f"{' '.join(command)} failed in {checkout}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


SAVED = """
from mechcheck import Ablate, claim, run

@claim("S-inhibition heads matter", task="ioi", models=["names-gpt2-seed4"])
def test_heads(model, prompts, circuit, check):
    check.below(run(model, prompts, Ablate(circuit["s_inhibition"], "resample")) - run(model, prompts), -0.5)
"""


def after_saving(rounds: int) -> dict[str, list[float]]:
    """Save a claim under `mechcheck watch` so many times: the seconds until its verdict stands, and CPU seconds of its run.

    The first time, before which the model may not have been loaded, does not count.
    """
    from watched import DONE, READY, watching

    found: dict[str, list[float]] = {"seconds": [], "CPU seconds": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "test_heads.py")
        file.write_text(SAVED)
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        with watching(Path(folder), "test_heads.py", "-p", "no:randomly", environment={"PYTHONPATH": str(ROOT)}) as watch:
            watch.until(READY)
            for turn in range(rounds + 1):
                watch.quiet(3)
                cpu, began = _of_children(watch.process.pid), time.perf_counter()
                file.write_text(SAVED + f"# {turn}\n")
                said = watch.until(DONE)
                if "1 claim: 1 supported" not in said:
                    raise SystemExit(said)
                seconds, used = time.perf_counter() - began, _of_children(watch.process.pid) - cpu
                if turn:
                    found["seconds"].append(round(seconds, 2))
                    found["CPU seconds"].append(round(used, 2))
                    print(f"{'saved to verdict, in a watch':45s} {'here':7s} {seconds:6.2f}  ({used:.2f} of CPU)", flush=True)
    return found


def _of_children(pid: int) -> float:
    """CPU seconds of the children of a process that have ended, as Linux tells them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout, for the same environment")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    checkouts = {"here": ROOT} | ({"before": asked.against.resolve()} if asked.against else {})
    jobs = [(name, where, command) for name, command in COMMANDS.items() for where in checkouts]
    jobs += [(name, "here", command) for name, command in FLOOR.items()]
    found: dict[str, dict[str, list[float]]] = {}
    scratch = Path(tempfile.gettempdir()) / "mechcheck-startup"
    for turn in range(asked.rounds + 1):
        for name, where, command in jobs:
            seconds = cpu_seconds(command, checkouts[where], scratch / where)
            if turn:
                found.setdefault(name, {}).setdefault(where, []).append(round(seconds, 2))
                print(f"{name:45s} {where:7s} {seconds:6.2f}", flush=True)
    watched = after_saving(asked.rounds)
    rows = {
        name: {where: {"least": min(values), "median": median(values), "all": values} for where, values in by.items()}
        for name, by in found.items()
    }
    for name in COMMANDS:
        if "before" in rows[name]:
            print(f"{name}: {rows[name]['here']['median'] / rows[name]['before']['median']:.2f} of before")
    versions = {"python": platform.python_version()} | {
        package: metadata.version(package) for package in ("torch", "transformer-lens", "transformers", "pytest", "hypothesis")
    }
    told = {"unit": "CPU seconds, user and system", "rounds": asked.rounds, "claim": CLAIM, "seconds": rows}
    told |= {"saved to verdict, in a watch": {name: {"least": min(of), "median": median(of), "all": of} for name, of in watched.items()}}
    told |= {"versions": versions}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
