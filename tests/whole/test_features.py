"""The table of features: every function is exported, every claim is there, every figure is drawn by the claims it stands beside."""

import re
from pathlib import Path

import pytest

import mechcheck

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "docs" / "features.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| feature")
]
# Figures that a function of the library makes for a claim.
MADE_BY = {
    "Heatmap": ("Heatmap(", "head_heatmap", "heatmap", "counterfactual_maps"),
    "AttentionView": ("AttentionView(", "attention_view"),
    "SearchTrace": ("SearchTrace(", ".figure(", "search_figure"),
    "Bars": ("Bars(", "ranking_figure"),
    "CircuitGraph": ("CircuitGraph(", "edge_graph(", "path_graph("),
    "Lines": ("Lines(", "steering_figure("),
    "Table": ("Table(", ".figure(", "induction_reports"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_row(row):
    _, functions, claim, figure = row
    for name in re.findall(r"`(\w+)`", functions):
        assert callable(getattr(mechcheck, name)), name
    text = (ROOT / claim.strip("`")).read_text(encoding="utf-8")
    assert "@claim(" in text
    kind = figure.strip("`")
    assert hasattr(mechcheck, kind)
    assert any(maker in text for maker in MADE_BY.get(kind, (f"{kind}(",))), f"{claim} draws no {kind}"


def test_every_function_of_a_row_is_used_somewhere_in_the_claims():
    everything = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "claims").rglob("*.py"))
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", everything)] == []
