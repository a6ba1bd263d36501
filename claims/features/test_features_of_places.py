"""A dictionary that was trained on a stream whose columns are known: it finds those of places, and the circuit needs them."""

from dataclasses import replace

import numpy as np
import pytest

from mechcheck import Ablate, Heatmap, Measurement, capture, claim, features, logit_diff, loss_recovered, run
from mechcheck.compiled import blueprint, lay_out

BRICKEN = "Bricken et al. 2023, transformer-circuits.pub/2023/monosemantic-features"
ON = "compiled-ioi"


def per_prompt(prompts, values, name, unit=""):
    return Measurement(np.asarray(values, dtype=float), prompts.ids, prompts.templates, name, unit)


def which_fires(active, places, feature_of_place, at):
    there, columns = sorted(set(places)), sorted(feature_of_place)
    share = [[float((active[[p == place for p in places], feature_of_place[of]] > 0).float().mean()) for of in columns] for place in there]
    rows, cols = [str(place) for place in there], [f"f{feature_of_place[of]}" for of in columns]
    return Heatmap(
        f"On which share of prompts each place's feature fires at {at}", np.array(share), rows, cols, "place", "feature", "share"
    )


@pytest.mark.parametrize("directions", ["learnt"])
@claim(
    "The features alone, without what they leave out, keep what the model predicts",
    source=BRICKEN, kind="sufficiency", models=[ON], decoy={"directions": "exchanged"},
)  # fmt: skip
def test_the_reconstruction_keeps_the_prediction(model, prompts, dictionary, check, directions):
    if directions == "exchanged":
        dictionary = replace(dictionary, W_dec=dictionary.W_dec.roll(1, dims=0))
    found = loss_recovered(model, prompts, dictionary, logit_diff)
    check.above(found.recovered, 0.9)
    check.above(found.kl_recovered, 0.9)


@pytest.mark.parametrize("at", ["S1", "S2"])
@pytest.mark.parametrize("off_by", [0])
@claim(
    "The feature that was found to tell a place fires on the word that stands there, and those of other places do not",
    source=BRICKEN, kind="structure", models=[ON], decoy={"off_by": 2},
)  # fmt: skip
def test_it_fires_where_it_should(model, prompts, dictionary, feature_of_place, check, at, off_by):
    import torch

    (active,) = capture(model, prompts, features(dictionary, range(dictionary.d_sae), at=at)).values()
    places = [feature_of_place[place + off_by] for place in prompts.position(at).tolist()]
    fires = active[torch.arange(len(prompts)), places] > 0
    check.figure(which_fires(active, prompts.position(at).tolist(), feature_of_place, at))
    others = [(row[sorted(set(feature_of_place.values()) - {own})] > 0).any() for row, own in zip(active, places, strict=True)]
    check.rate(per_prompt(prompts, fires, f"the feature of {at}'s place fires"), above=0.9)
    check.rate(per_prompt(prompts, others, f"one of another place fires at {at}"), below=0.15)


@pytest.mark.parametrize("off_by", [0])
@claim(
    "The direction of a place's feature is the column that was built for the place",
    source=BRICKEN, kind="structure", models=[ON], decoy={"off_by": 1},
)  # fmt: skip
def test_its_direction_is_what_was_built(model, prompts, dictionary, feature_of_place, check, off_by):
    import torch

    built = torch.eye(dictionary.d_in)[lay_out(blueprint(ON)).registers["position"]]
    built = torch.nn.functional.normalize(built - built.mean(1, keepdim=True), dim=1)  # the folded model's columns are centred
    places = prompts.position("S1").tolist()
    cosines = [float(dictionary.W_dec[feature_of_place[place]] @ built[place - 1 + off_by]) for place in places]
    check.above(per_prompt(prompts, cosines, "cosine of the feature's direction and the built column"), 0.9)


@pytest.mark.parametrize("at", ["S1", "S2"])
@pytest.mark.parametrize("which", ["places"])
@claim(
    "Without the features of places at the subject the name mover no longer knows whom to avoid, and other features are not missed so",
    source=BRICKEN, kind="necessity", models=[ON], decoy=[{"which": f"others {seed}"} for seed in range(8)],
)  # fmt: skip
def test_the_circuit_needs_them(model, prompts, dictionary, feature_of_place, check, at, which):
    sites = features(dictionary, set(feature_of_place.values()), at=at)
    if which != "places":  # as many others, of those that fire
        (place,) = sites
        sites = sites.within(place.code.drawn(int(which.removeprefix("others "))))
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above((clean - run(model, prompts, Ablate(sites))) / clean, 0.5, "share of the preference lost > 0.5")
