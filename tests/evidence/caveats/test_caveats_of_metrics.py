"""Warnings on how effects were read: each where it is due, and nowhere else."""

import numpy as np
import pytest
from test_used import ROWS, named

from mechcheck.engine.watch import Ran
from mechcheck.evidence.caveats.found import Watched, caveats_of
from mechcheck.notation.distribution_metrics import entropy, top_probability, top_probability_change
from mechcheck.notation.interventions import Scale
from mechcheck.notation.metrics import correct, foil_probability, kl_divergence, log_probability, logit_diff, probability
from mechcheck.notation.sites import heads

NOTHING: list = []
HALF = Scale(heads("0.1"), 0.5)


@pytest.mark.parametrize(
    ("metrics", "alone"),
    [
        ([probability], True), ([correct], True), ([probability, foil_probability, correct], True), ([top_probability_change], True),
        ([probability, logit_diff], False), ([probability, log_probability], False), ([correct, kl_divergence], False), ([entropy], False),
        ([lambda logits, prompts: logits[:, 0].sigmoid()], False),
    ],
)  # fmt: skip
def test_an_effect_on_probabilities_alone(about, prompts, metrics, alone):
    assert about((prompts, HALF, *metrics)) == (["bounded_metric"] if alone else [])
    assert about((prompts, NOTHING, *metrics)) == []  # no effect is read of an untouched run
    # A logit difference of the untouched run does not stand beside it.
    assert about((prompts, NOTHING, logit_diff), (prompts, HALF, *metrics)) == (["bounded_metric"] if alone else [])


def read(*values, metric=probability, changed=True):
    """What the caveats are about of one variant for each of these rows; changed: whether in it, or in each, something was."""
    watched = Watched()
    rows, which = np.array(values), [changed] * len(values) if isinstance(changed, bool) else changed
    watched.see(Ran(named(ROWS), [[HALF] if one else [] for one in which], [metric, logit_diff], [rows, rows]))
    return [caveat["about"] for caveat in caveats_of(watched)]


@pytest.mark.parametrize(
    ("values", "full"),
    [
        ([0.995, 0.5, 0.001], True), ([0.995, 0.5, 0.5], False), ([0.0, 1.0, 1.0], True), ([0.011, 0.989, 0.5], False),
        ([0.999, np.nan, 0.001], True),
        ([0.999, np.nan, np.nan], True), ([0.999, np.nan, 0.5], False),
    ],
)  # fmt: skip
def test_probabilities_that_are_nearly_0_or_1(values, full):
    assert read(values) == read(values, metric=top_probability) == (["saturated_metric"] if full else [])
    assert read(values, changed=False) == read(values, metric=top_probability_change) == []


def test_saturation_is_counted_over_all_runs():
    assert read([0.999, 0.999, 0.999], [0.5, 0.5, 0.999]) == ["saturated_metric"]
    assert read([0.999, 0.999, 0.5], [0.5, 0.5, 0.999]) == []
    assert read([0.999, 0.999, 0.999], [0.5, 0.999, -0.5]) == [], "a difference of probabilities"


@pytest.mark.parametrize(
    ("rows", "changed", "full"),
    [
        ([[1, 1, 1], [1, 1, 1]], [False, True], True), ([[0, 0, 0], [0, 0, 0]], [False, True], True),
        # What an untouched run can do and a changed one cannot shows; so does what some changed runs can.
        ([[1, 1, 1], [0, 0, 0]], [False, True], False), ([[1, 1, 1], [1, 1, 0]], [False, True], False),
        ([[1, 1, 1], [1, 1, 1], [1, 0, 1]], [False, True, True], False), ([[1, 1, 1], [1, 1, 1]], [True] * 2, True),
        ([[1, 1, 1], [1, 1, 1]], [False, False], False),
    ],
)  # fmt: skip
def test_accuracies_that_cannot_move(rows, changed, full):
    rows = np.array(rows, dtype=float)
    assert read(*rows, metric=correct, changed=changed) == (["saturated_metric"] if full else [])
    assert read(*(rows * 0.7 + 0.1), metric=correct, changed=changed) == [], "no yes and no"
