"""Claims whose evidence of schema 1 is kept beside this file, as it was written then."""
# ruff: noqa: PT028, SIM300

import numpy as np
import pytest
from hypothesis import strategies as st

from mechcheck import claim, ioi_prompts, run
from mechcheck.stats.measurement import Measurement

TEMPLATES = tuple(f"t{i % 12}" for i in range(48))
MIXED = np.random.default_rng(0).permutation(48)


def measured(values, name, unit="logits"):
    return Measurement(np.asarray(values, float), tuple(f"p{i}" for i in range(48)), TEMPLATES, name, unit)


def around(mean, name="effect"):
    return measured(mean + np.linspace(-0.5, 0.5, 48)[MIXED], name)


def yes(n, name="a < b"):
    return measured(MIXED < n, name, "share of prompts")


@claim("All comparisons hold", decoy={"mean": -9.0})
def test_means(check, mean=2.0):
    check.above(around(mean), 1.0)
    check.below(around(-mean, "other"), 1.0)
    check.between(around(mean), 1.0, 3.0)
    check.equivalent(around(mean) - around(2.0), 0.5, label="no change")
    check.greater(around(mean), 2 * (around(0.5) - around(0.0)), margin=0.25)


@claim("Rates lie below, and above", decoy={"n": 46})
@pytest.mark.parametrize("n", [4])
def test_rates(check, n):
    check.rate(yes(n), below=0.5, label="few of them")
    check.rate(yes(48 - n), above=0.5, label="most of them")


@claim("Nobody can say which side was claimed", decoy={"n": 0})
def test_open(check, n=24):
    check.rate(yes(n), below=0.5, label="half of them")


@claim("The second check decides", expect="refuted", positive_control={"mean": 9.0})
def test_second(check, mean=2.0):
    check.above(around(mean), 0.0)
    check.above(around(mean), 5.0)


@claim("No number is negative", decoy={"low": -40})
def test_search(check, low=0):
    check.for_all(st.integers(low, 50), lambda number: number >= 0, n=20)


@pytest.fixture
def prompts(model):
    return ioi_prompts(model, n=8, seed=0)


@claim("The model prefers the indirect object", task="ioi", models=["names-gpt2-seed4"], decoy="reinitialised")
def test_on_a_model(model, prompts, circuit, check):
    check.above(run(model, prompts), 1.0, label=f"{len(circuit)} roles")
    assert model.cfg.n_layers == 2


@claim("Not measured here")
def test_skipped(check):
    pytest.skip("no data")
