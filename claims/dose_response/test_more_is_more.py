"""The more is taken away, the more is lost: a circuit that matters has no dose at which it does not.

Doses, tolerance and least effects were fixed on the discovery prompts.
"""

from mechcheck import Ablate, Scale, Sites, claim, dose_curve, dose_figure

SOURCE = "Berger 1982, Technometrics 24:295 (the test); the claims are ours"
SHORTCUT = "names-gpt2-seed0"
MODELS = [SHORTCUT, "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)


@claim(
    "The less of the S-inhibition heads' output is left, the smaller the preference, at every step from all of it to none",
    source=SOURCE, task="ioi", kind="necessity", models=MODELS, expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_preference_falls_with_what_is_taken_of_s_inhibition(model, prompts, circuit, check):
    sites = circuit["s_inhibition"]
    curve = dose_curve(model, prompts, lambda dose: Scale(sites, 1 - dose), DOSES)
    check.monotone(curve, falls=4.0)
    check.figure(lambda: dose_figure(curve, x_label="share of the heads' output taken away"))


@claim(
    "With each name mover that is ablated the preference is smaller, whatever the others still do",
    source=SOURCE, task="ioi", kind="necessity", models=MODELS,
)  # fmt: skip
def test_preference_falls_with_each_name_mover(model, prompts, circuit, check):
    movers = list(circuit["name_mover"])
    curve = dose_curve(model, prompts, lambda n: [Ablate(Sites(movers[: int(n)]), "mean")] if n else [], range(len(movers) + 1))
    check.monotone(curve, falls=3.0)
    check.figure(lambda: dose_figure(curve, x_label="name movers ablated"))
