"""Runs of pytest inside the tests: `claims(source, *options)` writes a test file, runs it, and reads the evidence it left."""

import importlib
import pkgutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from runs import VALIDATOR

from mechcheck.base.reading import read_json
from mechcheck.evidence.store import FILE

MODEL = "names-gpt2-seed1"

HEADER = """
import os, signal
import numpy as np
import pytest
import mechcheck
from mechcheck import *

NOISE = np.linspace(-0.5, 0.5, 24)

def around(mean, name="effect"):
    "24 prompts of 8 templates with this mean: synthetic, so that a claim needs no model."
    prompts = range(24)
    return Measurement(mean + NOISE[::-1], tuple(f"p{i}" for i in prompts), tuple(f"t{i % 8}" for i in prompts), name, "logits")
"""


@dataclass(frozen=True)
class Run:
    """A finished run of pytest."""

    result: pytest.RunResult
    evidence: dict[str, Any] | None
    report: Path

    @property
    def verdicts(self) -> dict[str, str]:
        """Claim's id -> verdict."""
        return {c["id"]: c["verdict"] for c in self.evidence["claims"]} if self.evidence else {}

    @property
    def samples(self) -> Path:
        """The folder of the run's samples."""
        assert self.evidence is not None
        return self.report / self.evidence["run"]["samples"]

    def claim(self, part: str = "") -> dict[str, Any]:
        """The one claim whose id contains this."""
        assert self.evidence is not None
        (found,) = [c for c in self.evidence["claims"] if part in c["id"]]
        return found

    @property
    def output(self) -> str:
        """What the terminal showed."""
        return self.result.stdout.str()


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Import everything once: pytester forgets what a run in this process imports, and torch cannot be imported twice."""
    import mechcheck
    from mechcheck.models.loading import load_model, reinitialised

    for module in pkgutil.walk_packages(mechcheck.__path__, "mechcheck."):
        importlib.import_module(module.name)
    reinitialised(load_model(MODEL, offline=True), 0)


@pytest.fixture
def in_a_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """in_a_process(*arguments): pytest in a process of its own, as are those that `-n2` starts, without waiting for imports."""
    pytester: pytest.Pytester = request.getfixturevalue("pytester")

    def run(*arguments: str) -> pytest.RunResult:
        monkeypatch.setenv("PATH", request.getfixturevalue("shell").environment["PATH"])
        return pytester.run("pytest", *arguments)

    return run


@pytest.fixture
def claims(request: pytest.FixtureRequest, in_a_process: Callable[..., pytest.RunResult]) -> Callable[..., Run]:
    """claims(source, *options): run a file of claims, below the module's HEADER or ours, with the smallest profile; with -n apart."""
    pytester: pytest.Pytester = request.getfixturevalue("pytester")
    header: str = getattr(request.module, "HEADER", HEADER)

    def run(source: str, *options: str) -> Run:
        pytester.makepyfile(test_claims=header + textwrap.dedent(source))
        return rerun(*options)

    def rerun(*options: str) -> Run:
        report = pytester.path / "reports"
        (report / FILE).unlink(missing_ok=True)
        randomly = () if any("randomly" in option for option in options) else ("-p", "no:randomly")
        arguments = (*randomly, "--mech-profile=smoke", *options)
        apart = any(option.startswith("-n") for option in options)
        result = in_a_process(*arguments) if apart else pytester.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)
        evidence = read_json(report / FILE) if (report / FILE).exists() else None
        if evidence is not None:
            VALIDATOR.validate(evidence)
        return Run(result, evidence, report)

    run.again = rerun  # type: ignore[attr-defined]
    return run
