"""Do the tests see a bug? `python benchmarks/mutants.py` makes deliberate ones, one at a time, and runs the tests that should.

The bugs stand in benchmarks/mutants.toml. Each is made in a copy of the package; what lies here is not touched. In the end the tests that
caught them run on a copy without any bug, where all must pass. Writes benchmarks/results/mutants.json, and ends with an error if a bug
was not caught.
--match TEXT takes those whose name, file or tests contain it, and writes nothing.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = Path(__file__).with_suffix(".toml")
RESULT = Path(__file__).parent / "results" / "mutants.json"
PACKAGE = "mechcheck"
COPIED = (PACKAGE, "tests")
# What the tests need beside them, as links into the clone.
LINKED = ("claims", "fixtures", "docs", "benchmarks", "conftest.py", "pyproject.toml")
OUTPUT, FIRST = "output.txt", "first_failure.txt"
OPTIONS = ("-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0")
IMPORTS = (
    "hypothesis", "hypothesis.strategies", "jaxtyping", "jinja2", "jsonschema", "numpy", "pytest", "scipy.optimize", "scipy.special",
    "scipy.stats", "torch", "transformer_lens.model_bridge", "transformer_lens.model_bridge.sources.transformers",
    "transformers.models.bert.modeling_bert", "transformers.models.gpt2.modeling_gpt2", "transformers.models.gpt_neox.modeling_gpt_neox",
)  # fmt: skip
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


@dataclass
class Run:
    """Tests that run on a copy of the package, in a process of their own."""

    tests: Sequence[str]
    mutant: Mutant | None = None
    folder: Path = field(init=False)
    pid: int = field(init=False)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.folder = copied(self.mutant)
        self.started, self.pid = time.perf_counter(), os.fork()
        if not self.pid:
            os.setsid()
            try:
                status = _tests(self.folder, self.tests)
            except BaseException:
                traceback.print_exc()
                status = -1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status % 256)

    def ended(self) -> Ran | None:
        """How they ended; None where they have not.

        Raises:
            NotRun: pytest ended otherwise than with tests that passed or failed.
        """
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        seconds = round(time.perf_counter() - self.started, 1)
        if not pid and seconds < SECONDS:
            return None
        said = (self.folder / OUTPUT).read_text(encoding="utf-8", errors="replace")
        failed = (self.folder / FIRST).read_text(encoding="utf-8") if (self.folder / FIRST).exists() else None
        self.stop(running=not pid)
        if not pid:
            return Ran(False, f"none ended within {SECONDS} s", seconds)
        code = os.waitstatus_to_exitcode(status)
        if code not in (PASSED, FAILED):
            raise NotRun(f"pytest {' '.join(self.tests)} ended with {code}:\n{said[-5000:]}")
        return Ran(code == PASSED, failed, seconds)

    def stop(self, *, running: bool = True) -> None:
        """Leave nothing behind."""
        if running:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder)


def copied(mutant: Mutant | None = None) -> Path:
    """A new folder with the package, with the bug if there is one, in which its tests can be run."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)  # compiled modules come along: the times of the sources are kept
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    if mutant is not None:
        path = folder / PACKAGE / mutant.file
        path.write_text(mutant.made(path.read_text(encoding="utf-8")), encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
    return folder


def _tests(folder: Path, tests: Sequence[str]) -> int:
    """In a fork: be pytest in the folder, with all that it prints in a file there."""
    import pytest
    from _pytest.assertion.rewrite import AssertionRewritingHook
    from hypothesis import Phase, settings

    # Shrinking what broke takes minutes, and nobody looks at it.
    settings.register_profile("no shrinking", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("no shrinking")
    # That plugins were imported already is on purpose, and nothing that runs of pytest within the tests should warn of.
    AssertionRewritingHook._warn_already_imported = lambda *_: None  # type: ignore[method-assign]
    with open(folder / OUTPUT, "wb") as output, open(os.devnull, "rb") as nothing:
        for number, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    sys.path[0] = str(folder)
    # Caches of their own: a bug must not leave anything behind that another run would find.
    os.environ |= {"PYTHONPATH": str(folder), "MECHCHECK_CACHE": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "cache")}
    sys.dont_write_bytecode = True
    return int(pytest.main([*OPTIONS, *tests], plugins=[_First(folder / FIRST)]))


class _First:
    """A plugin that keeps the id of the first test that fails."""

    def __init__(self, path: Path):
        self._path = path

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        if report.failed and not self._path.exists():
            self._path.write_text(report.nodeid, encoding="utf-8")


def run_all(runs: Sequence[tuple[Sequence[str], Mutant | None]], processes: int) -> Iterator[tuple[Mutant | None, Ran]]:
    """Run tests, so many at a time, in their order; each is told when it has ended."""
    waiting, running = list(reversed(runs)), list[Run]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(Run(*waiting.pop()))
            for one in list(running):
                if (ran := one.ended()) is not None:
                    running.remove(one)
                    yield one.mutant, ran
            time.sleep(0.05)
    finally:
        for one in running:
            if one.folder.exists():
                one.stop()


def row_of(mutant: Mutant, ran: Ran) -> dict:
    """What became of a bug."""
    return {
        "name": mutant.name, "file": f"{PACKAGE}/{mutant.file}", "what": mutant.what, "tests": list(mutant.tests),
        "caught": not ran.passed, "seconds": ran.seconds, "failed_test": ran.failed_test,
    }  # fmt: skip


def import_what_tests_need() -> None:
    """All but the package itself, once for all runs, which are forks of this process."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for name in IMPORTS:
        import_module(name)
    assert PACKAGE not in sys.modules


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", metavar="TEXT", help="bugs whose name, file or tests contain this")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="at a time (default: 2)")
    options = parser.parse_args()
    chosen = [one for one in mutants() if options.match in f"{one.name} {one.file} {' '.join(one.tests)}"]
    import_what_tests_need()
    rows = []
    for mutant, ran in run_all([(one.tests, one) for one in chosen], options.processes):
        assert mutant is not None
        rows.append(row_of(mutant, ran))
        print(f"{'survived' if ran.passed else 'caught'}  {mutant.name} ({ran.seconds:.0f} s)  {ran.failed_test or ''}", flush=True)
    caught_by = sorted({row["failed_test"] for row in rows if row["caught"]})
    for _, ran in run_all(
        [(some, None) for i in range(options.processes) if (some := caught_by[i :: options.processes])], options.processes
    ):
        if not ran.passed:
            raise NotRun(f"{ran.failed_test} fails without any bug too, so that it caught none")
    print(f"the {len(caught_by)} tests that caught them pass without a bug", flush=True)
    rows.sort(key=lambda row: [one.name for one in chosen].index(row["name"]))
    caught = sum(row["caught"] for row in rows)
    print(f"{caught} of {len(rows)} bugs were caught")
    if not options.match:
        RESULT.write_text(json.dumps({"mutants": len(rows), "caught": caught, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(caught < len(rows))


if __name__ == "__main__":
    sys.exit(main())
