"""Runs that the cells of a grid share are run once; what may be another run is run again."""

import numpy as np
import pytest
import torch

from mechcheck import Ablate, Patch, Steer, heads, load_model, log_odds, logit_diff, probability, rank, run, sweep, task_prompts
from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import plain_hooks
from mechcheck.engine.together.remembered import shared_runs
from mechcheck.engine.watch import watched_by
from mechcheck.notation.metrics import Metric

SITES = heads("0.1@END 1.0@END")


@pytest.fixture
def model():
    """A small one."""
    return load_model("names-gpt2-seed1")


@pytest.fixture
def prompts(model):
    """Of IOI."""
    return task_prompts("ioi", model, n=12, seed=0)


@pytest.fixture
def ran():
    """Whether each run was one, or known from before."""
    seen: list[bool] = []
    with watched_by(lambda told: seen.append(not told.again)):
        yield seen


METRICS = (logit_diff, probability, log_odds, rank)


def test_metrics_of_a_grid_are_read_of_one_run(model, prompts, ran):
    alone = [run(model, prompts, Ablate(SITES, "mean"), metric).values for metric in METRICS]
    del ran[:]
    with shared_runs([*METRICS, "mean"]):
        together = [run(model, prompts, Ablate(SITES, "mean"), metric) for metric in METRICS]
    assert ran == [True, False, False, False]
    for one, other, metric in zip(alone, together, METRICS, strict=True):
        np.testing.assert_allclose(other.values, one, rtol=1e-5, atol=1e-6)
        assert (other.name, other.unit, other.under) == (metric.name, metric.unit, "mean ablation")


def test_the_same_run_is_not_run_twice_and_outside_it_is(model, prompts, ran):
    with shared_runs():
        first, again = run(model, prompts), run(model, prompts)
        sweep(model, prompts, [[], Patch(SITES)])
        run(model, prompts, Patch(SITES))
    run(model, prompts)
    assert ran == [True, False, True, False, True]
    np.testing.assert_array_equal(first.values, again.values)


def test_what_was_given_is_not_what_is_kept(model, prompts):
    with shared_runs():
        first = sweep(model, prompts, [[]])
        kept = first.copy()
        first += 1
        np.testing.assert_array_equal(sweep(model, prompts, [[]]), kept)


def test_other_sites_methods_seeds_prompts_and_metrics_are_other_runs(model, prompts, ran):
    other = task_prompts("ioi", model, n=12, seed=1)
    variants = [
        Ablate(SITES, "resample"), Ablate(SITES, "resample", seed=1), Ablate(SITES, "mean"), Ablate(heads("0.1@END"), "mean"),
        Ablate(SITES, "mean", reference=other), Patch(SITES), Patch(SITES, other), [Ablate(SITES, "mean"), Patch(heads("0.0"))],
    ]  # fmt: skip
    with shared_runs():
        for variant in variants:
            run(model, prompts, variant)
        run(model, other, variants[0])
        run(model, prompts, variants[0], probability)
    assert all(ran)


def test_changed_weights_are_another_model(model, prompts, ran):
    with shared_runs():
        before = run(model, prompts).values
        weight = model.blocks[0].attn.W_O
        kept = weight.data.clone()
        with torch.no_grad():
            weight.mul_(0.5)
        changed = run(model, prompts).values
        with torch.no_grad():
            weight.copy_(kept)
    assert ran == [True, True]
    assert np.abs(changed - before).max() > 1e-3


def test_functions_tensors_and_plain_hooks_are_run_again(model, prompts, ran):
    def own(logits, prompts):
        return logits[:, 0]

    vector = torch.ones(model.cfg.d_head)
    with shared_runs([own]):
        for _ in range(2):
            run(model, prompts, (), own)
            run(model, prompts, Steer(vector, SITES))
        with plain_hooks():
            for _ in range(2):
                run(model, prompts)
    assert all(ran)


def test_a_metric_that_cannot_read_a_run_stands_in_no_others_way(model, prompts, ran):
    def broken(logits, prompts, clean):
        raise MechcheckError("not for these prompts")

    unread = Metric("unread", "", broken)
    with shared_runs([logit_diff, unread]):
        assert run(model, prompts).values.shape == (12,)
        with pytest.raises(MechcheckError, match="not for these prompts"):
            run(model, prompts, (), unread)
