"""A name's direction, learnt in one model, steers another of a different layout through a linear map.

Thresholds were fixed on the prompts that the maps were chosen on.
"""

import numpy as np
import pytest

from mechcheck import (
    Bars,
    Heatmap,
    Measurement,
    activations,
    align,
    claim,
    class_vectors,
    fit_linear_map,
    random_directions,
    steering_curve,
    steering_curves,
    steering_figure,
    swap_directions,
    unexplained,
)

MODELS = {
    "names-gpt2-seed4": "names-neox-seed2",
    "names-neox-seed2": "names-gpt2-seed4",
    "gpt2": "EleutherAI/pythia-410m",
    "EleutherAI/pythia-410m": "gpt2",
}
SOURCE = "the idea: steering carried between GPT-2 and Pythia by a linear alignment of their streams; the claims are ours"
ROLES = ("receiver", "giver")
CONTROLS = 20
SWEPT = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)


def through_shuffled_pairs(found, model, directions, seed):
    """The directions through a map fitted on pairs of different prompts, at the length that the true map gives them."""
    import torch

    best = found.best
    order = torch.randperm(len(found.here), generator=torch.Generator().manual_seed(seed))
    x, y = activations(found.source, found.here, best.sites_from), activations(model, found.there, best.sites_to)
    mapped = fit_linear_map(x.cpu(), y.cpu()[order], ridge=best.ridge).direction(directions)
    return mapped / mapped.norm(dim=-1, keepdim=True) * best.map.direction(directions).norm(dim=-1, keepdim=True)


def of_other_people(directions, seed):
    """The same directions, each for another prompt."""
    import torch

    order = torch.randperm(len(directions), generator=torch.Generator().manual_seed(seed))
    return directions[order.roll(1)[order.argsort()]]


def native(found, model, prompts, role):
    """The target's own direction for each prompt, from the same discovery prompts."""
    own, other = (prompts.answers, prompts.foils) if role == "receiver" else (prompts.foils, prompts.answers)
    labels = (found.there.answers if role == "receiver" else found.there.foils).tolist()
    return swap_directions(class_vectors(model, found.there, found.best.sites_to, labels), own.tolist(), other.tolist())


def search_figure(found):
    """The scores that the place and the penalty were chosen by."""

    def name(tried):
        return " to ".join(f"{site.kind} {site.layer}" for place in (tried.sites_from, tried.sites_to) for site in place)

    scores = {(name(tried), tried.ridge): -tried.score for tried in found.ranked}
    pairs, ridges = (sorted({key[i] for key in scores}) for i in (0, 1))
    values = np.array([[scores[pair, ridge] for ridge in ridges] for pair in pairs])
    title = f"Logit difference when steered, where the map was chosen: {name(found.best)}"
    return Heatmap(title, values, pairs, [f"{ridge:g}" for ridge in ridges], "from stream to stream", "ridge", "logits")


def scale_figure(model, prompts, site, named, drawn):
    curves = steering_curves(model, prompts, [*named.values(), *drawn], site, SWEPT)
    controls = {"random directions": curves[len(named) :]}
    return steering_figure("Logit difference against scale", dict(zip(named, curves, strict=False)), controls)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("direction", ["mapped"])
@claim(
    "A name's direction in another model, mapped into this one, flips the answer on most prompts",
    source=SOURCE, task="ioi", kind="sufficiency", models=MODELS, decoy={"direction": "random"},
)  # fmt: skip
def test_mapped_direction_flips_the_answer(model, prompts, prompts_for, bridge, check, role, direction):
    found = bridge(model, role)
    site, theirs = found.best.sites_to, found.directions(prompts_for(found.source), role)
    mapped = found.best.map.direction(theirs)
    drawn = random_directions(mapped, CONTROLS, check.seed)
    steered = steering_curve(model, prompts, mapped if direction == "mapped" else drawn[0], site, [1.0]).at(1.0)
    check.rate(steered < 0, above=0.5, label="share of prompts on which the giver is preferred > 0.5")
    check.below(steered, 0.0)
    if check.draws:
        named = {
            "mapped": mapped,
            "this model's own": native(found, model, prompts, role),
            "other people": of_other_people(mapped, check.seed),
            "map of shuffled pairs": through_shuffled_pairs(found, model, theirs, check.seed),
        }
        check.figure(scale_figure(model, prompts, site, named, drawn))
        check.figure(search_figure(found))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("direction", ["mapped"])
