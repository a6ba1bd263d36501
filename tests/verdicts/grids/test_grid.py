"""What a grid may consist of, and what its cells are called."""

import functools

import pytest

from mechcheck import Grid, claim, grid, log_odds, logit_diff
from mechcheck.base.errors import ClaimError


def test_cells_are_every_combination_the_last_axis_fastest():
    found = grid(ablation=["zero", "mean"], metric=[logit_diff, log_odds])
    assert [cell.number for cell in found.cells] == [0, 1, 2, 3]
    assert [cell.at["ablation"] for cell in found.cells] == ["zero", "zero", "mean", "mean"]
    assert found.cells[1].values == {"ablation": "zero", "metric": log_odds}
    assert found.cells[1].text == f"ablation=zero, metric={log_odds.name}"
    assert found.names == {"ablation", "metric"}


def test_axes_of_fixtures_are_no_arguments():
    found = grid(models=["a", "b"], seeds=[0], dtype=["float32"], where=["END"])
    assert found.names == {"where"}
    assert found.cells[1].arguments == {"where": "END"}
    assert found.cells[1].text == "model=b, seed=0, dtype=float32, where=END"


def test_a_value_is_called_by_its_name():
    def nearest(logits, prompts):
        return logits

    assert [cell.text for cell in grid(metric=[nearest, 0.5]).cells] == ["metric=nearest", "metric=0.5"]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"ablation": []}, r"an axis without values leaves nothing to run"),
        ({"ablation": "zero"}, r"a list of values is expected, for example ablation=\['zero', \.\.\.\]"),
        ({"ablation": 3}, r"a list of values is expected"),
        ({"ablation": ["zero", "mean", "zero"]}, r"'zero' stands there twice"),
        ({"ablation": ["zero"]}, r"one combination \(ablation=zero\)"),
        ({}, r"one combination \(no axes\)"),
        ({"model": ["a", "b"]}, r"the axis is called models=\[\.\.\.\]"),
        ({"seed": [0, 1]}, r"the axis is called seeds=\[\.\.\.\]"),
        ({"ablation": {"zero", "mean"}}, r"a set has no order"),
        ({"ablation": b"zm"}, r"a list of values is expected"),
        ({"ablation": [object(), "zero"]}, r"called otherwise in every process"),
        ({"metric": [functools.partial(max, key=lambda x: x), "min"]}, r"called otherwise in every process"),
        ({"ablation": ["", "zero"]}, r"ablation=\[''\]\): a cell is called by its values"),
        ({"ablation": ["ze\nro", "mean"]}, r"one line of text is expected"),
        ({"ablation": ["\ud800", "mean"]}, r"half of a character"),
        ({"seeds": ["0", "1"]}, r"seeds=\['0'\]\): a whole number is expected"),
        ({"seeds": [True, False]}, r"seeds=\[True\]\): a whole number is expected"),
        ({"seeds": [0.5, 1]}, r"a whole number is expected"),
        ({"models": [1, 2]}, r"models=\[1\]\): a name, as text, is expected"),
        ({"dtype": [float, "float32"]}, r"a name, as text, is expected"),
    ],
)
def test_what_is_no_grid_is_refused(axes, said):
    with pytest.raises(ClaimError, match=said):
        grid(**axes)


def test_a_claim_takes_a_grid_and_no_budget_beside_it():
    @claim("it is so", over=grid(a=[0, 1]))
    def marked(a):
        """A test."""

    assert marked.pytestmark[0].args[0].over == Grid({"a": (0, 1)})
    with pytest.raises(ClaimError, match=r"over=\{'a': \[0, 1\]\}: grid\(\.\.\.\) is expected"):
        claim("it is so", over={"a": [0, 1]})
    with pytest.raises(ClaimError, match="all its prompts at once"):
        claim("it is so", over=grid(a=[0, 1]), budget=96)
    with pytest.raises(ClaimError, match="names them a second time"):
        claim("it is so", over=grid(models=["a", "b"]), models=["a"])


@pytest.mark.parametrize("expect", ["method_dependent", {"zero": "method_dependent"}])
def test_without_a_grid_nothing_depends_on_the_method(expect):
    with pytest.raises(ClaimError, match="cannot be expected to depend on its method"):
        claim("it is so", expect=expect)
