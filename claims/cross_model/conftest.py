"""Two models and the maps between them.

A map is fitted on one part of the discovery prompts; its place and penalty are chosen by what steering through it does on a second
part; claims are measured on verification prompts, which share no pair of people and no sentence with either. Both models are given
the same sentences, of words that are one token for each.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import pytest

from mechcheck import (
    PromptSet,
    Steer,
    class_vectors,
    ioi_prompts,
    provenance,
    resid,
    resid_post,
    search_alignment,
    swap_directions,
    sweep,
)
from mechcheck.base.errors import NoCircuitError

FITTED_ON, CHOSEN_ON = 1920, 240
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
BRIDGES: dict = {}


class Bridge(NamedTuple):
    """A source, and maps from it to the target, the one that steers best on the prompts it was chosen on first."""

    source: Any
    here: PromptSet
    """What it was fitted on, for the source,"""
    there: PromptSet
    """and for the target."""
    ranked: list
    vectors: dict
    """Place in the source -> name -> vector, from the prompts fitted on."""

    @property
    def best(self):
        return self.ranked[0]

    def directions(self, prompts, role):
        """For each prompt the source's direction that takes the role from its name and gives it to the other."""
        return exchanged(self.vectors[self.best.sites_from], prompts, role)


def owners(prompts, role):
    """The token of who has the role: the receiver is the answer, the giver the foil."""
    return (prompts.answers if role == "receiver" else prompts.foils).tolist()


def exchanged(vectors, prompts, role):
    return swap_directions(vectors, owners(prompts, role), owners(prompts, "giver" if role == "receiver" else "receiver"))


def streams(model):
    """Streams at END entering some layers in the middle, and behind the last."""
    n = model.cfg.n_layers
    layers = sorted({min(n - 1, max(1, round(n * share))) for share in (0.25, 0.5, 0.75)})
    return [*(resid(layer, at="END") for layer in layers), resid_post(n - 1, at="END")]


def prompts_for_both(source, target, *, n, seed, split):
    """The same prompts for two models."""
    return [ioi_prompts(one, n=n, seed=seed, split=split, shared_with=[other]) for one, other in ((source, target), (target, source))]


@lru_cache(maxsize=8)
def same_prompts(model, other, n, seed, split):
    """The prompts for a model, of words that the other knows too."""
    return ioi_prompts(model, n=n, seed=seed, split=split, shared_with=[other])


@lru_cache(maxsize=4)
def discovery(source, target):
    """Two disjoint parts, each for both models, and the maps fitted on the first, which are the same for each role."""
    fitted, chosen = (
        prompts_for_both(source, target, n=n, seed=seed, split="discover") for seed, n in ((101, FITTED_ON), (102, CHOSEN_ON))
    )
    taken = set(fitted[0].ids)
    fresh = [i for i, prompt in enumerate(chosen[0].ids) if prompt not in taken]
    maps = search_alignment(source, target, tuple(fitted), streams(source), streams(target), RIDGES, lambda *_: 0.0)
    return fitted, [part[fresh] for part in chosen], maps


def build(source, target, role):
    (here, there), (chosen, steered), maps = discovery(source, target)
    vectors = {site: class_vectors(source, here, site, owners(here, role)) for site in streams(source)}
    # A map's score is how far the logit difference falls; one sweep for all of them, as each of its own would run a real model anew.
    steps = [Steer(one.map.direction(exchanged(vectors[one.sites_from], chosen, role)), one.sites_to) for one in maps]
    falls = -sweep(target, steered, steps).mean(-1)
    ranked = sorted((one._replace(score=float(fall)) for one, fall in zip(maps, falls, strict=True)), key=lambda one: -one.score)
    return Bridge(source, here, there, ranked, vectors)


def known(source, target, role):
    """The bridge, built once for the same weights."""
    key = (provenance(source), provenance(target), role)
    if key not in BRIDGES:
        BRIDGES[key] = build(source, target, role)
    return BRIDGES[key]


@pytest.fixture
def bridge(partner, model):
    """bridge(model, role): maps to the model from its partner, for the direction of who has the role."""
    partner(model)  # a claim is skipped before it begins, should there be none
    return lambda target, role: known(partner(target), target, role)


@pytest.fixture
def make_prompts(partner):
    """The claim's prompts, of words that both models know."""
    return lambda model, *, n, seed, split: same_prompts(model, partner(model), n, seed, split)


@pytest.fixture
def both():
    """both(source, target, n=..., seed=..., split=...): the same prompts for two models."""
    return prompts_for_both


@pytest.fixture
def others_circuit(circuit_for):
    """others_circuit(model): the circuit recorded for the other model; a claim without it is skipped."""

    def recorded(model):
        try:
            return circuit_for(model)
        except NoCircuitError as missing:
            pytest.skip(f"of the other model: {missing}")

    return recorded
