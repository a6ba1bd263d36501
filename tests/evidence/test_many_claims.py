"""Many claims in one run, by hand: which p-value is a claim's, how they are adjusted, and what a false discovery rate undoes."""

import pytest

from mechcheck.evidence.multiplicity import judge_run, multiplicity_lines, undone_text


def claim(*checks, verdict="supported"):
    """Checks are (p, p_refuted), or with "precondition" as a third."""
    expectations = [
        {"p": p, "p_refuted": refuted, "p_adjusted": None, "role": role[0] if role else "claim"} for p, refuted, *role in checks
    ]
    for e in expectations:
        e["verdict"] = "supported" if (e["p"] or 1) <= 0.025 else "refuted" if (e["p_refuted"] or 1) <= 0.025 else "inconclusive"
    decided = next((i for i, e in enumerate(expectations) if e["verdict"] == verdict), None)
    return {
        "verdict": verdict, "met": verdict == "supported", "reason": "first: as measured; second: likewise",
        "expectations": expectations, "deciding": decided,
    }  # fmt: skip


def test_adjusted_by_hand():
    """Two-sided: 0.02 and 0.08; Benjamini and Hochberg: 0.04 and 0.08. A check's own is raised by its claim's factor."""
    claims = [claim((0.04, 0.96)), claim((0.01, 0.99))]
    found = judge_run(claims, 0.975)
    assert [c["p_adjusted"] for c in claims] == pytest.approx([0.08, 0.04])
    assert [c["expectations"][0]["p_adjusted"] for c in claims] == pytest.approx([0.04, 0.02])
    assert (found["tested"], found["decided"], found["undone"], found["fdr"]) == (2, 2, 0, None)
    # No p-value beyond 1/2: at most (1 + 0) / (2 / 2) of them are nulls; of those a twentieth is decided by chance.
    assert (found["nulls"], found["false_share"]) == (1.0, None)  # of two claims nobody can tell


@pytest.mark.parametrize(
    ("checks", "p"),
    [
        (((0.01, 0.99), (0.2, 0.8)), 0.4),  # supported when all are: the worst of them
        (((0.9, 0.004), (0.99, 0.5)), 0.016),  # refuted when one is: the best of them, of two
        (((0.9, 0.3), (0.8, 0.4)), 1.0),
        (((0.03, 0.97), (0.9, 0.001, "precondition")), 0.06),
        (((0.03, None),), 0.06),
    ],
)
def test_a_claims_own(checks, p):
    one = claim(*checks)
    judge_run([one], 0.975)
    assert one["p_adjusted"] == pytest.approx(p)


@pytest.mark.parametrize(
    "untested",
    [
        claim(verdict="errored"),
        claim((0.01, 0.99), verdict="not_applicable"),
        claim((0.01, 0.99), (None, None)),
        claim((0.01, 0.99, "precondition")),
    ],
    ids=["nothing measured", "not applicable", "a check without", "a precondition alone"],
)
def test_where_there_is_nothing_to_adjust(untested):
    assert judge_run([untested], 0.975) is None
    beside = claim((0.02, 0.98))
    assert judge_run([untested, beside], 0.975)["tested"] == 1
    assert beside["p_adjusted"] == pytest.approx(0.04)
    assert "p_adjusted" not in untested


def test_what_does_not_stand_at_the_rate_is_undone():
    claims = [claim((0.001, 0.999)), claim((0.02, 0.98)), claim((0.5, 0.5), verdict="inconclusive")]
    found = judge_run(claims, 0.975, fdr=0.05)  # adjusted: 0.006, 0.06, 1
    assert [c["verdict"] for c in claims] == ["supported", "inconclusive", "inconclusive"]
    assert [c["met"] for c in claims] == [True, False, False]
    assert (
        claims[1]["reason"] == "supported alone, and not at a false discovery rate of 0.05 over this run (p = 0.06 adjusted); "
        "first: as measured; second: likewise"
    )
    assert (found["tested"], found["decided"], found["undone"]) == (3, 1, 1)
    assert found["false_share"] <= 0.05
    assert [undone_text(c) for c in claims] == [
        None, "supported alone, and not at a false discovery rate of 0.05 over this run (p = 0.06 adjusted)", None,
    ]  # fmt: skip
    assert list(multiplicity_lines(found))[1:] == [
        "1 more were decided alone, and not at the false discovery rate of 0.05 that was asked for"
    ]


@pytest.mark.parametrize(
    ("one", "deciding"),
    [
        (claim((0.0001, 0.999), (0.02, 0.98), (0.001, 0.999)), 1),  # supported by the weakest of its checks
        (claim((0.03, 0.97), (0.9, 0.0001), (0.99, 0.001), verdict="refuted"), 1),
        (claim((0.024, 0.97, "precondition"), (0.0001, 0.99), (0.01, 0.98)), 2),
    ],
    ids=["supported", "refuted", "with a precondition"],
)
def test_what_is_undone_is_told_by_the_check_that_it_is_undone_for(one, deciding):
    judge_run([one], 0.975, fdr=1e-6)
    assert (one["verdict"], one["deciding"]) == ("inconclusive", deciding)


def test_where_nothing_stands_that_is_told_too():
    found = judge_run([claim((0.02, 0.98)), claim((0.9, 0.01), verdict="refuted")], 0.975, fdr=0.001)
    assert (found["decided"], found["false_share"]) == (0, None)
    assert list(multiplicity_lines(found)) == ["2 were decided alone, and not at the false discovery rate of 0.001 that was asked for"]
