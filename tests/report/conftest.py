"""Fixtures of the page's tests: made-up evidence, pages written of it, a browser."""

import copy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import made_evidence
import pytest
from browser import Browser

from mechcheck.report import _render, write_report


@pytest.fixture
def make() -> ModuleType:
    """The builders of made-up evidence."""
    return made_evidence


@pytest.fixture
def rich() -> dict:
    """Evidence of a run with all six verdicts."""
    failed = {"model": "names-neox-s0", "name": "hooks removed", "passed": False, "detail": "2 hooks were left on blocks.0.attn"}
    passed = {"model": "names-gpt2-s0", "name": "self patch", "passed": True, "detail": "largest change 0"}
    return copy.deepcopy(
        made_evidence.evidence(made_evidence.rich_claims(), dirty=True, sentinels=[passed, passed | {"name": "full patch"}, failed])
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a run."""
    with Browser() as running:
        yield running


@pytest.fixture
def write(tmp_path: Path):
    """Write the page of an evidence, packed or not, and return its path."""

    def writer(evidence: dict, packed: bool | None = None, prompts: dict | None = None) -> Path:
        path = tmp_path / f"index-{packed}.html"
        with pytest.MonkeyPatch.context() as patch:
            if packed is not None:
                patch.setattr(_render, "_INLINE", -1 if packed else 10**9)
            write_report(evidence, path, prompts)
        return path

    return writer