@claim(
    "No control does what the mapped direction does: random directions of its length, other people's names, a map of shuffled pairs",
    source=SOURCE, task="ioi", kind="specificity", models=MODELS, decoy={"direction": "random"},
)  # fmt: skip
def test_controls_do_not_flip_the_answer(model, prompts, prompts_for, bridge, check, role, direction):
    found = bridge(model, role)
    theirs = found.directions(prompts_for(found.source), role)
    mapped = found.best.map.direction(theirs)
    tried = [mapped, of_other_people(mapped, check.seed), through_shuffled_pairs(found, model, theirs, check.seed)]
    tried += random_directions(mapped, CONTROLS, check.seed)
    curves = steering_curves(model, prompts, tried, found.best.sites_to, [1.0])
    steered, others, shuffled, *drawn = (curve.at(1.0) for curve in curves)
    if direction == "random":
        steered, *drawn = drawn
    controls = {"other people": others, "map of shuffled pairs": shuffled, "strongest random": min(drawn, key=lambda one: one.mean)}
    for name, control in controls.items():
        check.greater(control, steered, margin=2.0, label=f"{name} > mapped + 2 logits")
        check.rate(control < 0, below=0.25, label=f"{name}: share of prompts on which the giver is preferred < 0.25")
    shares = [(one < 0).mean for one in (steered, *controls.values())]
    check.figure(Bars("Share of prompts on which the giver is preferred", ["mapped", *controls], shares, unit="share"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("pairs", ["true"])
@claim(
    "Mapped directions point where this model's own do (cosine above 0.5), and the map explains a quarter of the variance or more",
    source=SOURCE, task="ioi", kind="structure", models=MODELS, decoy=[{"pairs": "shuffled"}, "reinitialised"],
)  # fmt: skip
def test_mapped_directions_point_as_its_own(model, prompts, prompts_for, bridge, check, role, pairs):
    import torch

    found = bridge(model, role)
    best, theirs = found.best, prompts_for(found.source)
    directions = found.directions(theirs, role)
    mapped = best.map.direction(directions) if pairs == "true" else through_shuffled_pairs(found, model, directions, check.seed)
    cosines = torch.cosine_similarity(mapped, native(found, model, prompts, role).cpu().to(mapped), dim=-1)
    check.above(Measurement(cosines.numpy(), prompts.ids, prompts.templates, "cosine with this model's own direction"), 0.5)
    x, y = activations(found.source, theirs, best.sites_from), activations(model, prompts, best.sites_to)
    check.below(unexplained(best.map, x, y, prompts), 0.75)


@pytest.mark.parametrize("names", ["unseen", "seen"])
@claim(
    "Through a map that was fitted without half of the names, the directions of these names flip the answer on most prompts too",
    source=SOURCE, task="ioi", kind="generalisation", models=MODELS, expect={"unseen": "refuted"},
    positive_control={"names": "seen"}, decoy={"names": "unseen"},
)  # fmt: skip
def test_map_carries_names_it_has_not_seen(model, bridge, both, check, names):
    """It does not: each name has a direction of its own in either model, and a map learns them one by one, as a dictionary does."""
    found = bridge(model, "receiver")
    best = found.best
    left_out = set(sorted(set(found.here.answers.tolist()))[::2])

    def rows(prompts, unseen):
        """Those of which both names are, or neither is, left out."""
        pairs = zip(prompts.answers.tolist(), prompts.foils.tolist(), strict=True)
        return [i for i, pair in enumerate(pairs) if {name in left_out for name in pair} == {unseen}]

    known = rows(found.here, unseen=False)
    fitted = align(found.source, model, (found.here[known], found.there[known]), (best.sites_from, best.sites_to), ridge=best.ridge)
    theirs, mine = both(found.source, model, n=720, seed=0, split="verify")
    chosen = rows(theirs, unseen=names == "unseen")
    mapped = fitted.direction(found.directions(theirs[chosen], "receiver"))
    steered = steering_curve(model, mine[chosen], mapped, best.sites_to, [1.0]).at(1.0)
    check.rate(steered < 0, above=0.5, label="share of prompts on which the giver is preferred > 0.5")
