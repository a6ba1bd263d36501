"""The guide's tables of large models and plans are those of the recorded results."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = str(ROOT / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import plan  # noqa: E402

GUIDE = (ROOT / "docs" / "guides" / "large-models.md").read_text(encoding="utf-8")


def recorded(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_plans_beside_what_was_taken():
    rows = recorded("plan")["rows"]
    assert len(rows) >= 6
    assert {row["name"] for row in rows} <= {case.name for case in plan.CASES}
    for row in rows:
        cells = (row["name"], row["profile"], row["planned_s"], row["took_s"], row["planned_mib"], row["took_mib"])
        assert f"| {' | '.join(map(str, cells))} |" in GUIDE


def test_sweeps_of_a_large_model():
    for row in recorded("large_sweep"):
        of = f"{row['parameters'] / 1e9:.2f} billion, {row['layers']} layers"
        cells = (of, row["prompts"], row["variants"], row["cpu_s"], row["of_floor"], row["beside_weights_gb"])
        assert f"| {' | '.join(map(str, cells))} |" in GUIDE
