"""What would settle an open question: the predicted sample decides as often as it says, and more is never asked for less."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean, estimate_rate
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import pivot
from mechcheck.stats.power import settles

ALPHA = 0.025
ABOVE_0 = (0.0, math.inf)


def measured(values: np.ndarray, unit: str = "logits") -> Measurement:
    """values[template, prompt]"""
    k, m = values.shape
    templates = tuple(f"t{i}" for i in np.repeat(np.arange(k), m))
    return Measurement(values.ravel(), tuple(map(str, range(k * m))), templates, "x", unit)


def interval(value=0.1, error=0.1, df=15.0, design=1.0, n=96, clusters=16) -> Interval:
    """As if such a sample had been measured."""
    return Interval(Estimate(value, 0, 0, 0.95, n, clusters, "t"), lambda t: 1.0, lambda t: 1.0, error, df, design)


def clustered(rng, k, m, agreement, mean=0.0, scale=1.0) -> np.ndarray:
    shared = rng.normal(size=(k, 1)) * math.sqrt(agreement)
    return mean + scale * (shared + math.sqrt(1 - agreement) * rng.normal(size=(k, m)))


def power(draw, test, n=600) -> float:
    return sum(test(draw()) <= ALPHA for _ in range(n)) / n


@pytest.mark.parametrize(("k", "m", "agreement"), [(16, 5, 0.3), (48, 4, 0.0)])
def test_so_many_templates_decide_it_four_times_in_five(k, m, agreement):
    rng = np.random.default_rng(k)
    found = estimate_mean(measured(clustered(rng, k, m, agreement)), Confidence())
    scale = found.error / math.sqrt((agreement + (1 - agreement) / m) / k)  # as noisy as this sample looked
    effect = 1.5 * found.error
    said = settles(replace(found, estimate=replace(found.estimate, value=effect)), ABOVE_0, ALPHA)
    assert said.prompts == said.templates * m > k * m
    units = np.repeat(np.arange(said.templates), m)
    reached = power(lambda: clustered(rng, said.templates, m, agreement, effect, scale).ravel(), lambda v: pivot(v, units).p_above(0.0))
    assert reached == pytest.approx(0.8, abs=0.06)


def test_an_effect_of_the_detectable_size_is_decided_four_times_in_five():
    rng, units = np.random.default_rng(1), np.repeat(np.arange(16), 5)
    error = math.sqrt((0.3 + 0.7 / 5) / 16)
    mde = settles(interval(0.1, error, 15.0, 2.2, 80, 16), ABOVE_0, ALPHA).mde
    assert mde / error == pytest.approx(2.131 + 0.867, abs=0.1)  # t quantiles with 15 degrees of freedom
    assert power(lambda: clustered(rng, 16, 5, 0.3, mde).ravel(), lambda v: pivot(v, units).p_above(0.0)) == pytest.approx(0.8, abs=0.06)


def test_a_rate():
    rng, half = np.random.default_rng(2), np.arange(96).reshape(48, 2) % 10 < 8.5
    found = estimate_rate(measured(half.astype(float), "share of prompts"), Confidence())
    said = settles(replace(found, design=1.0), (0.8, math.inf), ALPHA)
    rate = found.estimate.value
    draws = rng.random((300, said.templates, 2)) < rate
    tests = [estimate_rate(measured(one.astype(float), "share of prompts"), Confidence()).p_above(0.8) <= ALPHA for one in draws]
    assert np.mean(tests) == pytest.approx(0.8, abs=0.1)


def test_more_prompts_of_the_same_templates_help_no_further_than_they_differ():
    alone = settles(interval(0.25, design=1.0), ABOVE_0, ALPHA)
    together = settles(interval(0.25, design=6.0), ABOVE_0, ALPHA)  # the 6 prompts of a template are as good as one
    assert alone.templates == together.templates == 23
    assert "or 9 prompts of each of these 16 templates" in alone.text
    assert "more prompts of these 16 templates would not do" in together.text


def test_a_template_of_one_prompt_each_promises_nothing():
    assert "more prompts of these 96 templates would not do" in settles(interval(0.25, df=95.0, clusters=96), ABOVE_0, ALPHA).text


def test_one_template_asks_for_prompts():
    said = settles(interval(0.25, df=95.0, clusters=96), ABOVE_0, ALPHA, one_template=True)
    assert (said.templates, said.prompts) == (None, 123)
    assert said.text.endswith("to decide 0.25, as measured, takes about 123 prompts")


def test_at_the_threshold_no_number_will():
    said = settles(interval(1e-9), ABOVE_0, ALPHA)
    assert (said.templates, said.prompts) == (None, None)
    assert said.mde == pytest.approx(0.300, abs=0.001)
    assert "no feasible number of prompts (up to 100,000) will" in said.text


def test_two_thresholds_take_more_than_one():
    one = settles(interval(0.0), (-0.25, math.inf), ALPHA)
    two = settles(interval(0.0), (-0.25, 0.25), ALPHA)
    assert one.templates < two.templates
    outside = settles(interval(0.5), (-0.25, 0.25), ALPHA)  # to be refuted one is enough
    assert outside.templates == one.templates


@given(
    st.floats(0.05, 0.28), st.floats(1.05, 3), st.floats(1, 6), st.integers(4, 60), st.sampled_from([0.025, 0.01]), st.booleans(),
)  # fmt: skip
def test_less_takes_more(value, factor, design, clusters, alpha, rate):
    def asked(value=value, error=0.1, alpha=alpha):
        df = math.inf if rate else clusters - 1.0
        region = (0.5, math.inf) if rate else ABOVE_0
        return settles(interval(value + region[0], error, df, design, 6 * clusters, clusters), region, alpha)

    def number(said):
        return said.prompts or math.inf

    base = asked()
    assert number(asked(value=value * factor)) <= number(base) <= number(asked(value=value / factor))
    assert number(asked(alpha=alpha / factor)) >= number(base)
    assert asked(error=0.1 * factor).mde > base.mde
    assert base.templates is None or base.templates > clusters


@pytest.mark.parametrize("factor", [1e-200, 1e-160, 1e160])
def test_the_unit_of_measurement_is_no_matter(factor):
    """Squares of such errors are 0, or infinite."""
    plain, scaled = (settles(interval(0.1 * by, 0.1 * by), ABOVE_0, ALPHA) for by in (1.0, factor))
    assert (scaled.templates, scaled.prompts) == (plain.templates, plain.prompts)
    assert scaled.mde == pytest.approx(plain.mde * factor, rel=1e-9)
