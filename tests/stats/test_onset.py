"""From which checkpoint an effect is there: by hand, how often its interval holds the true one, and what is refused."""

import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.measures.figures.trained import onset_figure
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.onset import onset

N = 24
IDS, TEMPLATES = tuple(f"p{i}" for i in range(N)), tuple(f"t{i % 8}" for i in range(N))


def at(mean: float, spread: float = 0.1, seed: int = 0) -> Measurement:
    noise = np.random.default_rng(seed).normal(0, spread, N)
    return Measurement(mean + noise - noise.mean(), IDS, TEMPLATES, "score", "attention")


def effects(*means: float, **told) -> dict[int, Measurement]:
    """At steps 0, 100, 200, ..."""
    return {100 * i: at(mean, seed=i, **told) for i, mean in enumerate(means)}


@pytest.mark.parametrize(
    ("means", "step", "after", "by", "text"),
    [
        ((0, 0, 1, 1), 200, 100, 200, "after step 100 and by step 200"),
        ((0, 0.5, 0.51, 1), 200, 0, 300, "after step 0 and by step 300"),  # at 0.5 and next to it nothing is told
        ((1, 1, 1, 1), 0, None, 0, "at step 0 or before, and by step 0"),
        ((0, 0, 0, 0), None, 300, None, "not there by step 300"),
        ((0, 1, 0, 1), 300, 200, 300, "after step 200 and by step 300"),  # it came and went
        ((0, 1, 1, 0), None, 300, None, "not there by step 300"),  # it went for good
        ((0, 0, 1, 0.51), 200, 100, None, "from step 200 on, which is not told"),
    ],
)
def test_where_it_begins(means, step, after, by, text):
    found = onset(effects(*means), above=0.5)
    assert (found.step, found.after, found.by, found.text) == (step, after, by, text)
    mirrored = onset({step: -one for step, one in effects(*means).items()}, below=-0.5)
    assert (mirrored.step, mirrored.after, mirrored.by) == (step, after, by)


def test_checkpoints_in_any_order():
    found = onset(dict(reversed(effects(0, 1, 1).items())), above=0.5)
    assert (found.steps, found.by) == ((0, 100, 200), 100)
    assert [round(one.value, 6) for one in found.estimates] == [0, 1, 1]


def test_its_interval_holds_the_true_onset():
    """Checkpoints close to the threshold on either side, measured on the same prompts: each end fails in at most 2.5% of runs."""
    true, rng = np.array([-0.5, -0.2, -0.02, 0.02, 0.1, 0.3, 0.3, 0.05]), np.random.default_rng(0)
    late = early = 0
    for _ in range(600):
        common = np.repeat(rng.normal(0, 0.1, 8), 3)
        order = tuple(f"t{i // 3}" for i in range(N))
        runs = {step: Measurement(mean + common + rng.normal(0, 0.1, N), IDS, order) for step, mean in enumerate(true)}
        found = onset(runs, above=0.0)
        early += found.by is not None and found.by < 3
        late += found.after is not None and found.after >= 3
    assert early / 600 < 0.045
    assert late / 600 < 0.045


def test_a_stricter_confidence_says_less():
    measured = effects(0, 0.44, 0.56, 1)
    assert onset(measured, above=0.5).by == 200
    assert onset(measured, above=0.5, confidence=Confidence(0.999999)).by == 300


def test_an_interval_that_does_not_hold_tells_nothing():
    """Few prompts with a long tail, far above the threshold."""
    few = Measurement(np.array([0.0, 0.1, 0.2, 0.3, 0.4, 9.0]), tuple("abcdef"), ("one",) * 6)
    found = onset({0: few, 1: few}, above=-100.0)
    assert not any(one.valid for one in found.estimates)
    assert (found.step, found.after, found.by) == (0, None, None)


def test_the_figure():
    data = onset_figure(onset(effects(0, 0, 1), above=0.5)).data()
    assert data["title"] == "score: after step 100 and by step 200"
    assert data["data"]["x"] == [0, 100, 200]
    assert [one["label"] for one in data["data"]["series"]] == ["score, with 95% interval", "threshold 0.5"]
    assert len(data["data"]["bands"]) == 1


@pytest.mark.parametrize(
    ("given", "told", "error", "words"),
    [
        (effects(0, 1), {}, MechcheckError, "one threshold"),
        (effects(0, 1), {"above": 0, "below": 1}, MechcheckError, "one threshold"),
        (effects(0), {"above": 0}, MechcheckError, "2 or more checkpoints, got 1"),
        ({0: 1.0, 1: 2.0}, {"above": 0}, MechcheckError, "takes {step: measurement}"),
        ({"step1": at(0), "step2": at(1)}, {"above": 0}, MechcheckError, "a whole number, got 'step1'"),
        ({1.0: at(0), 2.0: at(1)}, {"above": 0}, MechcheckError, "a whole number, got 1.0"),
        (
            {0: at(0), 1: at(1).named("score", "logits")},
            {"above": 0},
            MechcheckError,
            "in attention and logits; one threshold",
        ),
        (effects(0, float("nan")), {"above": 0}, NonFiniteError, "not finite"),
        ({i: Measurement(np.ones(1), ("a",), ("t",)) for i in (0, 1)}, {"above": 0}, MechcheckError, "one prompt shows nothing"),
    ],
)
def test_what_is_refused(given, told, error, words):
    with pytest.raises(error, match=words):
        onset(given, **told)


def test_steps_of_an_array_are_whole_numbers():
    steps = np.arange(0, 300, 100)
    found = onset(dict(zip(steps, effects(0, 1, 1).values(), strict=True)), above=0.5)
    assert found == onset(effects(0, 1, 1), above=0.5)
    assert [type(step) for step in found.steps] == [int] * 3
