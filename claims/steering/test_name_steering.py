"""Steering by names: in the stream behind the S-inhibition heads, the giver's name is exchanged for the receiver's.

A name's vector is the mean stream at END over discovery prompts with that giver, minus the mean over all (mean-centring). Names
and sentences of the verification prompts never met in those. Thresholds were fixed before the verification prompts were looked at.
"""

import numpy as np
import pytest

from mechcheck import (
    Bars,
    claim,
    class_vectors,
    foil_probability,
    induction_prompts,
    ioi_prompts,
    kl_divergence,
    logit_diff,
    probability,
    provenance,
    random_directions,
    resid,
    resid_post,
    steering_curve,
    steering_curves,
    steering_figure,
    swap_directions,
)

SOURCE = "Turner et al. 2023, arXiv:2308.10248; Jorgensen et al. 2023, arXiv:2312.03813"
SHORTCUT = "names-gpt2-seed0"  # writes against the giver directly, so nothing behind these heads is waiting to be read
LEARNT, SEED, CONTROLS = 1920, 0, 20
BESIDE = 5  # controls that are looked at and decide nothing
VECTORS: dict = {}  # of each model and site, so that they are learnt once
SWEPT = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)


def behind(model, circuit):
    """The stream at END that has everything the S-inhibition heads wrote."""
    layer = max(site.layer for site in circuit["s_inhibition"]) + 1
    return resid(layer, at="END") if layer < model.cfg.n_layers else resid_post(layer - 1, at="END")


def exchange(model, prompts, site):
    """For each prompt the direction from its giver's vector to its receiver's."""
    key = (provenance(model), site)
    if key not in VECTORS:
        learnt = ioi_prompts(model, n=LEARNT, seed=SEED, split="discover")
        VECTORS[key] = class_vectors(model, learnt, site, learnt.foils.tolist())
    return swap_directions(VECTORS[key], prompts.foils.tolist(), prompts.answers.tolist())


def other_people(directions, seed):
    """The same directions, each for another prompt."""
    order = np.random.default_rng(seed).permutation(len(directions))
    return directions[np.roll(order, 1)[np.argsort(order)].tolist()]


def sweep_figures(model, prompts, directions, site, seed):
    """Logit difference and probabilities against the scale, beside what random directions do."""
    tried = [directions, other_people(directions, seed), *random_directions(directions, CONTROLS, seed)]
    for title, metric in (("Logit difference", logit_diff), ("p(receiver)", probability), ("p(giver)", foil_probability)):
        names, others, *controls = steering_curves(model, prompts, tried, site, SWEPT, metric)
        curves = {"giver's name for receiver's": names, "names of another prompt": others}
        yield steering_figure(f"{title} against scale", curves, {"random directions": controls})


@pytest.mark.parametrize("direction", ["names"])
@claim(
    "Exchanging the giver's name for the receiver's in the stream flips the answer on most prompts, as no random direction does",
    source=SOURCE, task="ioi", kind="sufficiency", expect={SHORTCUT: "refuted"}, decoy={"direction": "random"},
)  # fmt: skip
def test_exchanging_names_flips_the_answer(model, prompts, circuit, check, direction):
    site = behind(model, circuit)
    names = exchange(model, prompts, site)
    steered, others, *controls = (
        curve.at(1.0)
        for curve in steering_curves(
            model, prompts, [names, other_people(names, check.seed), *random_directions(names, CONTROLS, check.seed)], site, [1.0]
        )
    )
    if direction == "random":
        steered, *controls = controls
    strongest = min(controls, key=lambda control: control.mean)
    check.rate(steered < 0, above=0.5, label="share of prompts on which the giver is preferred > 0.5")
    check.greater(strongest.named("strongest random direction"), steered.named("names exchanged"), margin=1.0)
    check.greater(others.named("names of another prompt"), steered.named("names exchanged"), margin=1.0)
    for figure in sweep_figures(model, prompts, names, site, check.seed) if check.draws else ():
        check.figure(figure)


@pytest.mark.parametrize("reach", [0.25, 1.0])
@pytest.mark.parametrize("direction", ["names"])
@claim(
    "The logit difference falls linearly with the scale: a straight line leaves less than 5% of its variation unexplained",
    source="the wording of many steering demonstrations", task="ioi", kind="structure", expect={SHORTCUT: "refuted", "1.0": "refuted"},
    positive_control={"reach": 0.25}, decoy={"direction": "random"},
)  # fmt: skip
def test_shift_is_linear(model, prompts, circuit, check, reach, direction):
    """Over the whole way it is not: between the stream and the answer stands the softmax of the name movers' attention."""
    site = behind(model, circuit)
    names, scales = exchange(model, prompts, site), np.linspace(-reach, reach, 9).tolist()
    added = names if direction == "names" else random_directions(names, 1, check.seed)[0]
    curve = steering_curve(model, prompts, added, site, scales)
    check.below(curve.nonlinearity, 0.05)
    check.below(curve.slope, -1.0)
    drawn = random_directions(names, BESIDE, SEED)
    title = f"Logit difference within {reach:g} of the natural scale"
    check.figure(lambda: curve.figure(title, {"random directions": steering_curves(model, prompts, drawn, site, scales)}))


@pytest.mark.parametrize("scale", [1.0])
@claim(
    "The names' directions are read in IOI only: added to repeated random words they change the prediction by less than 0.1 nats",
    source=SOURCE, task="ioi", kind="specificity", expect="refuted", positive_control={"scale": 0.05},
)  # fmt: skip
def test_leaves_other_text_alone(model, prompts, circuit, check, scale):
    """A vector as long as these displaces the last layer's queries whatever it says; so do random ones."""
    site = behind(model, circuit)
    names, text = exchange(model, prompts, site), induction_prompts(model, n=len(prompts), seed=SEED)
    drawn = random_directions(names, CONTROLS if check.draws else 0, check.seed)
    changed, *controls = steering_curves(model, text, [names, *drawn], site, [scale], kl_divergence)
    check.below(changed.at(scale), 0.1, "KL from the untouched prediction on repeated words < 0.1")
    found = {"names exchanged": changed, **{f"random direction {i}": curve for i, curve in enumerate(controls)}}
    check.figure(Bars("KL on repeated words", list(found), [curve.mean[0] for curve in found.values()], unit="nats", threshold=0.1))
