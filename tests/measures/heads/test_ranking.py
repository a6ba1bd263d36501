"""Heads compared with something else: paired t tests by hand, and Benjamini-Hochberg over all of them."""

import numpy as np
import pytest
from scipy import stats

from mechcheck import HeadScores, Measurement, compare_heads, ranking_figure
from mechcheck.base.errors import MechcheckError, NonFiniteError

N = 24
IDS = tuple(f"p{i}" for i in range(N))
TEMPLATES = tuple(f"t{i % 6}" for i in range(N))


def scores(values: np.ndarray, templates=TEMPLATES) -> HeadScores:
    return HeadScores(values, IDS, templates, "score", "share")


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Scores of 2 x 3 heads of which only 1.2 and 0.1 have an excess; both sides share what a prompt adds."""
    rng = np.random.default_rng(0)
    prompt = rng.normal(size=N)
    values, other = (rng.normal(scale=0.3, size=(2, 3, N)) + prompt for _ in range(2))
    values[1, 2] += 2.0
    values[0, 1] += 0.5
    return values, other


def by_hand(difference: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, interval and p over the templates' means."""
    means = difference.reshape(4, 6).mean(0)
    test = stats.ttest_1samp(means, 0.0, alternative="greater")
    low, high = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    return float(means.mean()), float(low), float(high), float(test.pvalue)


def test_paired_and_clustered_by_template(drawn):
    values, other = drawn
    ranking = compare_heads(scores(values), scores(other))
    assert len(ranking) == 6
    assert [(row.layer, row.head) for row in ranking[:2]] == [(1, 2), (0, 1)]
    for row in ranking:
        value, low, high, p = by_hand(values[row.layer, row.head] - other[row.layer, row.head])
        np.testing.assert_allclose((row.estimate.value, row.estimate.low, row.estimate.high, row.p), (value, low, high, p), rtol=1e-9)
        assert row.estimate.clusters == 6
    assert [row.estimate.value for row in ranking] == sorted((row.estimate.value for row in ranking), reverse=True)


def test_adjusted_over_all_heads(drawn):
    ranking = compare_heads(*map(scores, drawn))
    ordered = sorted(row.p for row in ranking)
    for row in ranking:
        rank = ordered.index(row.p)
        assert row.p_adjusted == pytest.approx(min(min(1.0, p * 6 / (i + 1)) for i, p in enumerate(ordered) if i >= rank))
    assert {(row.layer, row.head) for row in ranking if row.p_adjusted < 0.05} == {(1, 2), (0, 1)}


def test_against_a_constant_or_one_number_per_prompt(drawn):
    values, _ = drawn
    best = compare_heads(scores(values), 0.25)[0]
    assert best.estimate.value == pytest.approx(values[1, 2].mean() - 0.25)
    paired = compare_heads(scores(values), Measurement(values[1, 2], IDS, TEMPLATES))
    assert {(row.layer, row.head): row.estimate.value for row in paired}[1, 2] == 0.0
    assert compare_heads(scores(values))[0].estimate.value == pytest.approx(values[1, 2].mean())


def test_prompts_are_the_units_where_there_is_one_template(drawn):
    values, other = drawn
    row = compare_heads(*(scores(v, ("all",) * N) for v in drawn))[0]
    assert row.p == pytest.approx(stats.ttest_rel(values[1, 2], other[1, 2], alternative="greater").pvalue)
    assert row.estimate.clusters == N


def test_no_spread_leaves_nothing_to_chance_and_no_p_value_is_zero():
    values = np.zeros((1, 3, N))
    values[0, 1], values[0, 2] = 0.5, -0.5
    first, equal, last = compare_heads(scores(values))
    assert (first.head, equal.head, last.head) == (1, 0, 2)
    assert 0 < first.p < 1e-20
    assert equal.p == pytest.approx(0.5)  # no difference is as likely above as below
    assert last.p == 1.0


def test_p_values_are_not_bounded_by_resamples(drawn):
    values, other = drawn
    assert compare_heads(scores(values), scores(other))[0].p < 1e-5


def test_figure(drawn):
    ranking = compare_heads(*map(scores, drawn))
    data = ranking_figure("Excess", ranking, "share").data()["data"]
    assert data["labels"][:2] == ["1.2", "0.1"]
    assert data["values"][0] == pytest.approx(ranking[0].estimate.value, rel=1e-3)
    assert data["low"][0] < data["values"][0] < data["high"][0]
    assert (data["threshold"], data["unit"]) == (0.0, "share")


def test_errors(drawn):
    values, other = drawn
    with pytest.raises(MechcheckError, match="scores of 2 x 3 heads cannot be compared with scores of 2 x 2"):
        compare_heads(scores(values), scores(other[:, :2]))
    with pytest.raises(MechcheckError, match="different prompts"):
        compare_heads(scores(values), HeadScores(other, tuple(reversed(IDS)), TEMPLATES))
    values[0, 0, 3] = np.nan
    with pytest.raises(NonFiniteError, match="p3"):
        compare_heads(scores(values), scores(other))
