"""What measures of an intervention remember for a reader: the value of the untouched model, and that under the intervention."""

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.engine.run import run
from mechcheck.measures.causal.effect import Effect
from mechcheck.measures.subspaces.interchange import interchange
from mechcheck.notation.interventions import Ablate, Patch, Scale, kinds_text
from mechcheck.notation.sites import heads

SITES = heads("0.1@END")
PROMPTS = random_prompts(0, (7, 7, 9))


@pytest.mark.parametrize(
    ("interventions", "said"),
    [
        ([], "untouched"),
        ([Ablate(SITES, "mean")], "mean ablation"),
        ([Patch(SITES), Scale(heads("0.0@END"), 2.0), Patch(heads("1.0@END"))], "Patch and Scale"),
    ],
)
def test_a_run_says_what_the_model_was_under(tiny, interventions, said):
    assert kinds_text(interventions) == said
    assert run(tiny("gpt2"), PROMPTS, interventions).under == said


def test_one_intervention_alone_is_told_too(tiny):
    lost = run(tiny("gpt2"), PROMPTS) - run(tiny("gpt2"), PROMPTS, Ablate(SITES, "zero"))
    assert [one.name for one in lost.operands] == ["logit difference, untouched", "logit difference, zero ablation"]
    assert lost.name == "logit difference - logit difference"  # by which baselines know the check


def test_an_effect_is_made_of_both(tiny):
    effect = Effect(tiny("gpt2"), PROMPTS, lambda sites: Ablate(sites, "zero"))
    for found, sites in zip(effect.each([SITES, heads("1.1@END")]), (SITES, heads("1.1@END")), strict=True):
        (clean, changed), ablated = found.operands, run(tiny("gpt2"), PROMPTS, Ablate(sites, "zero"))
        assert (clean.name, changed.name) == ("logit difference, untouched", "logit difference, zero ablation")
        assert (clean.sign, changed.sign, clean.unit) == (1, -1, "logits")
        np.testing.assert_allclose(changed.values, ablated.values, atol=1e-5)
        np.testing.assert_allclose(clean.values - changed.values, found.values, atol=1e-5)


def test_a_shift_under_an_exchange_is_made_of_both(tiny):
    found = interchange(tiny("gpt2"), PROMPTS, SITES)
    for measured, what in ((found.shift, "interchange"), (found.whole_shift, "whole sites")):
        clean, changed = measured.operands
        assert (clean.name, changed.name) == ("logit difference, untouched", f"logit difference, {what}")
        np.testing.assert_allclose(clean.values - changed.values, measured.values)
    assert [one.name for one in found.accuracy.operands] == ["logit difference, interchange"]
