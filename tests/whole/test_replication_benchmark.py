"""benchmarks/replication.py: it runs, what was kept is what the guide says, and its figure is of that."""

import json
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "replication.py"))
ROWS = json.loads(BENCHMARK["RESULT"].read_text(encoding="utf-8"))["rows"]


def test_a_row():
    row = BENCHMARK["measure"](BENCHMARK["Kind"](4, 5.0), 60)
    assert row.keys() == ROWS[0].keys()
    assert row["covers"] > 0.85
    assert row["prompts_alone"] < 0.7
    assert len(BENCHMARK["table"]([row])) == 5


def test_the_guide_says_what_was_kept():
    normal = [row for row in ROWS if row["shape"] == "normal"]
    assert len(normal) == len(BENCHMARK["SEEDS"]) * len(BENCHMARK["RATIOS"])
    told = re.sub(r"\s+", " ", (ROOT / "docs" / "guides" / "designs.md").read_text(encoding="utf-8"))
    for name, digits in (("covers", 1), ("seeds_alone", 0), ("prompts_alone", 0)):
        found = [row[name] for row in normal]
        assert f"{min(found):.{digits}%} to {max(found):.{digits}%}" in told, name
    assert {row["n"] for row in ROWS} == {2000}


def test_the_figure_is_of_what_was_kept():
    assert BENCHMARK["FIGURE"].read_text(encoding="utf-8") == BENCHMARK["figure"](ROWS).svg()
