"""Which heads can the model not do without? One at a time, by six metrics and three ablations."""

import math

import pytest

from mechcheck import (
    Ablate,
    Sites,
    ablation_effects,
    all_heads,
    claim,
    compare_heads,
    entropy,
    head_heatmap,
    kl_divergence,
    logit_diff,
    rank_heads,
    ranking_figure,
    run,
    top_probability,
)

MICHEL = "Michel et al. 2019, arXiv:1905.10650"
COMPOSED, SHORTCUT = ["names-gpt2-seed4", "names-neox-seed2"], "names-gpt2-seed0"
STUDIED = [*COMPOSED, SHORTCUT]
METHODS = ["zero", "mean", "resample"]


def effects_on_preference(model, prompts, method):
    """What ablating each head alone does to the logit difference."""
    found = ablation_effects(model, prompts, intervention=lambda sites: Ablate(sites, method), metrics={"preference": logit_diff})
    return found["preference"]


def share_lost(effects, site, clean):
    """Share of the preference that one head's ablation takes."""
    return (-effects.of(Sites([site])) / clean).named(f"share lost without {site}")


@pytest.mark.parametrize("method", METHODS)
@claim(
    "A critical head's ablation takes most of the preference, by itself",
    source=MICHEL, task="ioi", kind="necessity", models=STUDIED,
)  # fmt: skip
def test_critical_heads_are_needed(model, prompts, circuit, check, method):
    effects, clean = effects_on_preference(model, prompts, method), run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    for site in circuit["critical"]:
        check.above(share_lost(effects, site, clean), 0.5)
    check.figure(head_heatmap(f"Share of the preference lost, {method} ablation", -effects.mean / clean.mean, "share"))


def check_no_other_is_needed(model, prompts, circuit, check, method):
    effects, clean = effects_on_preference(model, prompts, method), run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    for site in all_heads(model) - circuit["critical"]:
        check.below(share_lost(effects, site, clean), 0.5)


@pytest.mark.parametrize("method", METHODS)
@claim(
    "No other head is needed by itself",
    source=MICHEL, task="ioi", kind="specificity", models=COMPOSED, decoy={"circuit": {"critical": "0.0"}},
)  # fmt: skip
def test_no_other_head_is_needed(model, prompts, circuit, check, method):
    check_no_other_is_needed(model, prompts, circuit, check, method)


@pytest.mark.parametrize("method", METHODS)
@claim(
    "In the model with the shortcut no other head is needed by itself, unless zeros, which it never sees, are put in its place",
    source=MICHEL, task="ioi", kind="specificity", models=[SHORTCUT], decoy={"circuit": {"critical": "0.0"}},
    expect={"zero": "refuted"}, positive_control={"method": "mean"},
)  # fmt: skip
def test_zeros_make_one_more_head_look_needed(model, prompts, circuit, check, method):
    check_no_other_is_needed(model, prompts, circuit, check, method)


@claim(
    "The same head comes first by every metric: KL, top probability, entropy, rank, p(answer), top-5 overlap",
    source=MICHEL, task="ioi", kind="necessity", models=STUDIED, expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_every_metric_agrees(model, prompts, circuit, check):
    effects = ablation_effects(model, prompts)
    critical = circuit["critical"]
    for name, scores in effects.items():
        rival = next(row for row in rank_heads(effects, name) if (row.layer, row.head) not in critical.pairs)
        sign = 1 if scores.of(critical).mean > 0 else -1
        first, second = (sign * scores.of(sites) for sites in (critical, f"{rival.layer}.{rival.head}"))
        check.greater(first, second, label=f"{scores.name}: {critical} moves it more than {rival.layer}.{rival.head}")
        check.figure(head_heatmap(f"{scores.name} by mean ablation", scores.mean, scores.unit))
    check.figure(lambda: ranking_figure("Heads by KL", compare_heads(effects["kl"]), effects["kl"].unit))


@claim("Ablating the critical heads moves the distribution more than ablating random heads", task="ioi", kind="specificity", models=STUDIED)
def test_critical_heads_beat_random_heads(model, prompts, circuit, check):
    check.beats_random(lambda sites: run(model, prompts, Ablate(sites, "mean"), kl_divergence), circuit["critical"])


@claim(
    "Without the critical heads the model hesitates: the entropy rises by more than a choice of two, and the top probability falls",
    task="ioi", kind="necessity", models=COMPOSED,
)  # fmt: skip
def test_the_model_hesitates(model, prompts, circuit, check):
    ablation = Ablate(circuit["critical"], "mean")
    risen = run(model, prompts, ablation, entropy) - run(model, prompts, metric=entropy)
    fallen = run(model, prompts, metric=top_probability) - run(model, prompts, ablation, top_probability)
    check.above(risen, math.log(2), "rise of the entropy > ln 2")
    check.above(fallen, 0.25, "fall of the top probability > 0.25")
