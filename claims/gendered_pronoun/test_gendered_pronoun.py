"""Her or his: which noun or name, which heads, at which layer, in a model trained on children's stories by others.

Unless a claim says otherwise it is asked of prompts with a noun ("a happy girl"), which name nobody. Where people are named, heads have
another part in it, so that claims about heads are asked of both forms: what was found on nouns need not hold for names.
"""

import numpy as np
import pytest

from mechcheck import (
    Ablate,
    Effect,
    Heatmap,
    Lines,
    Patch,
    attention_to,
    claim,
    gendered_pronoun_prompts,
    head_heatmap,
    head_patching,
    logit_lens,
    recovery,
    residual_patching,
    run,
)

STORIES = "Eldan and Li 2023, arXiv:2305.07759 (the data); the claims are ours"


def by_layer_and_position(model, prompts):
    positions = ["NOUN", "END"]
    effects = residual_patching(model, prompts, positions).mean(-1)
    layers = [str(i) for i in range(len(effects))]
    return Heatmap("Logit difference after patching the residual stream", effects.T, positions, layers, "position", "layer", "logits")


def by_head(model, prompts, clean, flipped):
    shares = recovery(head_patching(model, prompts, positions="END"), clean, flipped)
    return head_heatmap("Share of the way to the other gender, by head patched at END", shares, "share")


@claim("The pronoun agrees with the noun, where nobody is named", source=STORIES, task="gendered_pronoun", kind="behaviour")
def test_agrees_with_the_noun(model, prompts, check):
    check.rate(run(model, prompts) > 0, above=0.9)


@claim(
    "The pronoun agrees with the name, where no noun tells",
    source=STORIES,
    task="gendered_pronoun",
    kind="generalisation",
    prompts={"carrier": "name"},
)
def test_agrees_with_the_name(model, prompts, check):
    check.rate(run(model, prompts) > 0, above=0.9)


@pytest.mark.parametrize("position", ["NOUN"])
@claim(
    "Patching the residual stream at the noun flips her and his",
    source=STORIES,
    task="gendered_pronoun",
    kind="sufficiency",
    decoy={"position": "END"},
)
def test_patching_the_noun_flips_the_pronoun(model, prompts, circuit, check, position):
    changed = run(model, prompts, Patch(circuit["noun"].at(position)))
    check.rate(changed < 0, above=0.75)
    check.below(changed, 0.0)
    check.figure(lambda: by_layer_and_position(model, prompts))


def check_share_brought(model, prompts, circuit, check):
    clean, flipped = run(model, prompts), run(model, prompts.counterfactual)
    patched = run(model, prompts, Patch(circuit["pronoun_heads"]))
    check.requires(clean - flipped, above=1.0, label="there is a way to go: the genders' logit differences are more than 1 apart")
    check.above((clean - patched) / (clean - flipped), 0.5, "share of the way to the other gender > 0.5")
    check.figure(lambda: by_head(model, prompts, clean, flipped))


@claim(
    "A few heads at END bring most of the other gender's answer, where a noun tells it and nobody is named",
    source=STORIES,
    task="gendered_pronoun",
    kind="sufficiency",
)
def test_heads_bring_the_gender(model, prompts, circuit, check):
    check_share_brought(model, prompts, circuit, check)


@pytest.mark.parametrize("carrier", ["name", "both"])
@claim(
    "The heads that were found where nobody is named bring most of the other gender's answer where somebody is",
    source=STORIES,
    task="gendered_pronoun",
    kind="generalisation",
)
def test_heads_bring_the_gender_of_names(model, prompts, circuit, check, carrier):
    """On the discovery half 0.94 of the way by a name alone, and 0.87 by a noun and a name."""
    asked = gendered_pronoun_prompts(model, n=len(prompts), seed=check.seed, carrier=carrier)
    check_share_brought(model, asked, circuit, check)


@claim("Ablating these heads hurts more than ablating random ones", source=STORIES, task="gendered_pronoun", kind="necessity")
def test_heads_matter_more_than_random_heads(model, prompts, circuit, check):
    loss = Effect(model, prompts, lambda sites: Ablate(sites, "resample"), name="loss by resample ablation")
    check.beats_random(loss, circuit["pronoun_heads"])


@claim("These heads attend from END to the noun", source=STORIES, task="gendered_pronoun", kind="structure")
def test_heads_attend_to_the_noun(model, prompts, circuit, check):
    check.above(attention_to(model, prompts, circuit["pronoun_heads"], "END", "NOUN"), 0.3)


@claim(
    "The logit lens resolves at the layer found on other prompts, and not before",
    source=STORIES,
    task="gendered_pronoun",
    kind="structure",
    decoy="reinitialised",
)
def test_logit_lens_resolves(model, prompts, circuit, check):
    layer = circuit.notes["found"]["resolves_at"]
    reading = logit_lens(model, prompts)
    check.rate(reading.at_layer(layer) > 0, above=0.9)
    check.rate(reading.at_layer(layer - 1) > 0, below=0.9)
    curves = {"p(answer)": reading.p_answer.mean(-1), "p(foil)": reading.p_foil.mean(-1)}
    check.figure(Lines("Logit lens at END", np.arange(len(reading.p_answer)), curves, "layer", "probability"))
