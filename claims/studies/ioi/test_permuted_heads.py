"""Does it matter where a head's output goes? Its outputs exchanged between the positions of a prompt, everything else left."""

from dataclasses import replace

import numpy as np

from mechcheck import Permute, Sites, ablation_effects, all_heads, claim, head_heatmap, logit_diff, run

COMPOSED, SHORTCUT = ["names-gpt2-seed4", "names-neox-seed2"], "names-gpt2-seed0"
ORDERS = range(5)


def effects_of_permuting(model, prompts):
    """What permuting each head alone does to the logit difference, as the mean over several random orders."""
    preference = {"preference": logit_diff}
    found = [
        ablation_effects(model, prompts, intervention=lambda sites, seed=seed: Permute(sites, seed), metrics=preference)["preference"]
        for seed in ORDERS
    ]
    return replace(found[0], values=np.mean([scores.values for scores in found], axis=0))


@claim(
    "With its output permuted over positions a critical head takes most of the preference with it, and no other head does",
    task="ioi", kind="necessity", models=[*COMPOSED, SHORTCUT], expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_permuting_a_critical_head_breaks_the_prediction(model, prompts, circuit, check):
    effects, clean = effects_of_permuting(model, prompts), run(model, prompts)
    critical = circuit["critical"]
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    for site in all_heads(model):
        lost = -effects.of(Sites([site])) / clean
        if site in critical:
            check.above(lost, 0.5, f"share lost with {site} permuted > 0.5")
        else:
            check.below(lost, 0.5, f"share lost with {site} permuted < 0.5")
    check.figure(head_heatmap("Share of the preference lost by permuting a head", -effects.mean / clean.mean, "share"))


@claim(
    "Permuting the critical heads' output hurts more than permuting random heads'",
    task="ioi", kind="specificity", models=[*COMPOSED, SHORTCUT],
)  # fmt: skip
def test_permuting_beats_random_heads(model, prompts, circuit, check):
    clean = run(model, prompts)

    def lost(sites):
        first, *others = (clean - run(model, prompts, Permute(sites, seed)) for seed in ORDERS)
        return (sum(others, first) / len(ORDERS)).named("loss by permuting")

    check.beats_random(lost, circuit["critical"])
