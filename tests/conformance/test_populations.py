"""Populations: what is called the truth and the standard error is what samples scatter around, and by."""

import numpy as np
import pytest

from mechcheck.conformance.populations import Population, Series

SIZES = (7, 30, 12, 25, 16)


@pytest.fixture
def population() -> Population:
    templates = [f"t{i}" for i, size in enumerate(SIZES) for _ in range(size)]
    return Population([f"p{i}" for i in range(len(templates))], templates)


def series_of(population: Population, seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    return Series("value", rng.normal(2, 0.5, len(population.ids)) + rng.normal(0, 1, len(SIZES))[population.index])


@pytest.mark.parametrize("n", [10, 13, 60])
def test_samples_scatter_around_the_truth_by_the_standard_error(population, n):
    series, rng = series_of(population), np.random.default_rng(n)
    means = np.array([population.draw(rng, n).measured(series).mean for _ in range(4000)])
    error = population.error(series, n)
    assert abs(means.mean() - population.truth(series)) < 4 * error / np.sqrt(4000)
    assert np.isclose(means.std(), error, rtol=0.05)


def test_a_share_has_the_quotient_of_the_means(population):
    whole, rng = series_of(population, 1), np.random.default_rng(0)
    share = Series("part", 0.3 * whole.values + rng.normal(0, 0.1, len(whole.values))).over(whole)
    found = np.array([population.draw(rng, 60).measured(share).mean for _ in range(3000)])
    assert abs(population.truth(share) - 0.3) < 0.02
    assert abs(found.mean() - population.truth(share)) < 0.1 * population.error(share, 60)  # a quotient is biased a little
    assert np.isclose(found.std(), population.error(share, 60), rtol=0.1)


def test_the_truth_counts_templates_alike(population):
    series = Series("template", population.index.astype(float))
    assert population.truth(series) == 2.0
    assert population.error(series, 10) == pytest.approx(np.sqrt(2.0 / 5))  # the variance of 0 to 4 over five templates


def test_constant_values_have_no_error(population):
    assert population.error(Series("constant", np.full(len(population.ids), 3.0)), 10) == 0.0


def test_what_is_drawn_again_is_another_prompt_of_another_template(population):
    sample = population.draw(np.random.default_rng(0), 60)
    assert len(sample.rows) == len(set(sample.ids)) == 60 > len(set(sample.rows))
    assert len(set(sample.templates)) == len(SIZES)
    drawn = {name: set(population.index[sample.rows[np.array(sample.templates) == name]]) for name in sample.templates}
    assert all(len(of) == 1 for of in drawn.values())
    assert len({of for some in drawn.values() for of in some}) < len(SIZES)  # with this seed a template came twice
