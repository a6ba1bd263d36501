"""Warnings on how a claim was measured: each where it is due, and nowhere else."""

import numpy as np
import pytest
import torch
from test_used import ROWS, named

from mechcheck.engine.run import run, sweep_metrics
from mechcheck.engine.watch import Ran
from mechcheck.evidence.caveats import BRIEFLY, Readings, caveat_lines, caveats_of
from mechcheck.evidence.store import schema
from mechcheck.evidence.used import Used
from mechcheck.notation.distribution_metrics import entropy, top_probability, top_probability_change
from mechcheck.notation.interventions import Ablate, Noise, Patch, Scale, Steer
from mechcheck.notation.metrics import correct, foil_probability, kl_divergence, log_probability, logit_diff, probability
from mechcheck.notation.sites import embed, heads, resid

NOTHING: list = []
HALF = Scale(heads("0.1"), 0.5)


@pytest.fixture
def prompts():
    """Prompts with a counterfactual that is as long."""
    return named(ROWS, counterfactual=named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8], [1, 22, 10, 7, 8, 9]]))


@pytest.fixture
def about(tiny):
    """about((prompts, changes, *metrics), ...): what the caveats of such runs are about; this model's probabilities are near 0 anyway."""

    def of(*runs):
        seen = Used()
        with seen.watching():
            for prompts, changes, *metrics in runs:
                sweep_metrics(tiny("gpt2"), prompts, [changes], metrics or [logit_diff])
        return [caveat["about"] for caveat in seen.record()["caveats"] if caveat["about"] != "saturated_metric"]

    return of


def test_noise_where_tokens_could_be_exchanged(about, prompts):
    noise, patch = Noise(embed(at="A"), 3.0), Patch(resid("1@A"))
    assert about((prompts, noise)) == about((prompts, [noise, Patch(resid("1@END"), prompts)])) == ["gaussian_noise"]
    assert about((prompts, noise), (prompts, patch)) == []
    assert about((prompts, noise), (prompts.counterfactual, Patch(resid("1@A"), prompts))) == []
    assert about((named(ROWS), noise)) == []
    assert about((prompts, Steer(torch.ones(24), resid("1")))) == []


def test_prompts_of_another_length(about):
    uneven = named(ROWS, counterfactual=named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8, 8], [1, 22, 10, 7, 8, 9]]))
    assert about((uneven, Patch(resid("1@A")))) == ["other_lengths"]
    assert about((uneven, Ablate(resid("1@A"), "resample", uneven.counterfactual))) == ["other_lengths"]
    assert about((uneven, Ablate(resid("1@A"), "mean", uneven.counterfactual))) == []
    assert about((uneven, HALF)) == []


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
    """Readings of one variant for each of these rows."""
    readings = Readings()
    rows = np.array(values)
    readings.add(Ran(named(ROWS), [[HALF] if changed else [] for _ in rows], [metric, logit_diff], [rows, rows]))
    return [caveat["about"] for caveat in caveats_of([], readings)]


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
    assert read(values, changed=False) == read(values, metric=correct) == read(values, metric=top_probability_change) == []


def test_saturation_is_counted_over_all_runs():
    assert read([0.999, 0.999, 0.999], [0.5, 0.5, 0.999]) == ["saturated_metric"]
    assert read([0.999, 0.999, 0.5], [0.5, 0.5, 0.999]) == []
    assert read([0.999, 0.999, 0.999], [0.5, 0.999, -0.5]) == [], "a difference of probabilities"


def test_what_they_say(tiny, prompts):
    seen = Used()
    with seen.watching():
        run(tiny("gpt2"), prompts, Noise(embed(at="A")), correct)
    noise, alone = seen.record()["caveats"]
    assert noise["text"].startswith("corrupted by Gaussian noise alone, though these prompts have a counterfactual")
    assert alone["text"].startswith("the effect is read as accuracy alone")
    assert all("arXiv:2309.16042" in caveat["text"] for caveat in (noise, alone))


def test_a_run_s_summary_counts_them():
    twice, later = [{"about": "other_lengths", "text": "x"}] * 2, [{"about": "of later", "text": "y"}]
    claims = [{"caveats": twice}, {"caveats": []}, {}, {"caveats": later}, {"caveats": twice}]
    assert list(caveat_lines(claims)) == ["1 claim: of later", f"2 claims: {BRIEFLY['other_lengths']}"]
    assert set(BRIEFLY) == set(schema()["$defs"]["caveat"]["properties"]["about"]["enum"])
