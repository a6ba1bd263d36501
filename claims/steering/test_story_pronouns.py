"""Steering by gender in a model trained by others: "her" for "his" after a vector is added at the noun."""

import pytest

from mechcheck import (
    claim,
    class_vectors,
    foil_probability,
    gendered_pronoun_prompts,
    logit_diff,
    probability,
    random_directions,
    steering_curves,
    swap_directions,
)

SOURCE = "Rimsky et al. 2024, arXiv:2312.06681 (the method); the claims are ours"
LEARNT, SEED, CONTROLS = 240, 0, 20
SWEPT = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def exchange(model, prompts, site):
    """For each prompt the direction from its gender to the other, by means over discovery prompts."""
    learnt = gendered_pronoun_prompts(model, n=LEARNT, seed=SEED, split="discover")
    vectors = class_vectors(model, learnt, site, learnt.answers.tolist())
    return swap_directions(vectors, prompts.answers.tolist(), prompts.foils.tolist())


def sweep_figures(model, prompts, directions, site, seed):
    tried = [directions, *random_directions(directions, CONTROLS, seed)]
    for title, metric in (("Logit difference", logit_diff), ("p(own pronoun)", probability), ("p(other pronoun)", foil_probability)):
        curve, *controls = steering_curves(model, prompts, tried, site, SWEPT, metric)
        yield curve.figure(f"{title} against scale", {"random directions": controls})


@pytest.mark.parametrize("direction", ["gender"])
@claim(
    "Adding the difference between the genders at the noun turns her and his, more than any random direction of its length",
    source=SOURCE, task="gendered_pronoun", kind="sufficiency", decoy={"direction": "random"},
)  # fmt: skip
def test_exchanging_genders_turns_the_pronoun(model, prompts, circuit, check, direction):
    site = circuit["noun"]
    genders = exchange(model, prompts, site)
    drawn = random_directions(genders, CONTROLS, check.seed)
    steered, *controls = (curve.at(1.0) for curve in steering_curves(model, prompts, [genders, *drawn], site, [1.0]))
    if direction == "random":
        steered, *controls = controls
    check.rate(steered < 0, above=0.5, label="share of prompts with the other pronoun > 0.5")
    strongest = min(controls, key=lambda control: control.mean)
    check.greater(strongest.named("strongest random direction"), steered.named("genders exchanged"), margin=1.0)
    for figure in sweep_figures(model, prompts, genders, site, check.seed) if check.draws else ():
        check.figure(figure)
