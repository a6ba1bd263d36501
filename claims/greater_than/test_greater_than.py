"""Greater-than: heads bring the start year to END, MLPs raise the years after it."""

import pytest

from mechcheck import (
    Ablate,
    Patch,
    attention_to,
    attention_to_positions,
    claim,
    foil_probability,
    head_heatmap,
    later_years,
    probability,
    run,
)

HANNA = "Hanna et al. 2023, arXiv:2305.00586"
# Two attention-only layers, which saw such sentences too, but fewer: how little they learned from them stands in the model's card.
WITHOUT = {"names-gpt2-seed6": "refuted"}
# Hypotheses about these too; a directory of Pythia goes by the last part of its name.
PUBLISHED = ["gpt2", "EleutherAI/pythia-410m"]
WITH = ["years-gpt2-seed0", *PUBLISHED]


@claim(
    "The years after the start year are likelier than it and those before",
    source=HANNA,
    task="greater_than",
    kind="behaviour",
    expect=WITHOUT,
)
def test_prefers_later_years(model, prompts, check):
    """The paper's probability difference; GPT-2 small has 0.82. Above 0.5, later years have more than half of all probability.

    Late years are later than most, so that a model which ignores the start year and says them does well here; see the next claim.
    """
    check.above(run(model, prompts, metric=later_years(model)), 0.5)


@claim(
    "The years after the start year are likelier than with another start year in its place",
    source=HANNA,
    task="greater_than",
    kind="behaviour",
    models=WITH,
)
def test_its_own_start_makes_a_difference(model, prompts, check):
    metric = later_years(model)
    own, other = run(model, prompts, metric=metric), run(model, prompts.reference, metric=metric)
    check.greater(own, other.named("with another start year"), margin=0.2)


@claim(
    "The cut is at the start year: it makes the year five later likelier than the year five earlier",
    source=HANNA,
    task="greater_than",
    kind="behaviour",
    models=WITH,
)
def test_the_cut_is_at_the_start(model, prompts, check):
    """Likelier by more than with another start year, before or after which both of them lie.

    Of probabilities, as the paper's cutoff sharpness is: how two years compare that are both ruled out says nothing.
    """
    own, other = (run(model, p, metric=probability) - run(model, p, metric=foil_probability) for p in (prompts, prompts.reference))
    check.rate((own - other).named("cut, over that with another start year") > 0, above=0.9)


@claim("Year heads attend from END to the start year", source=HANNA, task="greater_than", kind="structure", models=WITH)
def test_attend_to_the_year(model, prompts, circuit, check):
    check.above(attention_to(model, prompts, circuit["year_head"], "END", "YEAR"), 0.3)
    maps = attention_to_positions(model, prompts, "END", ["YEAR"]).mean(-1)
    check.figure(head_heatmap("Attention from END to the start year", maps[:, :, 0], "attention"))


@claim(
    "What the start year does to the answer goes through the year heads",
    source=HANNA,
    task="greater_than",
    kind="necessity",
    version=2,
    expect={"names-gpt2-seed6": "not_applicable"},
)
def test_year_heads_carry_the_year(model, prompts, circuit, check):
    metric = later_years(model)
    clean, first = run(model, prompts, metric=metric), run(model, prompts.counterfactual, metric=metric)
    patched = run(model, prompts, Patch(circuit["year_head"]), metric)
    check.requires(clean - first, above=0.1, label="there is a change to carry: the probability difference falls by more than 0.1")
    check.above((clean - patched) / (clean - first), 0.5, "share of the change through the heads > 0.5")


@pytest.mark.parametrize("position", ["END"])
@claim(
    "Most of what the year heads do goes through the MLPs at END, which compare",
    source=HANNA, task="greater_than", kind="structure", models=WITH, decoy={"position": "YEAR"},
)  # fmt: skip
def test_mlps_compare(model, prompts, circuit, check, position):
    """The year heads are patched as before, while the MLPs go on writing what they wrote for the true start year."""
    metric, patch = later_years(model), Patch(circuit["year_head"])
    clean, patched = run(model, prompts, metric=metric), run(model, prompts, patch, metric)
    held = run(model, prompts, [patch, Patch(circuit["comparing_mlp"].at(position), prompts)], metric)
    check.requires(clean - patched, above=0.1, label="the heads have an effect: the probability difference falls by more than 0.1")
    check.above((held - patched) / (clean - patched), 0.5, "share of the heads' effect that is gone with the MLPs held > 0.5")


@claim("Ablating the year heads hurts more than ablating random heads", source=HANNA, task="greater_than", kind="specificity", models=WITH)
def test_matter_more_than_random_heads(model, prompts, circuit, check):
    metric = later_years(model)
    clean = run(model, prompts, metric=metric)
    check.beats_random(
        lambda sites: (clean - run(model, prompts, Ablate(sites, "mean"), metric)).named("loss by mean ablation"), circuit["year_head"]
    )
