"""Names of formulas: they say what was computed, with the brackets that this takes and no others."""

import ast
import math
import re
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.stats.formulas import bracketed
from mechcheck.stats.measurement import Measurement

PROMPTS = ("p0", "p1", "p2")
# Powers of two and their halves, so that no order of evaluation rounds; far enough apart that brackets matter.
ATOMS = {
    name: np.array(values)
    for name, values in {"a": [1.5, -2.0, 4.0], "b": [0.5, 8.0, -0.25], "c": [16.0, 0.125, 2.0], "d": [-4.0, 1.0, 0.5]}.items()
}
NUMBERS = st.sampled_from([2, 0.5, -2, -0.25, 4])


def atom(name: str) -> Measurement:
    return Measurement(ATOMS[name], PROMPTS, ("t",) * 3, name)


def grown(smaller):
    """Sums, differences, products with a number, negatives, shares of a number, comparisons."""
    return st.one_of(
        st.tuples(smaller, smaller).map(lambda ab: ab[0] + ab[1]),
        st.tuples(smaller, smaller).map(lambda ab: ab[0] - ab[1]),
        st.tuples(smaller, NUMBERS).map(lambda an: an[0] + an[1]),
        st.tuples(smaller, NUMBERS).map(lambda an: an[0] - an[1]),
        st.tuples(NUMBERS, smaller).map(lambda na: na[0] * na[1]),
        st.tuples(smaller, NUMBERS).map(lambda an: an[0] / an[1]),
        smaller.map(lambda a: -a),
        st.tuples(smaller, NUMBERS).map(lambda an: an[0] > an[1]),
        st.tuples(smaller, NUMBERS).map(lambda an: an[0] < an[1]),
    )


COMPUTED = st.recursive(st.sampled_from(sorted(ATOMS)).map(atom), grown, max_leaves=6)
POINTS = [{f"v{i}": x for i, x in enumerate(values)} for values in np.random.default_rng(0).normal(0, 4, (200, 40)).tolist()]


def value(formula: str, at: dict) -> float:
    """The formula as Python reads it."""
    return float(eval(formula, {}, at))


def at_prompt(row: int) -> dict:
    return {name: float(values[row]) for name, values in ATOMS.items()}


@given(COMPUTED)
def test_the_name_computes_the_values(measured):
    assert [value(measured.name, at_prompt(row)) for row in range(3)] == pytest.approx(measured.values, rel=1e-12)


@given(COMPUTED, COMPUTED)
def test_the_name_of_a_ratio_computes_it(a, b):
    name = (a / b).name
    for row in np.flatnonzero(b.values):
        assert value(name, at_prompt(row)) == pytest.approx(a.values[row] / b.values[row], rel=1e-12)


def pairs(formula: str) -> list[tuple[int, int]]:
    """Where brackets open and close."""
    opened, found = [], []
    for i, character in enumerate(formula):
        if character == "(":
            opened.append(i)
        elif character == ")":
            found.append((opened.pop(), i))
    return found


@given(st.one_of(COMPUTED, st.tuples(COMPUTED, COMPUTED).map(lambda ab: ab[0] / ab[1])))
def test_no_brackets_could_be_left_out(measured):
    counter = count()
    # Each name and each number of its own value: neither a - a nor 2 - 2 is an accident then.
    formula = re.sub(r"\b[a-d]\b|\b\d+(?:\.\d+)?", lambda _: f"v{next(counter)}", measured.name)
    for start, end in pairs(formula):
        bare = formula[:start] + formula[start + 1 : end] + formula[end + 1 :]
        assert any(differs(formula, bare, at) for at in POINTS), f"{formula} says the same as {bare}"


class Told(ast.NodeTransformer):
    """A comparison as a number of its own for every pair that is compared: with a plain 0 and 1 different formulas agree by accident."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("told", ast.Load()), [node.left, *node.comparators], [])


def told(*compared: float) -> float:
    return math.sin(sum(x * (i + 1.7) for i, x in enumerate(compared))) + 1.5


def differs(one: str, other: str, at: dict) -> bool:
    found = []
    for formula in (one, other):
        tree = ast.fix_missing_locations(Told().visit(ast.parse(formula, mode="eval")))
        found.append(eval(compile(tree, "formula", "eval"), {"told": told}, at))
    return not math.isclose(*found, rel_tol=1e-9, abs_tol=1e-12)


def test_names_as_a_reader_sees_them():
    a, b, c = map(atom, "abc")
    assert (a - b / 2).name == "a - b / 2"
    assert (-(a - b)).name == "-(a - b)"
    assert (2 * (a - b)).name == "2 * (a - b)"
    assert (c / (a - b)).name == "c / (a - b)"
    assert (a - (b - c)).name == "a - (b - c)"
    assert (a + (b - c)).name == "a + b - c"
    assert ((a - b) > 0.5).name == "a - b > 0.5"
    assert ((a > 0) - (b > 0)).name == "(a > 0) - (b > 0)"
    assert (a - -2).name == "a + 2"
    assert (a - (-b)).name == "a + b"
    assert (-(-2 * a)).name == "2 * a"


def test_what_somebody_called_a_difference_is_one():
    share = atom("a").named("clean - ablated") / atom("b").named("clean")
    assert share.name == "(clean - ablated) / clean"
    assert (2 * atom("a").named("p(a - b)")).name == "2 * p(a - b)"
    assert bracketed("attention END->S2", 4) == "attention END->S2"
