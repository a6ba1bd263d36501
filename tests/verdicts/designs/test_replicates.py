"""`check.replicates`: what it decides, what it tells, and what would settle it."""

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError, MechcheckError
from mechcheck.measures.figures.forest import forest_figure
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.replication import replication
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.settling import settled_by


def effects(*means: float) -> dict[str, Measurement]:
    """Seeds of these means, on the same 24 prompts of 8 templates."""
    ids, templates = tuple(f"p{i}" for i in range(24)), tuple(f"t{i % 8}" for i in range(24))
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, 24)
    values = [mean + noise + rng.normal(0, 0.1, 24) for mean in means]
    return {f"seed{i}": Measurement(one, ids, templates, "lost", "logits") for i, one in enumerate(values)}


@pytest.mark.parametrize(
    ("means", "verdict"),
    [((2.0, 2.2, 1.9, 2.1), "supported"), ((0.0, 0.1, 0.2, -0.1), "refuted"), ((2.0, 2.1, 0.0, 2.2), "inconclusive")],
)
def test_either_side_of_a_threshold(means, verdict):
    check = Check(Confidence())
    found = check.replicates(effects(*means), above=1.0)
    check.replicates({seed: -one for seed, one in effects(*means).items()}, below=-1.0)
    assert [e.verdict for e in check.expectations] == [verdict] * 2
    (above, below) = check.expectations
    assert (above.label, below.label) == ("mean over seeds of lost > 1", "mean over seeds of -lost < -1")
    assert (above.kind, above.threshold, above.region[0], above.unit) == ("replicates", 1.0, 1.0, "logits")
    assert above.estimate == found.estimate
    assert above.p == pytest.approx(below.p)
    assert [*above.by_template] == ["seed0", "seed1", "seed2", "seed3"]
    assert above.by_template["seed0"] == (pytest.approx(effects(*means)["seed0"].mean), 24)


def test_a_reader_is_told_of_the_seeds():
    """One of four has not got it: the seeds' own intervals say what the mean's hides."""
    check = Check(Confidence())
    found = check.replicates(effects(2.0, 2.1, 0.0, 2.2), above=1.0)
    assert "by itself so in 3 of 4 seeds" in found.estimate.caveat
    assert "I^2 100%" in found.estimate.caveat
    assert "another such seed: " in found.estimate.caveat
    (settled,) = settled_by(check.decided, check.samples, check.confidence)
    assert settled.settles.text == "it takes more seeds than these 4, which are its units: prompts narrow it little"


def test_seeds_in_a_figure():
    found = replication(effects(2.0, 2.2, 1.9))
    data = forest_figure(found, threshold=1.0).data()
    assert (data["kind"], data["title"]) == ("bars", "lost")
    assert data["data"]["labels"] == ["seed0", "seed1", "seed2", "mean over seeds", "another such seed"]
    assert data["data"]["threshold"] == 1.0
    assert data["data"]["low"][3] == pytest.approx(found.estimate.low, rel=1e-4)
    assert data["data"]["high"][4] == pytest.approx(found.another[1], rel=1e-4)
    assert forest_figure(found, "other").data()["title"] == "other"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "needs one threshold"),
        ({"above": 0, "below": 1}, "needs one threshold"),
        ({"above": float("nan")}, "needs a finite threshold"),
        ({"below": "0"}, r"replicates\(below=\.\.\.\): a number is expected, got '0'"),
    ],
)
def test_what_is_refused(told, words):
    with pytest.raises(ClaimError, match=words):
        Check(Confidence()).replicates(effects(1.0, 2.0), **told)
    with pytest.raises(MechcheckError, match="at least 2 seeds"):
        Check(Confidence()).replicates(effects(1.0), above=0.0)
    logits, others = effects(1.0, 2.0), effects(1.0)
    odds = {"odds": next(iter(others.values())).named("lost", "nats")}
    with pytest.raises(MechcheckError, match=r"measured in .* and nats, which have no mean"):
        Check(Confidence()).replicates(logits | odds, above=0.0)
