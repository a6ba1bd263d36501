"""A claim over a grid of methods on circuits that were built: every cell says what the truth table says, and so does the one answer."""

import pytest

from mechcheck import Check, grid, load_model, run, task_prompts
from mechcheck.compiled import known_circuit, truth_table
from mechcheck.conformance.truth_tables import row_interventions
from mechcheck.verdicts.grids.decision import decide_grid
from mechcheck.verdicts.outcome import decide_claim

THRESHOLDS = (-6.0, 2.0, 9.0)


def tables():
    """Model and roles -> method -> the row of its truth table, where there are several with a logit difference."""
    found = {}
    for name in ("compiled-ioi", "compiled-redundant", "compiled-negative"):
        for row in truth_table(name):
            if row.roles and row.logit_diff is not None:
                found.setdefault((name, row.roles), {})[row.method] = row
    return {about: rows for about, rows in found.items() if len(rows) > 1}


@pytest.mark.parametrize(("about", "rows"), tables().items(), ids=lambda value: "-".join((value[0], *value[1])) if len(value) == 2 else "")
def test_every_cell_agrees_with_the_truth_table(about, rows):
    name, _ = about
    model, circuit = load_model(name), known_circuit(name)
    prompts = task_prompts("ioi", model, n=96, seed=0)
    measured = {method: run(model, prompts, row_interventions(row, circuit)) for method, row in rows.items()}
    for threshold in THRESHOLDS:
        over = grid(method=list(rows))
        check = Check(over=over)
        for check.cell in over.cells:
            check.below(measured[check.cell.values["method"]], threshold, "it is below")
        found = decide_grid(over, check.decided, check.confidence.overall)
        truth = {method: "supported" if row.logit_diff.value < threshold else "refuted" for method, row in rows.items()}
        assert {cell.at["method"]: cell.verdict for cell in found.cells} == truth
        said = {"supported": "robust", "refuted": "refuted"}
        kinds = set(truth.values())
        assert found.answer == (said[kinds.pop()] if len(kinds) == 1 else "method_dependent")
        assert decide_claim(check, "supported").verdict == found.verdict


def test_there_are_grids_of_both_kinds():
    """Else the test above would see one answer only."""
    answers = set()
    for rows in tables().values():
        for threshold in THRESHOLDS:
            answers.add(len({row.logit_diff.value < threshold for row in rows.values()}))
    assert answers == {1, 2}
