"""Ablation studies and searches where the answer is known: what they must find, and what single ablations cannot."""

from dataclasses import replace

import pytest

from mechcheck import (
    Bars,
    Metric,
    ablation_effects,
    all_heads,
    claim,
    correct,
    generic_search,
    interaction,
    logit_diff,
    mean_ablation,
    rank_heads,
    run,
    targeted_search,
    task_prompts,
)
from mechcheck.compiled import known_circuit

MCGRATH = "McGrath et al. 2023, arXiv:2307.15771"
WANG = "Wang et al. 2022, arXiv:2211.00593"
REDUNDANT = "compiled-redundant"


def lost_preference():
    return Metric("lost preference", "logits", lambda logits, prompts, _: -logit_diff(logits, prompts))


def discovery(model):
    """Other prompts than those that claims are measured on."""
    return task_prompts("ioi", model, n=96, seed=0, split="discover")


@pytest.mark.parametrize("role", ["duplicate_token", "s_inhibition", "name_mover"])
@claim(
    "A head that the circuit needs ranks above every head that it does not",
    source=WANG, kind="necessity", models=["compiled-ioi"], decoy={"role": "previous_token"},
)  # fmt: skip
def test_needed_heads_rank_first(model, prompts, check, role):
    circuit = known_circuit("compiled-ioi")
    needed = circuit["duplicate_token"] | circuit["s_inhibition"] | circuit["name_mover"]
    effects = ablation_effects(model, prompts, metrics={"preference": logit_diff})
    ranking = rank_heads(effects, "preference")
    rival = next(row for row in ranking if (row.layer, row.head) not in needed.pairs)
    lost, most = (-effects["preference"].of(sites) for sites in (circuit[role], f"{rival.layer}.{rival.head}"))
    check.greater(lost.named(f"loss without the {role}"), most.named("largest loss without another head"), margin=1.0)
    labels, values = zip(*((f"{row.layer}.{row.head}", -row.changes["preference"]) for row in ranking), strict=True)
    check.figure(Bars("Loss by mean ablation", labels, values, unit="logits"))


@pytest.mark.parametrize("pairs", [True, False], ids=["pairs", "greedy"])
@claim(
    "A search among heads that look idle one at a time finds the two that stand in for each other, if it tries pairs",
    source=MCGRATH, kind="generalisation", models=[REDUNDANT],
    expect={"False": "refuted"}, positive_control={"pairs": True}, decoy={"pairs": False},
)  # fmt: skip
def test_pairs_find_what_greedy_steps_miss(model, prompts, check, pairs):
    circuit = known_circuit(REDUNDANT)
    idle = all_heads(model) - circuit["duplicate_token"].at(None) - circuit["name_mover"].at(None)
    search = generic_search(model, discovery(model), size=2, candidates=idle, objective=lost_preference(), keep=1.0, pairs=pairs)
    clean = run(model, prompts)
    check.above((clean - run(model, prompts, mean_ablation(search.sites))) / clean, 0.75, "share of the preference lost > 0.75")
    check.figure(search.figure("The search", "lost preference"))


@pytest.mark.parametrize("other", ["s_inhibition_two"])
@claim(
    "The interaction of two heads that stand in for each other is all that they do",
    source=MCGRATH, kind="structure", models=[REDUNDANT], decoy={"other": "duplicate_token"},
)  # fmt: skip
def test_the_interaction_is_all_there_is(model, prompts, check, other):
    circuit = known_circuit(REDUNDANT)
    check.between(interaction(model, prompts, circuit["s_inhibition_one"], circuit[other]), 15.9, 16.1)


@pytest.mark.parametrize("among", ["all", "idle"])
@claim(
    "A search for heads to ablate makes the subject the prediction with one head; among idle heads there are none",
    source=WANG, kind="generalisation", models=["compiled-ioi"],
    expect={"idle": "refuted"}, positive_control={"among": "all"}, decoy={"among": "idle"},
)  # fmt: skip
def test_targeted_search_finds_one_head(model, prompts, check, among):
    circuit = known_circuit("compiled-ioi")
    idle = circuit["previous_token"] | circuit["backup_name_mover"]
    search = targeted_search(model, discovery(model), share=0.75, candidates=idle if among == "idle" else None)
    ablated = run(model, replace(prompts, answers=prompts.foils), mean_ablation(search.sites), correct)
    check.rate(ablated, above=0.75, label="share of prompts with the subject as the prediction > 0.75")
    check.figure(search.figure("The search", "p(subject)"))
