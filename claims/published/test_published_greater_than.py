"""Hanna et al. 2023 on GPT-2 small: their figures, measured again. Tolerances were written beforehand, in greater_than.toml."""

from pathlib import Path

from mechcheck import Patch, all_heads, claim, cutoff_sharpness, heads, later_years, load_circuit, mlps, published, run

HANNA = published("greater_than")
ACDC = Path(__file__).parents[1] / "greater_than" / "proposals" / "acdc-gpt2.toml"


@claim(**HANNA.said("probability_difference"))
def test_probability_difference(model, prompts, check):
    check.between(run(model, prompts, metric=later_years(model)), *HANNA["probability_difference"].bounds)


@claim(**HANNA.said("cutoff_sharpness"))
def test_cutoff_sharpness(model, prompts, check):
    check.between(run(model, prompts, metric=cutoff_sharpness(model)), *HANNA["cutoff_sharpness"].bounds)


@claim(**HANNA.said("circuit_alone"))
def test_year_circuit_alone(model, prompts, circuit, check):
    """At END the start year is known by attention alone: all other heads there, and the MLPs, are those of the year 01."""
    kept_heads, kept_mlps = circuit["year_head"].pairs, {site.layer for site in circuit["comparing_mlp"]}
    others = heads([pair for pair in all_heads(model).pairs if pair not in kept_heads], at="END")
    other_mlps = mlps(" ".join(str(layer) for layer in range(model.cfg.n_layers) if layer not in kept_mlps), at="END")
    metric = later_years(model)
    clean = run(model, prompts, metric=metric)
    check.requires(clean, above=0.1, label="there is a difference to keep: more than 0.1")
    check.between(run(model, prompts, Patch(others | other_mlps), metric) / clean, *HANNA["circuit_alone"].bounds)


@claim(**HANNA.said("without_the_circuit"))
def test_without_the_year_circuit(model, prompts, circuit, check):
    patched = run(model, prompts, Patch(circuit["year_head"] | circuit["comparing_mlp"]), later_years(model))
    check.between(patched, *HANNA["without_the_circuit"].bounds)


@claim(**HANNA.said("heads_of_both_lists"))
def test_heads_of_both_lists(model, prompts, circuit, check):
    own, acdc = (set(found["year_head"].pairs) for found in (circuit, load_circuit(ACDC)))
    shared = own & acdc or own  # a decoy's heads are on neither list
    metric = later_years(model)
    clean, first = run(model, prompts, metric=metric), run(model, prompts.counterfactual, metric=metric)
    patched = run(model, prompts, Patch(heads(sorted(shared), at="END")), metric)
    check.requires(clean - first, above=0.1, label="there is a change to carry: the probability difference falls by more than 0.1")
    check.above((clean - patched) / (clean - first), HANNA["heads_of_both_lists"].low, "share of the change through the heads > 0.5")
