"""Slopes of an effect on properties of its prompts, beside a regression by hand, and strata."""

import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.confounds import explained_by, strata_of
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement

N, TEMPLATES = 96, 24
IDS, OF = tuple(f"p{i}" for i in range(N)), tuple(f"t{i % TEMPLATES}" for i in range(N))


def effect(values, name="lost") -> Measurement:
    return Measurement(values, IDS, OF, name, "logits", scale="real")


def properties(rng) -> dict[str, np.ndarray]:
    """A length that is the template's, a rank that is the prompt's, and one that goes with it."""
    length = np.repeat(rng.normal(20, 3, (1, TEMPLATES)), N // TEMPLATES, 0).ravel()
    rank = rng.normal(50, 20, N)
    return {"length": length, "rank": rank, "age": 0.1 * rank + rng.normal(0, 2, N)}


def test_slopes_and_their_errors_are_those_of_a_clustered_regression():
    rng = np.random.default_rng(0)
    by = properties(rng)
    y = 5 + 0.3 * by["length"] + 0.02 * by["rank"] + np.tile(rng.normal(0, 0.5, TEMPLATES), N // TEMPLATES) + rng.normal(0, 1, N)
    found = explained_by(effect(y), by)
    x = np.stack([np.ones(N), *((values - values.mean()) / values.std() for values in by.values())], 1)
    slopes = np.linalg.solve(x.T @ x, x.T @ y)
    left = y - x @ slopes
    sums = np.stack([(x * left[:, None])[[i for i in range(N) if i % TEMPLATES == t]].sum(0) for t in range(TEMPLATES)])
    bread = np.linalg.inv(x.T @ x)
    errors = np.sqrt(np.diag(bread @ (sums.T @ sums) @ bread) * TEMPLATES / (TEMPLATES - 1))
    assert [one.name for one in found] == ["length", "rank", "age"]
    assert [one.estimate.value for one in found] == pytest.approx(slopes[1:])
    assert [one.slope.mean for one in found] == pytest.approx(slopes[1:])
    assert [one.interval.error for one in found] == pytest.approx(errors[1:])
    assert found[0].estimate.clusters == TEMPLATES
    assert found[0].slope.unit == "logits per SD"
    assert found[0].share == pytest.approx(np.corrcoef(by["length"], y)[0, 1] ** 2)


def test_what_goes_with_a_cause_has_no_slope_of_its_own():
    """Age explains some of it alone, and nothing beside the rank."""
    rng = np.random.default_rng(1)
    by = properties(rng)
    found = {one.name: one for one in explained_by(effect(0.1 * by["rank"] + rng.normal(0, 1, N)), by)}
    assert found["age"].share > 0.2
    assert found["age"].estimate.low < 0 < found["age"].estimate.high
    assert found["rank"].estimate.low > 1


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, -99999.9, 1e-200])
def test_an_effect_that_is_the_same_on_all_prompts_is_explained_by_nothing(value):
    """But for the rounding of its mean, which has no correlation with anything."""
    for found in explained_by(effect(np.full(N, value)), properties(np.random.default_rng(2))):
        assert (found.share, found.estimate.value) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("skewed", [False, True])
def test_its_intervals_hold_the_true_slope(skewed):
    """Of a property that is the template's, and of one that is the prompt's, with errors that templates share."""
    rng, held = np.random.default_rng(2), np.zeros(2)
    for _ in range(300):
        by = {name: values for name, values in properties(rng).items() if name != "age"}
        noise = np.tile(rng.normal(0, 0.7, TEMPLATES), N // TEMPLATES) + (rng.lognormal(0, 1, N) if skewed else rng.normal(0, 1, N))
        true = [0.5 * by["length"].std(), 0.0]
        found = explained_by(effect(0.5 * by["length"] + noise), by)
        held += [one.estimate.low <= slope <= one.estimate.high for one, slope in zip(found, true, strict=True)]
    assert (held / 300 > 0.90).all()


def test_a_stricter_confidence_is_wider():
    rng = np.random.default_rng(3)
    by, y = properties(rng), effect(rng.normal(0, 1, N))
    assert explained_by(y, by, Confidence(0.999))[0].estimate.low < explained_by(y, by)[0].estimate.low


def test_strata_of_few_values_of_words_and_of_many():
    y = effect(np.arange(N, dtype=float))
    first = strata_of(y, "first", [i % 2 == 0 for i in range(N)])
    assert [(one.words, len(one.effect), one.effect.mean) for one in first] == [("first is 0", 48, 48.0), ("first is 1", 48, 47.0)]
    words = strata_of(y, "verb", ["gave" if i < 30 else "sent" for i in range(N)])
    assert [(one.words, len(one.effect)) for one in words] == [("verb is gave", 30), ("verb is sent", 66)]
    low, high = strata_of(y, "rank", np.arange(N))
    assert (low.words, high.words) == ("rank is low", "rank is high")
    assert (low.effect.values.max(), high.effect.values.min()) == (47, 48)
    assert low.effect.ids == IDS[:48]


def test_strata_of_a_property_that_is_mostly_at_its_top():
    values = np.r_[np.arange(10), np.full(N - 10, 20)]
    low, high = strata_of(effect(np.ones(N)), "length", values)
    assert (len(low.effect), len(high.effect)) == (10, N - 10)


def test_a_ratio_keeps_its_denominator_in_a_stratum():
    ratio = effect(np.arange(N, dtype=float)) / effect(np.arange(N) + 1.0)
    low, _ = strata_of(ratio, "rank", np.arange(N))
    assert low.effect.mean == pytest.approx(np.arange(48).sum() / (np.arange(48) + 1).sum())


@pytest.mark.parametrize(
    ("by", "error", "words"),
    [
        ({}, MechcheckError, "needs a property with a number"),
        ({"verb": ["a", "b"] * 48}, MechcheckError, "needs a property with a number"),
        ({"length": [1.0] * 3}, MechcheckError, "'length' has values of shape .3,. for 96 prompts"),
        ({"length": [1.0] * N}, MechcheckError, "'length' is the same on all prompts"),
        ({"a": range(N), "b": [2 * i + 1 for i in range(N)]}, MechcheckError, "'a' follows from the other properties"),
        ({"length": [float("nan")] * N}, NonFiniteError, "'length' is not finite on 96 of 96 prompts"),
        ({"length": [None] * N}, MechcheckError, "not object"),
    ],
)
def test_what_is_refused(by, error, words):
    with pytest.raises(error, match=words):
        explained_by(effect(np.random.default_rng(0).normal(0, 1, N)), by)


def test_prompts_that_are_too_few_or_not_finite():
    few = Measurement(np.arange(3.0), ("a", "b", "c"), ("t",) * 3)
    with pytest.raises(MechcheckError, match="3 prompts are too few for 1 properties"):
        explained_by(few, {"length": [1, 2, 3]})
    with pytest.raises(NonFiniteError, match="lost is not finite"):
        explained_by(effect(np.full(N, np.nan)), {"length": range(N)})
    with pytest.raises(MechcheckError, match="same on all prompts, so that it explains nothing"):
        strata_of(few, "length", [1, 1, 1])
