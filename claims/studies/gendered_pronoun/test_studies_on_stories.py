"""The ablation study and the generic search on a model that nobody here trained (pytest claims --mech-model path/to/stories260k)."""

import pytest

from mechcheck import (
    Ablate,
    Sites,
    ablation_effects,
    claim,
    compare_heads,
    distribution_shift,
    head_heatmap,
    mean_ablation,
    ranking_figure,
    run,
)

MICHEL = "Michel et al. 2019, arXiv:1905.10650"


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
@claim("One head of forty carries most of the choice between her and his", source=MICHEL, task="gendered_pronoun", kind="necessity")
def test_one_head_carries_most_of_the_choice(model, prompts, circuit, check, method):
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    for site in circuit["critical"]:
        lost = clean - run(model, prompts, Ablate(Sites([site]), method))
        check.above(lost / clean, 0.5, f"share lost without {site} > 0.5")
    check.figure(lambda: head_heatmap("KL by mean ablation", ablation_effects(model, prompts)["kl"].mean, "nats"))


@claim(
    "The heads found by searching move the distribution more than random heads",
    task="gendered_pronoun", kind="generalisation",
)  # fmt: skip
def test_generic_search_beats_random_heads(model, prompts, circuit, check):
    check.beats_random(lambda sites: run(model, prompts, mean_ablation(sites), distribution_shift), circuit["moves_most"])
    check.figure(lambda: _ranking(model, prompts))


def _ranking(model, prompts):
    shifts = ablation_effects(model, prompts, metrics={"shift": distribution_shift})["shift"]
    return ranking_figure("The ten heads that move the distribution most", compare_heads(shifts)[:10], shifts.unit)
