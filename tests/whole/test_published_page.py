"""The page on published claims: its table is what the data say."""

import runpy
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "docs" / "published_table.py"


def test_the_table_is_current():
    """If this fails: python docs/published_table.py."""
    made = runpy.run_path(str(TABLE))
    page = made["PAGE"].read_text(encoding="utf-8")
    assert made["with_table"](page) == page
    assert page.count(f"| {made['RUN_HERE']} |") == sum(len(made["published"](name)) for name in made["published_names"]())
