"""check.gate: the expectations that make a gate, and what each comes to."""

import pytest
from made_gates import made

from mechcheck.base.errors import ClaimError
from mechcheck.evidence.caveats.shares import beyond_whole
from mechcheck.verdicts.check import Check

EFFECTS = {
    "and": ((10, 10, 10), (0, 0, 10)),
    "or": ((0, 0, 10), (10, 10, 10)),
    "chain": ((10, 10, 10), (10, 10, 10)),
    "additive": ((4, 6, 10), (4, 6, 10)),
}


@pytest.mark.parametrize("kind", EFFECTS)
def test_each_gate_is_itself_and_no_other(kind):
    for other, effects in EFFECTS.items():
        check = Check()
        noising, denoising = check.gate(made(*effects, spread=1.0), kind)
        assert check.verdict == ("supported" if kind == other else "refuted"), other
        assert [e.estimate for e in check.expectations[:2]] == [noising, denoising]
        assert len({e.label for e in check.expectations}) == len(check.expectations) == (3 if kind == "additive" else 2)
        assert check.expectations[0].label.startswith(f"0.0 1.1 and 0.2@A are {kind}: interaction by noising ")


def test_parts_that_do_nothing_are_not_additive():
    check = Check()
    check.gate(made((0, 0, 0), (0, 0, 0)), "additive", label="idle")
    assert [e.verdict for e in check.expectations] == ["supported", "supported", "refuted"]
    assert check.expectations[2].label == "idle: noising both takes > 0.25 of the way"


def test_what_cannot_be_told():
    check = Check()
    check.gate(made((0, 0, 10), (10, 10, 10), spread=60.0), "or")
    assert check.verdict == "inconclusive"
    nowhere = Check()
    nowhere.gate(made((0, 0, 10), (10, 10, 10), clean=0.0), "or")
    assert nowhere.verdict == "not_applicable"


def test_an_interaction_is_no_share_of_a_whole():
    check = Check()
    check.gate(made((0, 0, 16), (10, 10, 10)), "or")
    assert check.expectations[0].estimate.value == 1.6
    assert [*beyond_whole(check.expectations, check.samples)] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((made(*EFFECTS["or"]), "nor"), "unknown gate 'nor'; did you mean 'or'"), ((3.0, "or"), "takes what gate"),
        ((made(*EFFECTS["or"]), "or", 1.0), "between 0 and 1"), ((made(*EFFECTS["or"]), ["or"]), "unknown gate"),
        ((made(*EFFECTS["or"]), "or", "x"), "a number is expected"),
    ],
)  # fmt: skip
def test_what_is_refused(arguments, said):
    found, kind, *margin = arguments
    with pytest.raises(ClaimError, match=said):
        Check().gate(found, kind, **({"margin": margin[0]} if margin else {}))
