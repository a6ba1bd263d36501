"""A claim over a grid, in the terminal's words."""

from mechcheck.evidence.grids.in_words import grid_lines


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high}


def check(verdict, value, role="claim"):
    return {"verdict": verdict, "role": role, "estimate": estimate(value, value - 1, value + 1)}


def claim(cells, checks, differences=()):
    return {"grid": {"text": "the answer", "cells": cells, "differences": list(differences)}, "expectations": checks}


def cell(name, verdict, *places):
    return {"text": name, "verdict": verdict, "expectations": list(places)}


def test_a_line_for_the_answer_and_one_for_each_cell():
    found = claim(
        [cell("a", "supported", 0), cell("b", "refuted", 1), cell("c", "inconclusive", 2)],
        [check("supported", 2.0), check("refuted", -2.0), check("inconclusive", 0.0)],
        [
            {"expectation": 1, "estimate": estimate(-4.0, -5.0, -3.0), "problem": None},
            {"expectation": 2, "estimate": None, "problem": "other prompts"},
        ],
    )
    assert list(grid_lines(found)) == [
        "the answer",
        "  [a] supported +2.000 [+1.000, +3.000]",
        "  [b] refuted -2.000 [-3.000, -1.000]; from the first -4.000 [-5.000, -3.000]",
        "  [c] inconclusive +0.000 [-1.000, +1.000]; from the first: other prompts",
    ]


def test_other_claims_have_no_lines():
    assert list(grid_lines({"expectations": [check("supported", 1.0)]})) == []


def test_a_cell_is_told_by_the_check_that_decided_it():
    checks = [check("refuted", -1.0, "precondition"), check("refuted", -3.0)]  # that of nothing is lost decides nothing
    unmet = cell("a", "not_applicable", 0, 1)
    assert [*grid_lines(claim([unmet | {"deciding": 0}], checks))][1].startswith("  [a] not applicable -1.000 ")
    assert [*grid_lines(claim([unmet], checks))][1].startswith("  [a] not applicable -1.000 ")  # evidence that does not say
    assert [*grid_lines(claim([cell("a", "inconclusive") | {"deciding": None}], []))] == ["the answer"]
