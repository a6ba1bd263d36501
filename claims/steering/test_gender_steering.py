"""Steering by gender: women's mean stream at the name, minus men's, turns "himself" into "herself", and the reverse.

The vector comes from half of the people, the other half verify it. It is added to the stream entering the last layer. Thresholds
and expectations were fixed on prompts about the first half.
"""

import itertools
import random

import numpy as np
import pytest

from mechcheck import (
    Bars,
    PromptSet,
    Steer,
    claim,
    ioi_prompts,
    kl_divergence,
    random_directions,
    resid,
    run,
    shuffled_vectors,
    steering_curve,
    steering_curves,
    steering_figure,
    steering_vector,
)
from mechcheck.tasks.spelling import Spelling

SOURCE = "Rimsky et al. 2024, arXiv:2312.06681 (the method); the claims are ours"
# Hypotheses about these too; a directory of Pythia goes by the last part of its name.
PUBLISHED = ["gpt2", "EleutherAI/pythia-410m"]
MODELS = ["names-gpt2-seed0", "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2", *PUBLISHED]
PRONOUNS = {"men": "himself", "women": "herself"}
VERBS = ("hurt", "blamed", "praised")
LEARNT, SEED, CONTROLS = 480, 0, 20
BESIDE = 5  # controls that are looked at and decide nothing
SWEPT = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def reflexive_prompts(model, *, n, seed, split):
    """ "Later , John hurt" -> himself, about men and women in turn; the counterfactual is about somebody of the other gender."""
    spelling, rng = Spelling(model), random.Random(f"reflexives {seed} {split}")
    language = spelling.language
    half = slice(0, None, 2) if split == "discover" else slice(1, None, 2)
    people = {"men": language.male[half], "women": language.female[half]}
    sentences = spelling.sentences([(*prefix, "{A}", verb) for prefix in language.prefixes for verb in VERBS])
    kinds = list(itertools.product(sentences, people))
    texts, counterfactual, answers, foils, names, templates = [], [], [], [], [], []
    for i in range(n):
        sentence, own = kinds[i % len(kinds)]
        other = next(gender for gender in people if gender != own)
        name, counterpart = rng.choice(people[own]), rng.choice(people[other])
        text, of_other = (" ".join(who if word == "{A}" else word for word in sentence) for who in (name, counterpart))
        texts.append(text)
        counterfactual.append(of_other)
        answers.append(PRONOUNS[own])
        foils.append(PRONOUNS[other])
        names.append(name)
        templates.append(" ".join(sentence).replace("{A}", "{name}"))
    return PromptSet.from_text(
        model, texts, counterfactual=counterfactual, answers=answers, foils=foils, positions={"NAME": names}, templates=templates, pad=True
    )


@pytest.fixture
def make_prompts():
    """Prompts about both genders."""
    return reflexive_prompts


def about(prompts, gender):
    """Those about one gender."""
    own = [i for i, answer in enumerate(prompts.answers.tolist()) if prompts.vocabulary[answer].strip() == PRONOUNS[gender]]
    return prompts[own]


def at_the_name(model):
    """The stream entering the last layer, at the person's name."""
    return resid(model.cfg.n_layers - 1, at="NAME")


def learnt(model, gender):
    return about(reflexive_prompts(model, n=LEARNT, seed=SEED, split="discover"), gender)


def other_gender(model, gender):
    """The vector from this gender to the other."""
    return -steering_vector(model, learnt(model, gender), at_the_name(model))


def sweep_figure(model, prompts, gender, vector, seed):
    site = at_the_name(model)
    shuffled = [-one for one in shuffled_vectors(model, learnt(model, gender), site, CONTROLS, seed)]
    tried = [vector, *random_directions(vector, CONTROLS, seed), *shuffled]
    curve, *controls = steering_curves(model, prompts, tried, site, SWEPT)
    some = {"random directions": controls[:CONTROLS], "shuffled labels": controls[CONTROLS:]}
    named = {f"{name} of the same length": group for name, group in some.items()}
    return steering_figure(f"Logit difference against scale, {gender}", {"to the other gender": curve}, named)


