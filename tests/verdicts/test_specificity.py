"""When a share of alternatives is told from one half: by hand, and by how often it is told wrongly."""

import numpy as np
import pytest

from mechcheck.stats.estimates import Confidence
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.specificity import Tally, Whole, judge, told
from mechcheck.verdicts.trial import Rerun, Result


@pytest.mark.parametrize(
    ("tally", "alternatives", "decision"),
    [
        (Tally(0, 2, 0), 2, "specific"),
        (Tally(1, 1, 0), 2, "vacuous"),
        (Tally(1, 2, 0), 3, "specific"),
        (Tally(2, 1, 0), 3, "vacuous"),
        (Tally(0, 2, 1), 3, "specific"),
        (Tally(0, 1, 1), 2, "cannot tell"),
        (Tally(0, 0, 3), 3, "cannot tell"),
        (Tally(1, 0, 2), 3, "cannot tell"),
        (Tally(1, 0, 0), 1, "vacuous"),
        (Tally(0, 1, 1), 3, None),
    ],
)
def test_all_of_them_are_counted(tally, alternatives, decision):
    """Half that satisfy are too many; those that are neither reject nothing and satisfy nothing."""
    assert told(tally, alternatives) == decision


@pytest.mark.parametrize(
    ("tally", "decision"),
    [
        (Tally(0, 4, 0), None),
        (Tally(0, 5, 0), "specific"),  # 1/32
        (Tally(5, 0, 0), "vacuous"),
        (Tally(0, 5, 1), None),  # at most one of six: 7/64
        (Tally(1, 8, 0), None),  # 10/512, but later looks are stricter
        (Tally(1, 9, 0), "specific"),  # 11/1024
        (Tally(3, 3, 3), None),
        (Tally(0, 0, 20), None),
    ],
)
def test_drawn_ones_are_told_from_one_half(tally, decision):
    assert told(tally, None) == decision


@pytest.mark.parametrize(("share", "wrong"), [(0.5, {"specific", "vacuous"}), (0.2, {"vacuous"}), (0.8, {"specific"})])
def test_how_often_it_is_told_wrongly(share, wrong):
    """Over all looks at up to 16 draws, at the worst share in at most 5% on each side."""
    rng, counts = np.random.default_rng(0), {"specific": 0, "vacuous": 0, "cannot tell": 0}
    for _ in range(4000):
        satisfied = failed = 0
        decision = None
        for hit in rng.random(16) < share:
            satisfied, failed = satisfied + hit, failed + (not hit)
            decision = told(Tally(int(satisfied), int(failed), 0), None)
            if decision:
                break
        counts[decision or "cannot tell"] += 1
    for side in wrong:
        assert counts[side] / 4000 <= (0.05 if share == 0.5 else 0.005)


def test_bounds():
    assert Whole("sites", Tally(1, 2, 1), 4).bounds == (0.25, 0.5)
    low, high = Whole("sites", Tally(1, 8, 1), None).bounds
    assert low == pytest.approx(1 - 0.95 ** (1 / 10))  # of at least 1 in 10
    assert high == pytest.approx(0.5069, abs=1e-3)  # Clopper-Pearson of 2 in 10
    assert Whole("sites", Tally(0, 0, 0), None).bounds == (0.0, 1.0)


@pytest.mark.parametrize(
    ("direction", "claimed", "others", "separating"),
    [
        ("above", 3.0, (1.0, 2.0), (2.0 + 2.911) / 2),
        ("below", -3.0, (-1.0, -2.0), (-2.0 - 2.911) / 2),
        ("above", 3.0, (1.0, 4.0), None),
    ],
)
def test_a_claim_beside_its_alternatives(around, direction, claimed, others, separating):
    """The contrast is the claim less their average, prompt by prompt; the threshold lies between its interval and the nearest of them."""
    check = Check()
    getattr(check, direction)(around(claimed), 0.0)
    runs = [Rerun(f"{mean}", "supported", (Result("called otherwise", "supported", around(mean)),)) for mean in others]
    found = judge(check.expectations, 0, check.samples[0], runs, "others", None, Confidence())
    assert found.tally == Tally(len(others), 0, 0)
    assert found.contrast.value == pytest.approx(claimed - np.mean(others))
    assert found.contrast.low == pytest.approx(found.contrast.high)  # all differ on every prompt by as much
    assert found.separating == (None if separating is None else pytest.approx(separating, abs=2e-3))
