"""Do the tests see a bug? `python benchmarks/mutants.py` makes deliberate ones, one at a time, and runs the tests that should.

The bugs stand in benchmarks/mutants.toml. Each is made in a copy of the package; what lies here is not touched. First the tests run on a
copy without any bug, where all must pass. Writes benchmarks/results/mutants.json, and ends with an error if a bug was not caught.
--match TEXT takes those whose name, file or tests contain it, and writes nothing.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = Path(__file__).with_suffix(".toml")
RESULT = Path(__file__).parent / "results" / "mutants.json"
PACKAGE = "mechcheck"
COPIED = (PACKAGE, "tests")
# What the tests need beside them, as links into the clone.
LINKED = ("claims", "fixtures", "docs", "benchmarks", "conftest.py", "pyproject.toml")
PASSED, FAILED = 0, 1
SECONDS = 600


class NotRun(RuntimeError):
    """The tests said nothing: a bug that ends pytest, or tests that fail without it."""


@dataclass(frozen=True)
class Mutant:
    """A deliberate bug."""

    name: str
    file: str
    """In the package."""
    old: str
    """What stands there, exactly once."""
    new: str
    tests: tuple[str, ...]
    """What must fail; files, folders or test ids, seen from the clone."""

    @property
    def what(self) -> str:
        """The change, for a reader."""
        return f"{self.old.strip()} -> {self.new.strip()}"

    def made(self, source: str) -> str:
        """The source with the bug.

        Raises:
            ValueError: what it changes does not stand there exactly once.
        """
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.name!r}: {self.old!r} stands {found} times in {PACKAGE}/{self.file}, and must stand there once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Ran:
    """A run of tests."""

    passed: bool
    failed_test: str | None
    """The first that failed."""
    seconds: float


def mutants() -> list[Mutant]:
    """All of them."""
    found = tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**one | {"tests": tuple(one["tests"])}) for one in found]


@contextmanager
def copied(mutant: Mutant | None = None) -> Iterator[Path]:
    """A folder with the package, with the bug if there is one, in which its tests can be run."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        folder = Path(place)
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name)  # compiled modules come along: the times of the sources are kept
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)
        if mutant is not None:
            path = folder / PACKAGE / mutant.file
            path.write_text(mutant.made(path.read_text(encoding="utf-8")), encoding="utf-8")
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                compiled.unlink()
        yield folder


def run_tests(folder: Path, tests: Sequence[str]) -> Ran:
    """Run the tests on the package in the folder, up to the first that fails.

    Raises:
        NotRun: pytest ended otherwise than with tests that passed or failed.
    """
    # Caches of their own: a bug must not leave anything behind that another run would find.
    environment = os.environ | {
        "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1",
        "MECHCHECK_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    started = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Ran(False, f"none ended within {SECONDS} s", SECONDS)
    seconds = round(time.perf_counter() - started, 1)
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, flags=re.MULTILINE)
    if done.returncode not in (PASSED, FAILED) or (done.returncode == FAILED and failed is None):
        raise NotRun(f"pytest {' '.join(tests)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return Ran(done.returncode == PASSED, failed and failed[1], seconds)


def tried(mutant: Mutant) -> dict:
    """What became of a bug."""
    with copied(mutant) as folder:
        ran = run_tests(folder, mutant.tests)
    print(f"{'survived' if ran.passed else 'caught'}  {mutant.name} ({ran.seconds:.0f} s)  {ran.failed_test or ''}", flush=True)
    return {
        "name": mutant.name, "file": f"{PACKAGE}/{mutant.file}", "what": mutant.what, "tests": list(mutant.tests),
        "caught": not ran.passed, "seconds": ran.seconds, "failed_test": ran.failed_test,
    }  # fmt: skip


def without_bugs(tests: Sequence[str]) -> None:
    """Raise unless the tests pass where there is nothing to find."""
    with copied() as folder:
        ran = run_tests(folder, tests)
    if not ran.passed:
        raise NotRun(f"{ran.failed_test} fails without any bug, so that it could catch none")
    print(f"passes without a bug: {' '.join(tests)} ({ran.seconds:.0f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", metavar="TEXT", help="bugs whose name, file or tests contain this")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="at a time (default: 2)")
    options = parser.parse_args()
    chosen = [one for one in mutants() if options.match in f"{one.name} {one.file} {' '.join(one.tests)}"]
    tests = sorted({test for one in chosen for test in one.tests})
    with ThreadPoolExecutor(options.processes) as pool:
        list(pool.map(without_bugs, [part for i in range(options.processes) if (part := tests[i :: options.processes])]))
        rows = list(pool.map(tried, chosen))
    caught = sum(row["caught"] for row in rows)
    print(f"{caught} of {len(rows)} bugs were caught")
    if not options.match:
        RESULT.write_text(json.dumps({"mutants": len(rows), "caught": caught, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(caught < len(rows))


if __name__ == "__main__":
    sys.exit(main())
