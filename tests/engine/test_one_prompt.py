"""What has nothing to be averaged over, or drawn from, is refused; the ways out that are named work."""

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.engine.run import plain_hooks, run
from mechcheck.measures.causal.ablation import ablation_effects
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet

ROW = [1, 5, 6, 7, 8]


def single(n=1):
    return PromptSet.from_tokens([ROW] * n, answers=[9] * n, foils=[10] * n)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("at", ["", "@END"])
def test_a_mean_of_one_prompt_is_refused(tiny, layout, at, n):
    said = r"over (one prompt|prompts that are all the same) .*\"zero\".*\"resample\" with a reference"
    with pytest.raises(PromptError, match=said):
        run(tiny(layout), single(n), Ablate(heads("0.1" + at), "mean"))
    with plain_hooks(), pytest.raises(PromptError, match=said):
        run(tiny(layout), single(n), Ablate(heads("0.1" + at), "mean"))


def test_a_reference_of_one_prompt_is_no_mean_either(tiny):
    with pytest.raises(PromptError, match="over one prompt"):
        run(tiny("gpt2"), random_prompts(3, (5, 5)), Ablate(heads("0.1@END"), "mean", single()))


@pytest.mark.parametrize("at", [None, "END"])
def test_the_default_study_of_one_prompt(tiny, at):
    with pytest.raises(PromptError, match='"zero"'):
        ablation_effects(tiny("gpt2"), single(), at=at)


def test_the_ways_out(tiny):
    model, prompt, others = tiny("gpt2"), single(), random_prompts(3, (5, 5, 5))
    clean = run(model, prompt).values
    for way in (
        Ablate(heads("0.1"), "zero"),
        Ablate(heads("0.1"), "resample", others[[1]]),
        Ablate(heads("0.1@END"), "mean", others),
    ):
        assert np.abs(run(model, prompt, way).values - clean).max() > 1e-3


def test_resampling_from_nobody_names_the_ways_out(tiny):
    with pytest.raises(PromptError, match='give a reference, or use "zero"'):
        run(tiny("gpt2"), single(), Ablate(heads("0.1"), "resample"))
