"""Do searches for heads find what they look for? Sets found on the discovery prompts, measured on prompts they were not found on."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from mechcheck import (
    Bars,
    Measurement,
    Patch,
    Sites,
    all_heads,
    claim,
    correct,
    distribution_shift,
    generic_search,
    mean_ablation,
    run,
    sweep,
    targeted_search,
    task_prompts,
)

STUDIED = ["names-gpt2-seed4", "names-neox-seed2", "names-gpt2-seed0"]
NEMHAUSER = "Nemhauser, Wolsey and Fisher 1978, 10.1007/BF01588971"
WANG = "Wang et al. 2022, arXiv:2211.00593"
GREEDY_BOUND = 1 - 1 / math.e
INTERVENTIONS = {"ablated": mean_ablation, "patched": Patch}


@claim(
    "The heads found by searching move the distribution more than nine in ten of all sets of that size, and 1 - 1/e as far as the best",
    source=NEMHAUSER, task="ioi", kind="generalisation", models=STUDIED, decoy={"circuit": {"moves_most": "0.0 1.2 1.3"}},
)  # fmt: skip
def test_generic_search_finds_a_good_set(model, prompts, circuit, check):
    found = circuit["moves_most"]
    others = [Sites(sites) for sites in combinations(all_heads(model), len(found)) if Sites(sites) != found]
    own, *shifts = (
        Measurement(values, prompts.ids, prompts.templates, distribution_shift.name, distribution_shift.unit)
        for values in sweep(model, prompts, [mean_ablation(sites) for sites in (found, *others)], distribution_shift)
    )
    order = np.argsort([shift.mean for shift in shifts])
    strong, best = shifts[order[math.ceil(0.9 * (len(order) - 1))]], shifts[order[-1]]
    check.greater(own, strong, label=f"shift without {found} > that of nine in ten of the {len(others)} other sets")
    check.above(own / best, GREEDY_BOUND, f"share of the best other set's shift ({others[order[-1]]}) > 1 - 1/e")
    check.figure(lambda: _spread(found, own, others, shifts, order))
    check.figure(lambda: generic_search(model, _discovery(model), size=len(found), keep=0.5).figure("The search", "shift"))


def _spread(found, own, others, shifts, order):
    top = [(str(others[i]), shifts[i].mean) for i in order[::-1][:10]]
    labels, values = zip((f"found: {found}", own.mean), *top, strict=True)
    return Bars("The set that was found, and the ten best others", labels, values, unit=own.unit)


@pytest.mark.parametrize("method", list(INTERVENTIONS))
@claim(
    "Without a few heads the subject is the prediction",
    source=WANG, task="ioi", kind="generalisation", models=STUDIED,
    expect={"ablated": "refuted"}, positive_control={"method": "patched"},
)  # fmt: skip
def test_targeted_search_makes_the_subject_the_prediction(model, prompts, circuit, check, method):
    """Ablation leaves a coin flip between the names, so that no set was found by it; activations from the flipped run do it."""
    aimed = replace(prompts, answers=prompts.foils)
    changed = run(model, aimed, INTERVENTIONS[method](circuit[f"flips_{method}"]), correct)
    check.rate(changed, above=0.75, label="share of prompts with the subject as the prediction > 0.75")
    check.figure(lambda: _trace(model, method))


def _trace(model, method):
    search = targeted_search(model, _discovery(model), size=4, share=0.75, intervention=INTERVENTIONS[method], keep=0.5)
    return search.figure(f"The search, {method}", "p(subject)")


def _discovery(model):
    return task_prompts("ioi", model, n=240, seed=0, split="discover")
