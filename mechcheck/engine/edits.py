"""From interventions to edits: the captured, averaged or shuffled activations that are put at each site."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

from mechcheck.base.device import exact
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.base.seeds import seed_from
from mechcheck.engine.drawn import fit_site, mean_of, partners
from mechcheck.engine.edit import Activation, Edit
from mechcheck.engine.site_readers import capture_sites
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Noise, Patch, Permute, Put, Scale, Sparsify, Steer
from mechcheck.notation.site_checks import check_sites, site_width
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


Capture = Callable[["TransformerBridge", PromptSet, Sequence[Site]], Mapping[Site, Activation]]


class Captures:
    """Activations of whole prompt sets, each set run once for all sites that are needed of it."""

    def __init__(self, model: "TransformerBridge", capture: Capture | None = None):
        self._model = model
        self._capture = capture or capture_sites
        self._sets: dict[int, tuple[PromptSet, dict[Site, Activation]]] = {}

    def need(self, prompts: PromptSet, sites: Sites) -> None:
        """Run `prompts` once for those of `sites` that are not there yet."""
        _, known = self._sets.setdefault(id(prompts), (prompts, {}))
        missing = Sites(replace(site, to=None) for site in sites) - Sites(known)  # an edge's activation is its sender's
        if missing:
            check_sites(self._model, missing)
            known.update(self._capture(self._model, prompts, [*missing]))

    def sets(self) -> Iterator[tuple[PromptSet, Mapping[Site, Activation]]]:
        """The prompt sets, and what is known of each."""
        yield from self._sets.values()

    def get(self, prompts: PromptSet, site: Site) -> Activation:
        """The activation of one site."""
        return self._sets[id(prompts)][1][replace(site, to=None)]


def capture_all(
    model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Intervention]], capture: Capture | None = None
) -> Captures:
    """Capture, in one run per prompt set, all that the interventions need."""
    wanted: dict[int, tuple[PromptSet, list[Site]]] = {}
    for intervention in (i for variant in variants for i in variant):
        source = _source(intervention, prompts)
        if source is not None:
            wanted.setdefault(id(source), (source, []))[1].extend(intervention.sites)
    captures = Captures(model, capture)
    for source, sites in wanted.values():
        captures.need(source, Sites(sites))
    return captures


def edits_of(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention], captures: Captures) -> list[Edit]:
    """What the interventions do at each of their sites."""
    seen: dict[tuple, list[Site]] = {}
    for site in (site for intervention in interventions for site in intervention.sites):
        places = seen.setdefault((site.kind, site.layer, site.to), [])
        if any(_overlap(site, other) for other in places):
            raise PromptError(f"{site.named} is changed twice at once; leave it out of one of the interventions")
        places.append(site)
    edits = [_edit(model, intervention, site, prompts, captures) for intervention in interventions for site in intervention.sites]
    edits = [
        edit if edit.site.kind != "pattern" or edit.value is None
        else replace(edit, value=edit.value * _seen(model, edit.site, prompts).to(edit.value.device)) for edit in edits
    ]  # fmt: skip
    spans = prompts.spans
    return [
        replace(edit, where=prompts.span(edit.site.at)) if edit.site.at is not None and edit.site.at in spans else edit for edit in edits
    ]


def _overlap(one: Site, other: Site) -> bool:
    """Whether two sites of a kind and layer have a place in common; a site that names no head, or no position, is of all."""
    return all(a == b or None in (a, b) for a, b in ((one.index, other.index), (one.at, other.at)))


def _edit(model: "TransformerBridge", intervention: Intervention, site: Site, prompts: PromptSet, captures: Captures) -> Edit:
    match intervention:
        case Ablate() | Patch():
            return Edit(site, _value(intervention, site, prompts, captures), start=_start(intervention, prompts))
        case Put():
            return Edit(site, checked_put(intervention.values[site], model, site, prompts))
        case Steer():
            return Edit(site, _steering(model, intervention, site, prompts), keep=1.0)
        case Scale():
            return Edit(site, keep=intervention.factor)
        case Sparsify():
            return Edit(site, keep=1.0, change=_sparsified(intervention.threshold))
        case KnockOut():
            keys = prompts.span(intervention.keys)
            return Edit(site, keep=1.0, cut=~keys if intervention.only else keys)
        case Noise():
            return Edit(site, _noise(model, intervention, site, prompts, captures.get(prompts, site)), keep=1.0)
        case Permute():
            return Edit(site, keep=1.0, order=_permuted(prompts, intervention.seed))
    raise MechcheckError(f"expected an intervention, for example Ablate(heads('9.6')), got {type(intervention).__name__}")


def _source(intervention: Intervention, prompts: PromptSet) -> PromptSet | None:
    """The prompts that an intervention takes activations from; None where it needs none."""
    if isinstance(intervention, Patch):
        source = intervention.source or prompts.counterfactual
        if source is None:
            raise PromptError("Patch needs prompts to patch from: give source=..., or prompts with a counterfactual")
        return source
    if isinstance(intervention, Noise):
        return prompts
    if isinstance(intervention, Ablate) and intervention.method != "zero":
        return intervention.reference or prompts.reference or prompts
    return None


def _value(intervention: Ablate | Patch, site: Site, prompts: PromptSet, captures: Captures) -> Activation | None:
    source = _source(intervention, prompts)
    if source is None:
        return None
    if site.kind == "pattern" and not prompts.several(site.at):
        _check_same_queries(intervention, site, source, prompts)
    activation = captures.get(source, site)
    if isinstance(intervention, Ablate) and intervention.method == "mean":
        return mean_of(activation, site, source, prompts)
    if isinstance(intervention, Ablate) and source is prompts:
        return activation[partners(prompts, intervention.seed)]
    _check_aligned(source, prompts, site)
    return fit_site(activation, site, prompts)


def _start(intervention: Ablate | Patch, prompts: PromptSet) -> Int[Tensor, " prompt"] | None:
    """Where a prompt first differs from the one its activations come from: before that they are its own."""
    source = _source(intervention, prompts)
    if source is None or (isinstance(intervention, Ablate) and intervention.method == "mean"):
        return None
    tokens = source.tokens
    if isinstance(intervention, Ablate) and source is prompts:
        tokens = tokens[partners(prompts, intervention.seed)]
    width = min(tokens.shape[1], prompts.tokens.shape[1])
    differs = tokens[:, :width] != prompts.tokens[:, :width]
    return torch.where(differs.any(1), differs.int().argmax(1), width)


def _steering(model: "TransformerBridge", steer: Steer, site: Site, prompts: PromptSet) -> Activation:
    shape, vector = _shape(model, site, prompts), steer.vector
    if vector.shape[-1] != shape[-1]:
        raise MechcheckError(f"a vector of {vector.shape[-1]} numbers cannot steer {site.named}, which has {shape[-1]}")
    if vector.ndim == 2:
        if len(vector) != len(prompts):
            raise PromptError(f"{len(vector)} steering vectors for {len(prompts)} prompts; give one for each, or one for all")
        vector = vector[:, None] if prompts.several(site.at) else vector
    return (steer.scale * vector).expand(shape)


def _seen(model: "TransformerBridge", site: Site, prompts: PromptSet) -> Bool[Tensor, "prompt *pos key"]:
    """The keys that the queries of a pattern see: to others no attention is ever given, whatever is put or added there."""
    place = torch.arange(prompts.tokens.shape[1])
    if model.cfg.attention_dir != "causal":
        seen = place < prompts.lengths[:, None]
        return seen[:, None] if prompts.several(site.at) else seen
    if prompts.several(site.at):
        return (place <= place[:, None])[None]
    assert site.at is not None
    return place <= prompts.position(site.at)[:, None]


def _noise(model: "TransformerBridge", noise: Noise, site: Site, prompts: PromptSet, activation: Activation) -> Activation:
    """Gaussian noise, as large as it is told to be beside what is there."""
    real = torch.ones(len(prompts), dtype=torch.bool)
    if prompts.several(site.at):
        real = prompts.own if site.at is None else prompts.span(site.at)
    if site.kind == "pattern":
        real = real[..., None] & _seen(model, site, prompts)
    size = float(exact(activation[real.to(activation.device)]).std(correction=0))
    drawn = []
    for name, length in zip(prompts.ids, prompts.lengths.tolist(), strict=True):
        rng = np.random.default_rng(seed_from(f"noise {noise.seed} {site.named} {name}"))
        # A pattern's components are positions too, and a prompt's noise must not depend on how far it is padded.
        shape = activation.shape[1:] if site.kind != "pattern" else [length] * (activation.ndim - 1)
        values = torch.from_numpy(rng.standard_normal(shape))
        drawn.append(values if site.kind != "pattern" else pad(values, [0, activation.shape[-1] - length] * values.ndim))
    return (noise.scale * size * torch.stack(drawn)).to(activation)


def checked_put(value: Activation, model: "TransformerBridge", site: Site, prompts: PromptSet) -> Activation:
    """What is put at a site.

    Raises:
        MechcheckError: another shape than the site's activation has.
    """
    shape = _shape(model, site, prompts)
    if tuple(value.shape) != shape:
        raise MechcheckError(f"Put at {site.named} needs an activation of shape {shape}, got {tuple(value.shape)}")
    return value


def _shape(model: "TransformerBridge", site: Site, prompts: PromptSet) -> tuple[int, ...]:
    """The shape of a site's activation on the prompts."""
    width = prompts.tokens.shape[1] if site.kind == "pattern" else site_width(model, site)
    return (*prompts.tokens.shape, width) if prompts.several(site.at) else (len(prompts), width)


