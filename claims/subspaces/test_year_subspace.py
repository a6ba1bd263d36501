"""Greater-than: is what a direction of an MLP's neurons does due to what the model reads of it? Makelov et al. 2023.

The layer is the one whose neurons bring most on discovery prompts, on which the directions are fitted too. The thresholds and the
kinds of directions were chosen after a look at both halves; the prompts of the verdict were drawn afterwards, with another seed. There
are only a few hundred different ones, so that many were met before.
"""

from functools import lru_cache

import pytest

from mechcheck import (
    Bars,
    Patch,
    claim,
    das,
    difference_of_means,
    greater_than_prompts,
    mlp_hidden,
    null_space_split,
    run,
)

MAKELOV = "Makelov et al. 2023, arXiv:2311.17030"
WITH = ["years-gpt2-seed0"]


@lru_cache(maxsize=8)
def fitted(model, how):
    """A direction of the neurons at END, by the means of the prompts and of their counterfactuals or by DAS."""
    learnt = greater_than_prompts(model, n=160, seed=0, split="discover")
    clean = run(model, learnt)
    layers = [mlp_hidden(layer, at="END") for layer in range(model.cfg.n_layers)]
    best = max(layers, key=lambda sites: (clean - run(model, learnt, Patch(sites))).mean)
    if how == "means":
        return difference_of_means(model, learnt, best)
    return das(model, learnt, best, epochs=8, rate=2e-2, batch=32)


@pytest.mark.parametrize("part", ["all"])
@pytest.mark.parametrize("how", ["means", "das"])
@claim(
    "What W_out reads of the direction does by itself three quarters of what the direction does",
    source=MAKELOV, task="greater_than", kind="structure", models=WITH,
    expect={"das": "refuted"}, positive_control={"how": "means"}, decoy={"part": "null"},
)  # fmt: skip
def test_the_part_that_is_read_does_it(model, prompts, check, how, part):
    """Of the difference of means. Not of a direction that is trained until it turns the answers of its prompts: by half of these steps
    it moves others' as far, and all by what is read; by these it owes nearly half to what is not. So it is with other seeds."""
    found = fitted(model, how)
    sites = found.sites if part == "all" else found.sites.within(null_space_split(model, prompts, found.sites).null)
    split = null_space_split(model, prompts, sites)
    check.above(split.within.shift, 0.1)
    check.greater(split.by_row.shift, 0.75 * split.within.shift)
    shifts = [split.within.whole_shift, split.within.shift, split.by_row.shift, split.by_null.shift]
    check.figure(
        lambda: Bars(
            "Shift of the logit difference", ["all neurons", "direction", "its part that is read", "that is not"],
            [one.mean for one in shifts], unit="logits",
        )
    )  # fmt: skip


@pytest.mark.parametrize("part", ["all"])
@pytest.mark.parametrize("how", ["means", "das"])
@claim(
    "A direction of the neurons does no more than all neurons do",
    source=MAKELOV, task="greater_than", kind="structure", models=WITH, decoy={"part": "doubled"},
)  # fmt: skip
def test_a_part_does_no_more_than_the_whole(model, prompts, check, how, part):
    """What does more than the whole is made by the exchange, and is not what the model does."""
    split = null_space_split(model, prompts, fitted(model, how).sites)
    times = {"all": 1.0, "doubled": 2.0}[part]
    check.greater(split.within.whole_shift, times * split.within.shift)
