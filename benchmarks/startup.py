"""What it costs to begin: the CPU seconds of one claim, and of collecting all, beside those of the imports that they cannot do without.

    python benchmarks/startup.py [--against CHECKOUT] [--rounds 5]

Each command runs in a process of its own, by turns with the others and with those of another checkout; the first round, which compiles
bytecode (kept in the temporary directory), does not count. CPU seconds are those of the process and its children, in the program and in
the system.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
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
    rows = {name: {where: {"median": median(values), "all": values} for where, values in by.items()} for name, by in found.items()}
    for name in COMMANDS:
        if "before" in rows[name]:
            print(f"{name}: {rows[name]['here']['median'] / rows[name]['before']['median']:.2f} of before")
    versions = {"python": platform.python_version()} | {
        package: metadata.version(package) for package in ("torch", "transformer-lens", "transformers", "pytest", "hypothesis")
    }
    told = {"unit": "CPU seconds, user and system", "rounds": asked.rounds, "claim": CLAIM, "seconds": rows, "versions": versions}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
