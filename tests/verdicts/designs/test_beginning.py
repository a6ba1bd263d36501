"""`check.onset`: there by one checkpoint and from then on, and not yet at another."""

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check

NOISE = np.linspace(-0.2, 0.2, 24)


def effects(*means: float) -> dict[int, Measurement]:
    """At steps 0, 100, 200, ..."""
    ids, templates = tuple(f"p{i}" for i in range(24)), tuple(f"t{i % 8}" for i in range(24))
    return {100 * i: Measurement(mean + NOISE[::-1], ids, templates, "score", "attention") for i, mean in enumerate(means)}


@pytest.mark.parametrize(
    ("means", "told", "verdict"),
    [
        ((0, 0, 1, 1), {"by": 200}, "supported"),
        ((0, 0, 1, 1), {"by": 200, "after": 100}, "supported"),
        ((0, 0, 1, 1), {"by": 100}, "refuted"),
        ((0, 1, 1, 1), {"by": 200, "after": 100}, "refuted"),
        ((0, 1, 0, 1), {"by": 100}, "refuted"),  # it came and went
        ((0, 0.5, 1, 1), {"by": 100}, "inconclusive"),
        ((0, 0.5, 1, 1), {"by": 200, "after": 100}, "inconclusive"),
    ],
)
def test_either_way(means, told, verdict):
    up, down = Check(Confidence()), Check(Confidence())
    found = up.onset(effects(*means), above=0.5, **told)
    down.onset({step: -one for step, one in effects(*means).items()}, below=-0.5, **told)
    assert (up.verdict, down.verdict) == (verdict, verdict)
    assert found.steps == (0, 100, 200, 300)


def test_what_is_expected():
    check = Check(Confidence())
    check.onset(effects(0, 0, 1, 1), above=0.5, by=200, after=0)
    assert [e.label for e in check.expectations] == ["score > 0.5 at step 200", "score > 0.5 at step 300", "not yet: score < 0.5 at step 0"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"by": 100}, "needs one threshold"),
        ({"above": 0, "by": 150}, "by=150.: no such checkpoint; there are 0, 100, 200"),
        ({"above": 0, "by": 200, "after": 50}, "after=50.: no such checkpoint"),
        ({"above": 0, "by": None}, "by=None.: no such checkpoint"),
        ({"above": 0, "by": "200"}, "by='200'.: no such checkpoint"),
        ({"above": 0, "by": 100, "after": 100}, "it cannot be there by 100 and begin after 100"),
    ],
)
def test_what_is_refused(told, words):
    check = Check(Confidence())
    with pytest.raises(ClaimError, match=words):
        check.onset(effects(0, 1, 1), **told)
    assert check.expectations == []
