"""Does sparsification tell essential heads from others? Each head's smallest components set to zero, more and more of them."""

import numpy as np

from mechcheck import Lines, Sites, ablation_effects, all_heads, claim, logit_diff, run, sparsified_to

VOITA = "Voita et al. 2019, arXiv:1905.09418"
COMPOSED, SHORTCUT = ["names-gpt2-seed4", "names-neox-seed2"], "names-gpt2-seed0"
ZEROED = 0.95
CURVE = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def effects_of_sparsifying(model, prompts, share):
    """What zeroing a share of each head's components does to the logit difference, one head at a time."""
    return ablation_effects(model, prompts, intervention=sparsified_to(model, prompts, share), metrics={"lost": logit_diff})["lost"]


@claim(
    "Sparsifying separates heads: a twentieth of its components does for any but the essential ones",
    source=VOITA, task="ioi", kind="necessity", models=[*COMPOSED, SHORTCUT], expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_sparsifying_separates_heads(model, prompts, circuit, check):
    effects, clean = effects_of_sparsifying(model, prompts, ZEROED), run(model, prompts)
    essential = circuit["essential"]
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    for site in all_heads(model):
        lost = -effects.of(Sites([site])) / clean
        if site in essential:
            check.above(lost, 0.5, f"share lost with {site} sparsified > 0.5")
        else:
            check.below(lost, 0.25, f"share lost with {site} sparsified < 0.25")
    check.figure(lambda: _curves(model, prompts, clean))


def _curves(model, prompts, clean):
    lost = np.array([-effects_of_sparsifying(model, prompts, share).mean / clean.mean for share in CURVE])
    series = {str(site): lost[:, site.layer, site.index] for site in all_heads(model)}
    return Lines("Sparsifying one head", CURVE, series, "share of its components set to zero", "share of the preference lost")


@claim(
    "Sparsifying the essential heads costs more than sparsifying all others at once",
    source=VOITA, task="ioi", kind="specificity", models=COMPOSED,
)  # fmt: skip
def test_the_essential_heads_outweigh_all_others(model, prompts, circuit, check):
    sparsified, clean = sparsified_to(model, prompts, ZEROED), run(model, prompts)
    without, others = (
        clean - run(model, prompts, sparsified(sites)) for sites in (circuit["essential"], all_heads(model) - circuit["essential"])
    )
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above((without - others) / clean, 0.25, "share lost by the essential ones beyond that of all others > 0.25")
