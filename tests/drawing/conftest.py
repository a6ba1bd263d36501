"""Fixtures of the figures' tests: made-up figures, a browser."""

from collections.abc import Iterator
from types import ModuleType

import made_evidence
import pytest
from browser import Browser


@pytest.fixture
def make() -> ModuleType:
    """The builders of made-up evidence."""
    return made_evidence


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a run."""
    with Browser() as running:
        yield running
