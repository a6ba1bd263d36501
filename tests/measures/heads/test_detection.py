"""Detection: thresholds by hand, quality by counting, AUROC by all pairs, and compiled models whose heads are known."""

import itertools

import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError, SiteError
from mechcheck.compiled import known_circuit
from mechcheck.measures.attention.targets import induction_scores
from mechcheck.measures.head_scores import HeadScores
from mechcheck.measures.heads.detection import detect_heads, induction_null_scores
from mechcheck.models.loading import load_model
from mechcheck.tasks.induction import induction_prompts


def scores_of(values, name="score") -> HeadScores:
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    return HeadScores(values, tuple(f"p{i}" for i in range(n)), ("t",) * n, name, "share of attention")


def constant(means, n: int = 3) -> HeadScores:
    return scores_of(np.repeat(np.asarray(means, dtype=float)[..., None], n, axis=-1))


NOTHING = constant([[0.02, 0.04, 0.02, 0.04]])


def test_a_fixed_threshold():
    found = detect_heads(constant([[0.1, 0.31], [0.3, 0.9]]), "fixed", threshold=0.3)
    np.testing.assert_array_equal(found.flagged, [[False, True], [False, True]])
    assert str(found.sites) == "0.1 1.1"
    assert not len(detect_heads(constant([[0.1, 0.2]]), "fixed", threshold=0.3).sites)


def test_the_variance_threshold_is_that_of_the_null_and_not_of_the_scores():
    null = scores_of([[[0.0, 0.2], [0.1, 0.1]]])
    found = detect_heads(constant([[0.9, 0.2]], 2), "variance", null=null, sds=2)
    assert found.threshold == pytest.approx(0.1 + 2 * np.sqrt(0.005))
    assert str(found.sites) == "0.0"
    assert detect_heads(constant([[0.1, 0.1]], 2), "variance", null=null).threshold == pytest.approx(0.1 + 3 * np.sqrt(0.005))


def between(values, threshold) -> float:
    low, high = ([v for v in values if side(v)] for side in (lambda v: v <= threshold, lambda v: v > threshold))
    return len(low) * len(high) * (np.mean(low) - np.mean(high)) ** 2 if low and high else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_otsu_has_the_largest_variance_between_classes(seed):
    values = np.random.default_rng(seed).random(12)
    threshold = detect_heads(constant(values[None]), "otsu", null=constant([[0.0]])).threshold
    best = max(between(values, v) for v in values)
    assert between(values, threshold) == pytest.approx(best)
    assert threshold not in values


def test_otsu_finds_many_where_deviations_of_the_scores_would_find_few():
    means = [[0.02, 0.04, 0.03, 0.7], [0.6, 0.75, 0.8, 0.7]]
    found = detect_heads(constant(means), "otsu", null=NOTHING)
    np.testing.assert_array_equal(found.flagged, np.array(means) > 0.5)
    assert (np.array(means) > np.mean(means) + np.std(means)).sum() <= 1


def test_nothing_is_found_where_there_is_nothing():
    """A cut alone finds somebody in any scores; the null keeps it from that."""
    for means in ([[0.01, 0.03, 0.03, 0.02]], [[0.03, 0.03, 0.03, 0.03]]):
        for method in ("variance", "otsu"):
            assert not len(detect_heads(constant(means), method, null=NOTHING).sites)


def test_quality_counts_heads_prompt_by_prompt():
    values = np.array([[[0.9, 0.2], [0.8, 0.9]], [[0.1, 0.8], [0.1, 0.3]]])  # [layer, head, prompt]
    model, truth = load_model("compiled-negative"), "0.0 0.1"  # any model with these heads
    found = detect_heads(scores_of(values), "fixed", threshold=0.5).quality(model, truth)
    # flagged: prompt 0 has 0.0 0.1 (both true), prompt 1 has 0.1 (true) and 1.0 (false)
    assert found.precision.mean == pytest.approx(3 / 4)
    assert found.recall.mean == pytest.approx(3 / 4)
    assert found.f1.mean == pytest.approx(3 / 4)
    pairs = [[float(values[0, t, p] > values[1, o, p]) for t, o in itertools.product(range(2), range(2))] for p in range(2)]
    assert found.auroc.values == pytest.approx(np.mean(pairs, axis=1))
    assert found.auroc.values == pytest.approx([1.0, 0.5])
    assert [m.name for m in found[:4]] == ["precision", "recall", "F1", "AUROC"]