def random_curves(model, prompts, scales):
    """What random directions do to the pronouns about each gender."""
    return {
        f"random directions, {gender}": steering_curves(
            model, about(prompts, gender), random_directions(other_gender(model, gender), BESIDE, SEED), at_the_name(model), scales
        )
        for gender in PRONOUNS
    }


@pytest.mark.parametrize("direction", ["gender"])
@claim(
    "The difference between the genders, added at the name, turns most pronouns, and more than random directions and shuffled labels",
    source=SOURCE, kind="sufficiency", models=MODELS, decoy={"direction": "random"},
)  # fmt: skip
def test_difference_of_means_turns_the_pronoun(model, prompts, check, direction):
    site = at_the_name(model)
    for gender in PRONOUNS:
        some, vector = about(prompts, gender), other_gender(model, gender)
        shuffled = [-one for one in shuffled_vectors(model, learnt(model, gender), site, CONTROLS, check.seed, same_norm=False)]
        curves = steering_curves(model, some, [vector, *shuffled, *random_directions(vector, CONTROLS, check.seed)], site, [1.0])
        steered, *controls = (curve.at(1.0) for curve in curves)
        by_chance, drawn = controls[:CONTROLS], controls[CONTROLS:]
        if direction == "random":
            steered, *drawn = drawn
        check.rate(steered < 0, above=0.5, label=f"{gender}: share of prompts with the other pronoun > 0.5")
        for name, group in (("random direction", drawn), ("vector from shuffled labels", by_chance)):
            strongest = min(group, key=lambda control: control.mean)
            check.greater(strongest, steered, margin=1.0, label=f"{gender}: strongest {name} > steered + 1")
        check.figure(lambda some=some, gender=gender, vector=vector: sweep_figure(model, some, gender, vector, check.seed))


@claim(
    "The logit difference falls linearly with the scale: a straight line leaves less than 5% of its variation unexplained",
    source="the wording of many steering demonstrations", kind="structure", models=MODELS,
    expect={"names-gpt2-seed0": "refuted"},  # on women the curve bends: on the discovery prompts 7% is left
)  # fmt: skip
def test_shift_is_linear(model, prompts, check):
    scales, curves = np.linspace(-1, 1, 9).tolist(), {}
    for gender in PRONOUNS:
        curve = steering_curve(model, about(prompts, gender), other_gender(model, gender), at_the_name(model), scales)
        check.below(curve.nonlinearity, 0.05, f"{gender}: nonlinear share of the logit difference < 0.05")
        check.below(curve.slope, -1.0, f"{gender}: slope < -1 logits per unit of scale")
        curves[gender] = curve
    check.figure(lambda: steering_figure("Logit difference against scale", curves, random_curves(model, prompts, scales)))


@pytest.mark.parametrize("text", ["ioi"])
@claim(
    "The vector that turns the pronoun changes what follows at the end of IOI prompts by less than 0.1 nats",
    source=SOURCE, kind="specificity", models=MODELS, decoy={"text": "reflexives"},
)  # fmt: skip
def test_leaves_the_end_of_other_sentences_alone(model, prompts, check, text):
    """At END, that is; what it does at the people of these prompts is in the figure."""
    vector, last = other_gender(model, "men"), model.cfg.n_layers - 1
    others = ioi_prompts(model, n=len(prompts), seed=SEED, split="verify")
    text, place = (others, "END") if text == "ioi" else (about(prompts, "men"), "NAME")
    changed = run(model, text, Steer(vector, resid(last, at=place)), kl_divergence)
    check.equivalent(changed, 0.1, label="KL from the untouched prediction < 0.1")
    places = ["IO", "S1", "S2", "END"]
    at_each = [run(model, others, Steer(vector, resid(last, at=one)), kl_divergence).mean for one in places]
    check.figure(Bars("KL on IOI prompts by position steered", places, at_each, unit="nats", threshold=0.1))
