"""High-level models: named values, as they come or as they are set."""

import pytest
import torch

from mechcheck.base.errors import CircuitError, PromptError
from mechcheck.circuits.hypotheses.high_level import check_variables, every_said, said
from mechcheck.prompts.one import Prompt

PROMPTS = [Prompt((4, 5), {"A": 0, "B": 1}, "t", "one"), Prompt((6, 7), {"A": 0, "B": 1}, "t", "other")]


def adds(prompt, let):
    first = let("first", prompt["A"])
    return let("sum", first + prompt["B"]) + 1


def test_what_is_set_is_what_the_rest_reads():
    assert said(adds, PROMPTS[0]) == (10, {"first": 4, "sum": 9})
    assert said(adds, PROMPTS[0], {"first": 1}) == (7, {"first": 1, "sum": 6})
    assert said(adds, PROMPTS[0], {"sum": 1}) == (2, {"first": 4, "sum": 1})
    assert said(adds, PROMPTS[0], {"first": 1, "sum": 3}) == (4, {"first": 1, "sum": 3})
    assert [one.output for one in every_said(adds, PROMPTS, [{"first": 0}, {}])] == [6, 14]
    assert said(lambda prompt, let: torch.tensor(3), PROMPTS[0]).output == 3


@pytest.mark.parametrize(
    ("function", "error", "why"),
    [
        (lambda prompt, let: let("x", let("x", 1)), CircuitError, "names the variable 'x' twice"),
        (lambda prompt, let: 1 // 0, CircuitError, "failed on prompt one: ZeroDivisionError"),
        (lambda prompt, let: "Mary", CircuitError, "gave str, expected the number of a token"),
        (lambda prompt, let: None, CircuitError, "gave NoneType"),
        (lambda prompt, let: True, CircuitError, "gave bool"),
        (lambda prompt, let: prompt["C"], PromptError, "no position 'C'"),
    ],
)
def test_what_is_no_function_to_a_token_is_refused(function, error, why):
    with pytest.raises(error, match=why):
        said(function, PROMPTS[0])


def test_a_value_that_the_function_cannot_take_is_told():
    with pytest.raises(CircuitError, match="adds failed on prompt one with 'first' set: TypeError"):
        said(adds, PROMPTS[0], {"first": "x"})


def test_variables_are_those_that_are_aligned():
    found = every_said(adds, PROMPTS)
    check_variables(("sum", "first"), found, 15)
    with pytest.raises(CircuitError, match="'third' is aligned, and the function does not name it on every prompt"):
        check_variables(("first", "sum", "third"), found, 15)
    with pytest.raises(CircuitError, match="'sum' is aligned with no site"):
        check_variables(("first",), found, 15)
    with pytest.raises(CircuitError, match="gave token 14, and the model has tokens 0-13"):
        check_variables(("first", "sum"), found, 14)