def _sparsified(threshold: float) -> Callable[[Tensor], Tensor]:
    return lambda activation: activation.masked_fill(activation.abs() < threshold, 0.0)


def _permuted(prompts: PromptSet, seed: int) -> Int[Tensor, "prompt pos"]:
    """For each position the one it takes its activation from: all of a prompt's own positions in a seeded order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(prompts.tokens.shape[1]).repeat(len(prompts), 1)
    for row, length in enumerate(prompts.own_lengths.tolist()):
        order[row, :length] = torch.randperm(length, generator=generator)
    return order


def _check_aligned(source: PromptSet, prompts: PromptSet, site: Site) -> None:
    if len(source) != len(prompts):
        raise PromptError(f"{len(source)} source prompts for {len(prompts)} prompts; they must be aligned one for one")
    if (prompts.several(site.at) or site.kind == "pattern") and source.lengths.tolist() != prompts.lengths.tolist():
        way = "" if site.kind == "pattern" else "; name one (@END)"
        raise PromptError(f"source and prompts have different lengths, so {site.named} cannot be aligned at every position{way}")


def _check_same_queries(intervention: Ablate | Patch, site: Site, source: PromptSet, prompts: PromptSet) -> None:
    """A pattern's components are positions, so it can only be taken from a query that stands where this one does."""
    assert site.at is not None
    here, there = prompts.position(site.at), source.position(site.at)
    if isinstance(intervention, Ablate) and (source is prompts or intervention.method == "mean"):
        places: dict[tuple[str, int], set[int]] = defaultdict(set)
        for some, at in ((prompts, here), (source, there)):
            for template, length, position in zip(some.templates, some.lengths.tolist(), at.tolist(), strict=True):
                places[template, length].add(position)
        same = all(len(found) == 1 for found in places.values())
    else:
        same = len(here) == len(there) and bool((here == there).all())
    if not same:
        raise PromptError(f"{site.named} stands at several positions, so patterns cannot be exchanged there: leave out @{site.at}")
