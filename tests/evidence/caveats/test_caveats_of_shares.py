"""Shares of a whole that lie outside of it."""

import numpy as np
import pytest

from mechcheck.evidence.caveats.shares import beyond_whole
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check

N = 48
WHOLE = np.full(N, 4.0)
NOISE = np.resize([-0.04, -0.02, 0.0, 0.02, 0.04, 0.0], N)


def measured(values, name="part", unit="logits"):
    return Measurement(np.asarray(values, dtype=float), tuple(f"p{i}" for i in range(N)), tuple(f"t{i % 12}" for i in range(N)), name, unit)


def said(values, whole=WHOLE, decide=lambda check, share: check.above(share, 0.5)):
    """What is said of a share that a claim decides on."""
    check = Check()
    decide(check, measured(values) / measured(whole))
    return [*beyond_whole(check.expectations, check.samples)]


@pytest.mark.parametrize(
    ("share", "word"), [(1.2, "above 1"), (1.0, None), (0.7, None), (1.011, None), (0.0, None), (-0.2, "below 0"), (-0.005, None)]
)
def test_by_its_interval(share, word):
    found = said(WHOLE * (share + NOISE))
    assert len(found) == (word is not None)
    assert word is None or (f"the share is {share:.3g} [" in found[0] and f", {word}: " in found[0])


def test_by_its_prompts():
    """A mean between 0 and 1 of which a good part of the prompts know nothing."""
    wide = np.resize([1.6, 0.0, 1.7, 0.1], N)
    (found,) = said(WHOLE * wide)
    assert f"the share of {N // 2} of {N} prompts lies above 1.25 or below -0.25" in found
    assert said(WHOLE * np.resize([1.2, 0.2, 1.2, 0.3], N)) == []
    assert said(WHOLE * np.resize([1.6, 0.5, 0.6, 0.7, 0.5], N)) == [], "a fifth of them"
    # Prompts with hardly any whole have no share.
    assert said(np.resize([2.0, 2.0, 2.0, 0.9], N), np.resize([4.0, 4.0, 4.0, 0.1], N)) == []


def test_what_is_no_share():
    twice = WHOLE * (2.0 + NOISE)
    assert len(said(twice)) == 1
    assert said(twice, decide=lambda check, share: check.above(share, 1.5)) == [], "claimed to be more than the whole"
    assert said(-twice, decide=lambda check, share: check.below(share, -1)) == []
    assert said(-twice / 8, decide=lambda check, share: check.between(share, -0.4, 0.4)) == [], "a gap, which has a sign"
    assert len(said(twice, decide=lambda check, share: check.between(share, 0.5, 3.0))) == 1
    assert said(twice, decide=lambda check, share: (check.requires(share, above=0.1), check.above(measured(WHOLE), 1.0))) == []
    assert said(twice, decide=lambda check, share: check.above(measured(twice), 1.0)) == [], "in logits"
    yes, of = (np.resize(row, N) for row in ([1.0, 0.0], [1.0, 1.0]))
    assert said(yes, of, decide=lambda check, _: check.above(measured(yes, unit="") / measured(of, unit=""), 0.2)) == []
