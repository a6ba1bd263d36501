"""Claims of the baseline that the run has no record of: missing where it asked for them."""

import pytest
from runs import OLD, claim

from mechcheck.evidence.compare import compare
from mechcheck.evidence.runs import read_baseline, read_run


@pytest.mark.parametrize(
    ("run", "missing", "why"),
    [
        ({}, ["b"], None),
        ({"selection": {"paths": ["."], "models": [], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["other", "claims/test_b.py"], "models": [], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["claims/test_b.py::test_it"], "models": ["m"], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["claims"], "models": [], "narrowed": "--lf"}}, [], "only a part of the claims was run (--lf)"),
        ({"complete": False}, [], "the run was interrupted"),
    ]
    + [
        ({"selection": {"paths": paths, "models": models, "narrowed": None}}, [], "they lie outside of the paths and models of this run")
        for paths, models in [
            (["claims/test_a.py"], []),
            (["claims/test_"], []),
            (["claims/test_b.py::test_"], []),
            (["../claims"], []),
            ([], []),
            (["claims"], ["gpt2"]),
        ]
    ],
)
def test_missing_is_what_was_asked_for_and_is_not_there(drift, run, missing, why):
    found = drift([claim("a", OLD), claim("b", OLD)], [claim("a", OLD)], after_run=run)
    assert [gone["id"] for gone in found.baseline["missing"]] == missing
    assert found.baseline["not_judged"] == (why and {"n": 1, "why": why})
    assert found.baseline["counts"] == {"same": 1} | ({"missing": 1} if missing else {})
    assert found.baseline["n"] == 2


def test_a_run_that_does_not_say_what_it_asked_for(drift, tmp_path):
    drift([claim("a", OLD), claim("b", OLD)], [claim("a", OLD)])
    new = read_run(tmp_path / "new")
    del new.run["selection"]
    found = compare(read_baseline(tmp_path / "old"), new).baseline
    assert found["not_judged"] == {"n": 1, "why": "the run does not say which claims it asked for"}
