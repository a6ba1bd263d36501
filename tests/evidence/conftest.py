"""Fixtures of the tests that compare runs."""

import pytest
from runs import VALIDATOR, write_run

from mechcheck.evidence.compare import compare
from mechcheck.evidence.runs import read_baseline, read_run


@pytest.fixture
def drift(tmp_path):
    """drift(before, after): the comparison of two runs of claims, checked against the schema."""

    def of(before, after, before_run=None, after_run=None, **options):
        old = read_baseline(write_run(tmp_path / "old", *before, **(before_run or {})))
        new = read_run(write_run(tmp_path / "new", *after, **(after_run or {})))
        found = compare(old, new, **options)
        records = [c | {"drift": found.drift.get(name)} for name, c in new.claims.items()]
        VALIDATOR.validate({"run": new.run | {"baseline": found.baseline}, "claims": records})
        return found

    return of