def test_the_set_of_heads_is_judged_beside_them():
    """Scores of three prompts: a true head that is flagged on two and by its mean, one on none, another head on two and not by its mean."""
    values = np.array([[[0.9, 0.6, 0.4], [0.1, 0.2, 0.3]], [[0.6, 0.6, 0.0], [0.9, 0.9, 0.9]]])
    found = detect_heads(scores_of(values), "fixed", threshold=0.5)
    quality = found.quality(load_model("compiled-negative"), "0.0 0.1")
    assert quality.precision.mean == pytest.approx(2 / 7)
    assert quality.recall.mean == pytest.approx(2 / 6)
    of_set = quality.heads
    assert (of_set.precision, of_set.recall, of_set.f1) == (0.5, 0.5, 0.5)
    assert [str(sites) for sites in of_set[3:]] == ["0.0", "1.1", "0.1"]
    assert set(of_set.hits) | set(of_set.extra) == set(found.sites)
    table = quality.table()
    assert table.columns == ["", "precision", "recall", "F1"]
    assert table.rows[0] == ["pooled over prompts", *(measure.mean for measure in quality[:3])]
    assert table.rows[1] == ["the set of heads", 0.5, 0.5, 0.5]
    narrow = detect_heads(scores_of(values), "fixed", threshold=0.85).quality(load_model("compiled-negative"), "0.0 0.1 1.1").heads
    assert (narrow.precision, narrow.recall, narrow.f1) == (1.0, 1 / 3, 0.5)


def test_quality_tells_precision_from_recall_and_counts_ties_half():
    values = np.zeros((2, 2, 4))
    values[0, 0] = values[0, 1] = 1.0
    found = detect_heads(scores_of(values), "fixed", threshold=0.5).quality(load_model("compiled-negative"), "0.0")
    assert (found.precision.mean, found.recall.mean) == (0.5, 1.0)
    assert found.f1.mean == pytest.approx(2 / 3)
    np.testing.assert_allclose(found.auroc.values, (0.5 + 1 + 1) / 3)


def test_what_cannot_be_said_is_not_finite():
    nobody = detect_heads(constant([[0.1, 0.1], [0.1, 0.1]]), "fixed", threshold=0.5).quality(load_model("compiled-negative"), "0.0")
    assert np.isnan(nobody.precision.mean)
    assert nobody.recall.mean == nobody.f1.mean == 0
    assert np.isnan(nobody.heads.precision)
    assert nobody.heads.recall == nobody.heads.f1 == 0
    assert nobody.table().data()["data"]["rows"][1] == ["the set of heads", None, 0.0, 0.0]
    everybody = detect_heads(constant([[0.1, 0.1], [0.1, 0.1]]), "fixed", threshold=0.5).quality(
        load_model("compiled-negative"), "0.0-1 1.0-1"
    )
    assert np.isnan(everybody.auroc.values).all()


@pytest.fixture(scope="module")
def compiled():
    model = load_model("compiled-induction")
    prompts = induction_prompts(model, n=24, seed=3)
    return model, induction_scores(model, prompts), induction_null_scores(model, prompts)


@pytest.mark.parametrize("method", ["fixed", "variance", "otsu"])
def test_a_compiled_models_heads_are_found_with_the_one_that_only_looks_alike(compiled, method):
    model, scores, null = compiled
    found = detect_heads(scores, method, **({"threshold": 0.3} if method == "fixed" else {"null": null}))
    circuit = known_circuit("compiled-induction")
    assert set(found.sites.pairs) == set(circuit["induction"].pairs) | set(circuit["induction_lookalike"].pairs)
    quality = found.quality(model, circuit["induction"])
    assert (quality.precision.mean, quality.recall.mean) == (0.5, 1.0)
    assert quality.auroc.mean == pytest.approx(0.9)  # above four heads, level with one
    assert not len(detect_heads(null, method, **({"threshold": 0.3} if method == "fixed" else {"null": null})).sites)


def test_null_scores_look_at_the_same_places_without_repeats(compiled):
    _model, scores, null = compiled
    idle = (1, 2)  # attends everywhere alike: the same on both
    np.testing.assert_allclose(null.values[idle], scores.values[idle], rtol=0, atol=1e-6)
    assert scores.values[1, 0].min() > 0.99
    assert null.values[1, 0].max() < 0.2


def test_errors(compiled):
    model, scores, null = compiled
    prompts = induction_prompts(model, n=4, seed=3)
    with pytest.raises(MechcheckError, match='choose "fixed", "variance" or "otsu"'):
        detect_heads(scores, "mean")
    with pytest.raises(MechcheckError, match='goes with the method "fixed"'):
        detect_heads(scores, "fixed")
    with pytest.raises(MechcheckError, match='goes with the method "fixed"'):
        detect_heads(scores, "otsu", null=null, threshold=0.3)
    for arguments in ({"method": "otsu"}, {"method": "variance"}, {"method": "fixed", "threshold": 0.3, "null": null}):
        with pytest.raises(MechcheckError, match='goes with the methods "variance" and "otsu"'):
            detect_heads(scores, **arguments)
    with pytest.raises(NonFiniteError, match=r"not finite for head 0\.1 on prompt p2"):
        detect_heads(scores_of([[[0, 0, 0], [0, 0, np.nan]]]), "fixed", threshold=0.3)
    with pytest.raises(SiteError, match="no heads are given"):
        detect_heads(scores, "fixed", threshold=0.3).quality(model, "")
    with pytest.raises(PromptError, match="no prompts without repeats"):
        induction_null_scores(model, prompts.reference)
    with pytest.raises(PromptError, match="prompts of other lengths"):
        induction_null_scores(model, prompts, prompts[[1, 0, 2, 3]])
