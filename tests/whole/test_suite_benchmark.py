"""The benchmark of the whole suite: only claims that two checkouts decide alike are compared."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import suite  # noqa: E402


def run_of(seconds: float, **claims: tuple[str, float]) -> suite.Suite:
    return suite.Suite(seconds, 2 * seconds, {f"claims/{name}": one for name, one in claims.items()})


def test_claims_with_one_verdict_are_compared():
    before = [run_of(t, a=("supported", t), b=("refuted", 5.0), c=("supported", 7.0), e=("skipped", 0.0)) for t in (4.0, 10.0, 6.0)]
    now = [run_of(t, a=("supported", t), b=("supported", 1.0), d=("supported", 9.0), e=("skipped", 0.0)) for t in (1.0, 2.0, 30.0)]
    found = suite.compared(now, before)
    assert found["claims"] == {"before": 4, "now": 4, "in both": 3, "with one verdict": 1}
    assert found["seconds"] == {"before": 6.0, "now": 2.0, "now/before": pytest.approx(1 / 3, abs=1e-3)}
    assert found["files"] == {"claims/a": {"before": 6.0, "now": 2.0, "claims": 1}}
    assert found["whole suite"]["now"] == {"seconds": 2.0, "CPU seconds": 4.0}


def test_files_are_listed_from_the_slowest():
    claims = {"x.py::test_one": ("supported", 1.0), "y.py::test_one": ("supported", 2.0), "y.py::test_two": ("refuted", 2.0)}
    found = suite.compared([run_of(1.0, **claims)], [run_of(1.0, **claims)])
    assert list(found["files"].items()) == [
        ("claims/y.py", {"before": 4.0, "now": 4.0, "claims": 2}), ("claims/x.py", {"before": 1.0, "now": 1.0, "claims": 1})
    ]  # fmt: skip
    assert found["seconds"]["now/before"] == 1.0


def test_a_run_that_fails_is_told(tmp_path):
    with pytest.raises(SystemExit, match="could not be run"):
        suite.suite(tmp_path, ["nowhere", "-n0"])
