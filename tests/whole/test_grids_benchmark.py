"""The benchmark of grids: the planted claims are what they are said to be, and the noise is as large as it is said to be."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import grids  # noqa: E402

from mechcheck.base.reading import read_json  # noqa: E402

ROWS = read_json(grids.RESULT)["rows"]


@pytest.mark.parametrize("planted", [grids.PLANTED[1], *grids.PLANTED[3:6]], ids=lambda planted: planted.name)
def test_answers_without_noise_are_those_that_were_built(planted, monkeypatch):
    monkeypatch.setattr(grids, "POPULATION", 240)
    cells = grids.measured(planted)
    rng = np.random.default_rng(0)
    assert {grids.drawn(cells, planted.below, 0.0, rng) for _ in range(3)} == {planted.answer}


def test_noise_has_the_standard_error_that_distances_are_counted_in(monkeypatch):
    means, templates = [], 48
    cells = grids.Cells(grids.grid(method=["a", "b"]), np.zeros((2, 2 * templates)), np.repeat(np.arange(templates), 2))

    class Seen(grids.Check):
        def below(self, measured, threshold):
            means.append(measured.values.mean())
            return super().below(measured, threshold)

    monkeypatch.setattr(grids, "Check", Seen)
    for seed in range(400):
        grids.drawn(cells, 0.0, 1.0, np.random.default_rng(seed))
    assert np.std(means) == pytest.approx(grids.error_of(templates), rel=0.1)
    one, other = np.array(means).reshape(-1, 2).T
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(grids.SHARED, abs=0.1)


def test_what_is_promised_holds_in_the_recorded_rows():
    """Told from each other where the nearest cell is six standard errors away, or more; and seldom where nothing is to be told."""
    assert {row["draws"] for row in ROWS} == {200}
    far = [row for row in ROWS if (row["distance"] or math.inf) >= 6 and row["truth"] in ("method_dependent", "robust")]
    assert len(far) == 3 * len(grids.PLANTED)
    assert min(row[row["truth"]] for row in far) >= 0.95
    others = [row["method_dependent"] for row in ROWS if row["truth"] != "method_dependent"]
    assert max(others) <= 0.05
