"""Two models and the maps between them.

A map is fitted on one part of the discovery prompts; its place and penalty are chosen by what steering through it does on a second
part; claims are measured on verification prompts, which share no pair of people and no sentence with either.
"""

from typing import Any, NamedTuple

import pytest

from mechcheck import (
    PromptSet,
    class_vectors,
    ioi_prompts,
    load_model,
    provenance,
    resid,
    resid_post,
    search_alignment,
    steering_curve,
    swap_directions,
    task_prompts,
)
from mechcheck.plugin.settings import SETTINGS

PARTNER = {
    "names-gpt2-seed4": "names-neox-seed2",
    "names-neox-seed2": "names-gpt2-seed4",
    "gpt2": "EleutherAI/pythia-410m",
    "EleutherAI/pythia-410m": "gpt2",
}
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


def discovery(source, target):
    """Two disjoint parts, each for both models."""
    fitted, chosen = (
        [ioi_prompts(model, n=n, seed=seed, split="discover") for model in (source, target)]
        for seed, n in ((101, FITTED_ON), (102, CHOSEN_ON))
    )
    taken = set(fitted[0].ids)
    fresh = [i for i, prompt in enumerate(chosen[0].ids) if prompt not in taken]
    return fitted, [part[fresh] for part in chosen]


def build(source, target, role):
    (here, there), (chosen, steered) = discovery(source, target)
    vectors = {site: class_vectors(source, here, site, owners(here, role)) for site in streams(source)}

    def score(across, site_from, site_to):
        """How far the logit difference falls."""
        mapped = across.direction(exchanged(vectors[site_from], chosen, role))
        return -float(steering_curve(target, steered, mapped, site_to, [1.0]).mean[0])

    ranked = search_alignment(source, target, (here, there), streams(source), streams(target), RIDGES, score)
    return Bridge(source, here, there, ranked, vectors)


def known(source, target, role):
    """The bridge, built once for the same weights."""
    key = (provenance(source), provenance(target), role)
    if key not in BRIDGES:
        BRIDGES[key] = build(source, target, role)
    return BRIDGES[key]


@pytest.fixture
def partner():
    """partner(model): the model that it is paired with."""

    def load(target):
        about = provenance(target)
        return load_model(PARTNER[about.name.partition("#")[0]], device=about.device, dtype=about.dtype, offline=True)

    return load


@pytest.fixture
def bridge(partner):
    """bridge(model, role): maps to the model from its partner, for the direction of who has the role."""
    return lambda target, role: known(partner(target), target, role)


@pytest.fixture
def same_prompts(request):
    """same_prompts(model): the claim's verification prompts, for that model's tokenizer."""
    settings = request.config.stash[SETTINGS]
    return lambda model: task_prompts("ioi", model, n=settings.n_prompts, seed=settings.seed, split="verify")
