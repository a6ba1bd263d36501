"""The logit lens on indirect object identification: at which layer the answer is made, and what a tuned lens sees before it.

Thresholds were fixed, and lenses fitted, on discovery prompts; the claims are measured on verification prompts.
"""

import numpy as np
import pytest

from mechcheck import Compared, LensGrid, Lines, Measurement, claim, fit_tuned_lens, ioi_prompts, logit_lens, logit_lens_map, reinitialised

NOSTALGEBRAIST = "nostalgebraist 2020, interpreting GPT: the logit lens"
BELROSE = "Belrose et al. 2023, arXiv:2303.08112"
FITTED_ON, STEPS, SEED, TOP = 480, 100, 0, 3


def dashboard(model, prompts, row=0):
    """P(correct) and P(incorrect) over layer and position, for one clean prompt and its corrupted twin."""
    grids = {}
    for name, some in (("clean", prompts[[row]]), ("corrupted", prompts.counterfactual[[row]])):
        found, length = logit_lens_map(model, some, top=TOP), int(some.lengths[0])
        grids[name] = LensGrid(
            name,
            some.words[0],
            [*map(str, range(model.cfg.n_layers)), "out"],
            found.p_answer[:, :length, 0],
            found.p_foil[:, :length, 0],
            [state[:length] for state in found.foremost()],
        )
    answer, foil = (prompts.vocabulary[int(tokens[row])].strip() for tokens in (prompts.answers, prompts.foils))
    return Compared(f"Logit lens: the answer is {answer}, the foil {foil}", grids)


def over_layers(reading, corrupted):
    curves = {
        "clean: p(correct)": reading.p_answer, "clean: p(incorrect)": reading.p_foil,
        "corrupted: p(correct)": corrupted.p_answer, "corrupted: p(incorrect)": corrupted.p_foil,
    }  # fmt: skip
    means = {name: values.mean(-1) for name, values in curves.items()}
    return Lines("Logit lens at END", range(len(reading.p_answer)), means, "layers read", "probability")


@claim(
    "The answer is made in the name movers' layers: the lens puts it first behind them, and on few prompts before them",
    source=NOSTALGEBRAIST, task="ioi", kind="structure", decoy="reinitialised",
)  # fmt: skip
def test_answer_resolves_in_the_name_movers_layers(model, prompts, circuit, check):
    layers = [site.layer for site in circuit["name_mover"]]
    reading = logit_lens(model, prompts)
    check.rate(reading.at_layer(min(layers), "rank") < 1, below=0.25, label="share with the answer first, before the name movers < 0.25")
    check.rate(reading.at_layer(max(layers) + 1, "rank") < 1, above=0.9, label="share with the answer first, behind the name movers > 0.9")
    check.between(reading.resolution(), min(layers) + 0.5, max(layers) + 1.5)
    check.figure(lambda: dashboard(model, prompts))
    check.figure(lambda: over_layers(reading, logit_lens(model, prompts.counterfactual)))


@claim(
    "On the corrupted prompt the same layers put the other name first, and the correct one out of sight",
    source=NOSTALGEBRAIST, task="ioi", kind="behaviour",
)  # fmt: skip
def test_corrupted_prompt_resolves_to_the_other_name(model, prompts, check):
    reading = logit_lens(model, prompts.counterfactual)
    correct, incorrect = (reading.at_layer(model.cfg.n_layers, what) for what in ("p_answer", "p_foil"))
    check.greater(incorrect.named("p(incorrect)"), correct.named("p(correct)"), margin=0.5)
    check.below(correct, 0.1, "p(correct) < 0.1")


def mean_divergence(model, prompts, lens=None):
    """Each state's KL from the model's own output: the mean over the prompt's tokens, for every prompt."""
    found = logit_lens_map(model, prompts, lens=lens)
    means = np.nanmean(found.kl, axis=1)  # padding, which is NaN, is no token
    return [Measurement(state, prompts.ids, prompts.templates, f"KL at layer {i}", "nats") for i, state in enumerate(means)]


@pytest.mark.parametrize("fitted_to", ["this model"])
@claim(
    "At every layer a tuned lens leaves less than half of the logit lens's divergence from the model's own output",
    source=BELROSE, task="ioi", kind="generalisation", decoy={"fitted_to": "re-initialised weights"},
)  # fmt: skip
def test_tuned_lens_is_nearer_to_the_output(model, prompts, check, fitted_to):
    subject = model if fitted_to == "this model" else reinitialised(model, SEED)
    lens = fit_tuned_lens(subject, ioi_prompts(subject, n=FITTED_ON, seed=SEED, split="discover"), steps=STEPS)
    plain, tuned = mean_divergence(model, prompts), mean_divergence(model, prompts, lens)
    for layer in range(model.cfg.n_layers):
        check.below(tuned[layer] / plain[layer], 0.5, f"layer {layer}: divergence of the tuned lens / of the logit lens < 0.5")
    check.figure(
        lambda: Lines(
            "Divergence from the model's own output, mean over tokens", range(len(plain)),
            {"logit lens": [state.mean for state in plain], "tuned lens": [state.mean for state in tuned]}, "layers read", "nats",
        )
    )  # fmt: skip
