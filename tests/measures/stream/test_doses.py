"""Dose-response curves: what they measure, the band that holds all of one, its figure, and what is refused."""

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.engine.run import run
from mechcheck.measures.stream.curves import SteeringCurve
from mechcheck.measures.stream.doses import dose_curve, dose_figure, simultaneous_band
from mechcheck.notation.interventions import Ablate, Scale
from mechcheck.notation.metrics import probability
from mechcheck.notation.sites import heads
from mechcheck.stats.estimates import Confidence, estimate_mean

LENGTHS = (7, 7, 9, 9, 8, 8)


def made(values, doses=None, templates=None) -> SteeringCurve:
    """A curve of these values, [dose, prompt]."""
    values = np.asarray(values, float)
    ids = tuple(f"p{i}" for i in range(values.shape[1]))
    scales = tuple(map(float, range(len(values)))) if doses is None else doses
    return SteeringCurve(scales, values, ids, ("one",) * len(ids) if templates is None else templates, "effect", "logits")


def test_each_dose_is_a_run(tiny):
    model, prompts, sites = tiny("gpt2"), random_prompts(2, LENGTHS), heads("0.0 0.1")
    curve = dose_curve(model, prompts, lambda dose: Scale(sites, 1 - dose), (0, 0.5, 1), probability)
    assert (curve.scales, curve.name, curve.unit) == ((0.0, 0.5, 1.0), probability.name, probability.unit)
    for dose, change in ((0, ()), (0.5, Scale(sites, 0.5)), (1, Ablate(sites, "zero"))):
        assert np.allclose(curve.at(dose).values, run(model, prompts, change, probability).values, atol=1e-6)


def test_an_empty_dose_is_the_untouched_model(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    curve = dose_curve(model, prompts, lambda n: [Ablate(heads(f"0.{i}"), "zero") for i in range(int(n))], range(3))
    assert np.allclose(curve.at(0).values, run(model, prompts).values, atol=1e-6)


@pytest.mark.parametrize("doses", [[], [1.0], [0.0, 0.0], [0.0, float("nan")]])
def test_doses_that_are_none(tiny, doses):
    with pytest.raises(MechcheckError, match="two or more different finite doses"):
        dose_curve(tiny("gpt2"), random_prompts(2, LENGTHS), lambda dose: Scale(heads("0.0"), dose), doses)


def curves(rng, n, templates, together):
    """Curves of six doses, of which each has a mean of 0, that vary together or each for itself."""
    of = tuple(f"t{i % templates}" for i in range(n))
    while True:
        common, own = rng.normal(0, 1, (1, n)), rng.normal(0, 1, (6, n))
        yield made(common + 0.1 * own if together else own, templates=of)


@pytest.mark.parametrize("together", [True, False])
def test_the_band_holds_all_doses_at_once(together):
    """In about 95% of samples; the intervals of single doses hold all six in 95% or in 74%, as the doses vary together or not."""
    drawn = curves(np.random.default_rng(int(together)), 48, 12, together)
    held, alone, wider = 0, 0, []
    for _ in range(200):
        curve = next(drawn)
        low, high = simultaneous_band(curve)
        held += bool(((low <= 0) & (high >= 0)).all())
        single = [estimate_mean(curve.at(dose), Confidence()).estimate for dose in curve.scales]
        alone += all(one.low <= 0 <= one.high for one in single)
        wider.append(float(np.mean((high - low) / [one.high - one.low for one in single])))
    assert 182 <= held <= 199
    assert (alone > 175) == together
    assert np.mean(wider) == pytest.approx(1.1 if together else 1.5, abs=0.15)


def test_a_dose_at_which_nothing_varies_has_no_say():
    rng = np.random.default_rng(0)
    flat = made([np.zeros(24), rng.normal(1, 1, 24), rng.normal(2, 1, 24)])
    low, high = simultaneous_band(flat)
    assert low[0] == high[0] == 0.0
    assert np.allclose(simultaneous_band(made([np.ones(24)] * 3)), 1.0)


def test_it_runs_from_the_smallest_dose_on():
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, (3, 24)) + np.array([[5.0], [0.0], [9.0]])
    low, _ = simultaneous_band(made(rows, doses=(1.0, 0.0, 2.0)))
    assert low[0] < low[1] < low[2]


@pytest.mark.parametrize(("row", "error"), [([1.0], MechcheckError), ([1.0, float("nan")], NonFiniteError)], ids=["one prompt", "nan"])
def test_a_band_needs_prompts_and_numbers(row, error):
    with pytest.raises(error):
        simultaneous_band(made([row, row]))


def test_the_figure_has_the_band_and_controls():
    rng = np.random.default_rng(2)
    own, beside = made(rng.normal(0, 1, (3, 24))), made(rng.normal(0, 1, (3, 24)))
    data = dose_figure(own, "Title", {"random": [beside]}, label="heads", x_label="share").data()
    assert (data["kind"], data["title"], data["data"]["x_label"], data["data"]["y_label"]) == ("lines", "Title", "share", "logits")
    labels = ["heads, with simultaneous 95% band", "random: mean and range of 1"]
    assert [one["label"] for one in data["data"]["series"]] == labels
    assert [one["label"] for one in data["data"]["bands"]] == labels
    low, _ = simultaneous_band(own)
    assert data["data"]["bands"][0]["low"] == pytest.approx(low.tolist(), rel=1e-3)
    assert dose_figure(own).data()["title"] == "effect"
