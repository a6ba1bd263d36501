"""Metrics of the whole distribution against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import run
from mechcheck.notation.distribution_metrics import distribution_shift, entropy, top_overlap, top_probability, top_probability_change
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import heads

PROMPTS = random_prompts(0, (5, 5))
# Rows of logarithms of probabilities: 1/2 1/4 1/8 1/8 and 0 1 0 0; then 1/8 1/8 1/2 1/4 twice.
CLEAN = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.0, 1.0, 0.0, 0.0]]).log()
CHANGED = torch.tensor([[0.125, 0.125, 0.5, 0.25]] * 2).log()
LN2 = np.log(2)


def values(metric, logits=CHANGED, clean=CLEAN):
    return metric(logits, PROMPTS, clean).numpy()


def test_entropy():
    np.testing.assert_allclose(values(entropy, CLEAN + 7.0), [1.75 * LN2, 0.0], atol=1e-7)
    np.testing.assert_allclose(values(entropy, torch.zeros(2, 4)), [2 * LN2] * 2, atol=1e-7)


def test_top_probability_and_its_change():
    np.testing.assert_allclose(values(top_probability), [0.5, 0.5], atol=1e-7)
    np.testing.assert_allclose(values(top_probability_change), [0.0, -0.5], atol=1e-7)


def test_shift_is_kl_plus_the_fall_of_the_top_probability():
    kl = [(0.5 * 2 + 0.25 * 1 - 0.125 * 2 - 0.125 * 1) * LN2, 3 * LN2]
    np.testing.assert_allclose(values(distribution_shift)[0], kl[0], atol=1e-6)
    finite = torch.where(CLEAN.isinf(), -200.0, CLEAN)  # log 0 would make 0 log 0
    np.testing.assert_allclose(values(distribution_shift, clean=finite), [kl[0], kl[1] + 0.5], atol=1e-6)


@pytest.mark.parametrize(("k", "shared"), [(1, 0), (2, 0), (3, 2 / 3), (4, 1)])
def test_overlap_counts_shared_tokens(k, shared):
    """Untouched 0 1 2 3, and 1 0 2 3; now 2 3 0 1 in both: of equals the lower token comes first."""
    assert values(top_overlap(k)).tolist() == pytest.approx([shared, shared])


def test_overlap_where_nearly_all_are_equal():
    equal = torch.zeros(2, 50)
    raised = equal.clone()
    raised[:, 7] = 1.0
    assert values(top_overlap(5), raised, equal).tolist() == pytest.approx([4 / 5, 4 / 5])


def test_a_run_compared_with_itself_has_not_moved():
    equal = torch.zeros(2, 50)
    assert values(top_overlap(5), equal, equal).tolist() == [1.0, 1.0]
    assert values(distribution_shift, equal, equal).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("metric", [entropy, top_probability, top_probability_change, distribution_shift, top_overlap(2)])
def test_nan_stays_nan(metric):
    broken = CHANGED.clone()
    broken[0, 3] = torch.nan
    assert np.isnan(values(metric, broken, CHANGED)).tolist() == [True, False]


@pytest.mark.parametrize("k", [0, 5])
def test_overlap_of_more_tokens_than_there_are(k):
    with pytest.raises(MechcheckError, match="choose 1 to 4"):
        values(top_overlap(k))


def test_in_a_run_they_compare_with_the_untouched_model(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, (7, 9))
    ablation = Ablate(heads("0.1"), "zero")
    change = run(model, prompts, ablation, top_probability) - run(model, prompts, metric=top_probability)
    np.testing.assert_allclose(run(model, prompts, ablation, top_probability_change).values, change.values, atol=1e-9)
    assert np.abs(change.values).max() > 1e-3
