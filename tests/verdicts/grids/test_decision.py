"""The one answer of a claim over a grid, from what its cells came to."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcheck import grid
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.multiplicity import holm
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.grids.decision import Sides, answer, decide_grid, two_sided
from mechcheck.verdicts.outcome import decide_claim

ALPHA = 0.025
slowly = settings(deadline=None)  # the first example imports what the others have


def side(p, p_refuted):
    """A cell as its p-values decide it."""
    return Sides("supported" if p <= ALPHA else "refuted" if p_refuted <= ALPHA else "inconclusive", p, p_refuted)


@st.composite
def some_sides(draw):
    """One-sided p-values against each other, as one test gives them: they sum to one."""
    p = draw(st.one_of(st.floats(0, 1), st.floats(0, ALPHA), st.floats(1 - ALPHA, 1)))
    return side(p, 1 - p)


NOTHING = Sides("not_applicable", 1.0, 1.0)


@slowly
@given(st.lists(st.one_of(some_sides(), st.just(NOTHING)), min_size=2, max_size=9), st.randoms())
def test_the_rule(cells, random):
    said, stands = answer(cells, ALPHA)
    verdicts = {cell.verdict for cell in cells}
    assert (said == "robust") == (verdicts == {"supported"})
    assert (said == "refuted") == (verdicts == {"refuted"})
    assert (said == "not_applicable") == (verdicts == {"not_applicable"})
    smallest = [len(cells) * min(p) <= ALPHA for p in ([c.p for c in cells], [c.p_refuted for c in cells])]
    assert (said == "method_dependent") == all(smallest)  # the first step of Holm is Bonferroni's
    for cell, stood in zip(cells, stands, strict=True):
        assert stood in (cell.verdict, "inconclusive")
    shuffled = random.sample(cells, len(cells))
    assert answer(shuffled, ALPHA)[0] == said


@slowly
@given(st.lists(some_sides(), min_size=2, max_size=9))
def test_a_cell_more_never_makes_an_undecided_claim_robust(cells):
    said, _ = answer(cells, ALPHA)
    for more in (side(0.0, 1.0), side(0.5, 0.5), NOTHING):
        then, _ = answer([*cells, more], ALPHA)
        assert then != "robust" or said == "robust"


@slowly
@given(st.lists(some_sides(), min_size=2, max_size=9))
def test_the_whole_claims_p_value_agrees_with_the_answer(cells):
    said, _ = answer(cells, ALPHA)
    assert (two_sided(cells) <= 2 * ALPHA) == (said in ("robust", "refuted", "method_dependent"))


def test_chance_alone_rarely_makes_a_claim_depend_on_its_method():
    """Cells that are all true by nothing, so that each decision of one is wrong as often as is allowed."""
    rng, wrong, single = np.random.default_rng(0), 0, 0
    for _ in range(4000):
        ps = rng.uniform(size=8)
        strong = [side(float(p), float(1 - p)) for p in (*ps, 1e-6)]  # one cell in which it certainly holds
        wrong += answer(strong, ALPHA)[0] == "method_dependent"
        single += any(cell.verdict == "refuted" for cell in strong)
    assert wrong / 4000 <= ALPHA
    assert single / 4000 > 4 * ALPHA  # each cell by itself would have said so far too often
    assert holm([0.01, 0.9]) == [0.02, 0.9]


def checked(around, means, threshold=0.0):
    """A check that measured one mean in each cell."""
    over = grid(method=[f"m{i}" for i in range(len(means))])
    check = Check(over=over)
    for check.cell, mean in zip(over.cells, means, strict=True):
        check.above(around(mean), threshold, "effect")
    return check


@pytest.mark.parametrize(
    ("means", "said", "verdict", "place"),
    [
        ((1, 2), "robust", "supported", 0),
        ((-1, -2), "refuted", "refuted", 0),
        ((1, -1), "method_dependent", "method_dependent", 1),
        ((1, 0), "inconclusive", "inconclusive", 1),
        ((0, -1, 0), "inconclusive", "inconclusive", 0),
    ],
)
def test_a_claim_is_decided_on_its_cells(around, means, said, verdict, place):
    found = decide_claim(checked(around, means), "method_dependent")
    assert (found.grid.answer, found.verdict, found.deciding) == (said, verdict, place)
    assert found.met == (verdict == "method_dependent")
    assert [cell.places for cell in found.grid.cells] == [(i,) for i in range(len(means))]
    assert found.reason == found.grid.text
    assert checked(around, means).verdict == verdict


def test_the_text_names_a_few_cells(around):
    found = decide_claim(checked(around, (1, -1, -1, -1, -1)), "supported").grid
    assert found.text == ("method-dependent: supported in 1 ([method=m0]), refuted in 4 ([method=m1], [method=m2], [method=m3], ...)")
    assert decide_claim(checked(around, (1, 1)), "supported").grid.text == "robust: supported in all 2 cells"


def test_labels_say_the_cell_and_are_told_apart_within_it(around):
    over = grid(method=["a", "b"])
    check = Check(over=over)
    for check.cell in over.cells:
        check.above(around(1), 0.0, "effect")
        check.above(around(2), 0.0, "effect")
    labels = ["effect [method=a]", "effect (2) [method=a]", "effect [method=b]", "effect (2) [method=b]"]
    assert [e.label for e in check.expectations] == labels
    assert [e.cell for e in check.expectations] == [0, 0, 1, 1]


def test_a_refutation_stands_among_the_checks_of_its_cell_alone(around):
    """In a claim of one cell with as many checks it would not: p = 0.02 among ten."""
    over = grid(method=[f"m{i}" for i in range(10)])
    check = Check(over=over)
    for check.cell in over.cells:
        check.above(around(0.0), 0.13, "effect")
    (p,) = {e.p_refuted for e in check.expectations}
    assert ALPHA / 10 < p <= ALPHA
    assert {e.verdict for e in check.decided} == {"refuted"}
    assert decide_claim(check, "refuted").verdict == "refuted"


def test_differences_from_the_first_hold_at_once(around):
    found = decide_claim(checked(around, (1, -1, 3)), "supported").grid.differences
    assert [(one.cell, one.place, one.problem) for one in found] == [(1, 1, None), (2, 2, None)]
    assert [one.estimate.value for one in found] == pytest.approx([-2, 2])
    assert [one.estimate.level for one in found] == pytest.approx([1 - 0.05 / 2] * 2)


def test_other_units_and_other_prompts_have_no_difference(around):
    over = grid(metric=["a", "b", "c"])
    check = Check(over=over)
    others = replace(around(1), ids=tuple(f"q{i}" for i in range(24)))
    for check.cell, measured in zip(over.cells, (around(1), around(1).named("odds", "nats"), others), strict=True):
        check.above(measured, 0.0, "effect")
    found = decide_claim(check, "supported").grid.differences
    assert [one.estimate for one in found] == [None, None]
    assert [one.problem for one in found] == ["nats and logits have no difference", "measured on other prompts"]


def test_preconditions_of_every_cell_come_first(around):
    over = grid(method=["a", "b"])
    for needed, verdict in (((1, 1), "supported"), ((1, -1), "inconclusive"), ((-1, -1), "not_applicable")):
        check = Check(over=over)
        for check.cell, mean in zip(over.cells, needed, strict=True):
            check.requires(around(mean), above=0.0, label="something to lose")
            check.above(around(mean), 0.0, "lost")
        found = decide_claim(check, "supported")
        assert found.verdict == verdict
        assert [cell.deciding for cell in found.grid.cells] == [1 if needed[0] > 0 else 0, 3 if needed[1] > 0 else 2]
        # Where one cell does not apply, that it does not is what left the claim untold.
        assert found.deciding == {"supported": 1, "inconclusive": 2, "not_applicable": 0}[verdict]


def test_a_search_is_certain(around):
    """A counterexample refutes whatever the number of cells; that none was found has no p-value, and no claim of cells has one then."""
    over = grid(of=["all", "most"])
    check = Check(over=over)
    for check.cell, broken in zip(over.cells, (False, True), strict=True):
        check.for_all(st.booleans(), lambda x, broken=broken: not (x and broken), n=2, label="holds")
    found = decide_grid(over, check.decided, Confidence().alpha)
    assert (found.answer, found.p) == ("method_dependent", None)
