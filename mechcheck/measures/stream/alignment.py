"""Linear maps between two models' activations: fitted on one set of prompts, chosen on a second, tested on a third."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import exact
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import capture
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


# Of the matrix that a ridge regression inverts: beyond it fewer than four digits of the map are right.
_LARGEST_CONDITION = 1e12


@dataclass(frozen=True, eq=False)
class LinearMap:
    """x -> (x - mean_from) @ weight + mean_to, from one model's activations to another's."""

    weight: Float[Tensor, "d_from d_to"]
    """In float64, as are the means."""
    mean_from: Float[Tensor, " d_from"]
    mean_to: Float[Tensor, " d_to"]
    condition: float | None = None
    """Of what was inverted to make it: by how much an error may grow; None where nothing was, or a penalty bounds it."""

    def __call__(self, activation: Float[Tensor, "... d_from"]) -> Float[Tensor, "... d_to"]:
        """An activation of the one model in the other's terms."""
        return (exact(activation).to(self.weight) - self.mean_from) @ self.weight + self.mean_to

    def direction(self, vector: Float[Tensor, "... d_from"]) -> Float[Tensor, "... d_to"]:
        """A difference of two activations in the other model's terms; the means play no part in it."""
        return exact(vector).to(self.weight) @ self.weight


class Alignment(NamedTuple):
    """A map between two places, and how well it served where it was chosen."""

    sites_from: Sites
    sites_to: Sites
    ridge: float
    map: LinearMap
    score: float


def fit_linear_map(x: Float[Tensor, "row d_from"], y: Float[Tensor, "row d_to"], *, ridge: float) -> LinearMap:
    """Ridge regression of y on x, with an intercept that is not penalised, in float64.

    Args:
        x, y: row i of the one belongs to row i of the other.
        ridge: weight of the penalty in units of x's mean variance, so that it means the same whatever the stream's size.

    Raises:
        MechcheckError: rows that do not pair, too few of them, activations that are not finite, a penalty that is not positive, or
            too small for columns that depend on each other.
    """
    if ridge <= 0:
        raise MechcheckError(f"ridge={ridge}: the penalty must be positive")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise MechcheckError(f"a linear map needs as many rows of one model as of the other, got {tuple(x.shape)} and {tuple(y.shape)}")
    noise = 4 * torch.finfo(x.dtype).eps
    x, y = exact(x), exact(y)
    y = y.to(x.device)
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise MechcheckError("these activations are not finite, so no map can be fitted to them")
    mean_from, mean_to = x.mean(0), y.mean(0)
    centred = x - mean_from
    variance = centred.square().mean()
    if variance <= noise**2 * x.square().mean():
        raise MechcheckError("every row of x is the same, so nothing can be predicted from it")
    gram = centred.T @ centred + ridge * len(x) * variance * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    _check_determined(gram, ridge)
    return LinearMap(torch.linalg.solve(gram, centred.T @ (y - mean_to)), mean_from, mean_to)


def _check_determined(gram: Float[Tensor, "d d"], ridge: float) -> None:
    """Raise where the penalty leaves so little of some direction that float64 cannot tell what was measured there."""
    if len(gram) / ridge < _LARGEST_CONDITION:  # the largest eigenvalue is at most the trace
        return
    sizes = torch.linalg.eigvalsh(gram)
    if float(sizes[0]) * _LARGEST_CONDITION <= float(sizes[-1]):
        raise MechcheckError(f"ridge={ridge:g} is too small for activations whose columns depend on each other: take 1e-8 or more")


def activations(model: "TransformerBridge", prompts: PromptSet, sites: Sites) -> Float[Tensor, "prompt d"]:
    """The sites' activations side by side, in the order of the sites.

    Raises:
        PromptError: a site without a named position, at which two tokenizers could not be aligned.
    """
    everywhere = [site for site in sites if site.at is None]
    if everywhere:
        raise PromptError(f"name the position of {everywhere[0].named} (for example @END): two tokenizers agree on named positions only")
    found = capture(model, prompts, sites)
    return torch.cat([found[site] for site in sites], dim=-1)


def check_same_texts(prompts_from: PromptSet, prompts_to: PromptSet) -> None:
    """Raise unless the two sets are the same prompts for two tokenizers: as many, with the same templates, answers and foils."""
    if prompts_from.templates != prompts_to.templates or _words(prompts_from) != _words(prompts_to):
        raise PromptError(
            "these are not the same prompts for two models: their number, templates, answers or foils differ. "
            "Build both with the same task, n, seed and split"
        )


def _words(prompts: PromptSet) -> list[str]:
    """The text of answers and foils; what stands around a word differs between tokenizers."""
    return ["".join(prompts.vocabulary[token] for token in one).strip() for row in prompts.every_candidate for one in row]


def align(
    model_from: "TransformerBridge",
    model_to: "TransformerBridge",
    prompts: tuple[PromptSet, PromptSet],
    sites: tuple[Sites, Sites],
    *,
    ridge: float,
) -> LinearMap:
    """The ridge map from one model's activations to another's on the same prompts.

    Args:
        model_from, model_to: from `load_model`; widths, layouts and tokenizers may differ.
        prompts: the prompts to fit on, for each model; only named positions need correspond.
        sites: where to read each model; several sites stand side by side.
        ridge: as in `fit_linear_map`.

    Raises:
        PromptError: not the same prompts, or a site without a named position.
    """
    check_same_texts(*prompts)
    x, y = activations(model_from, prompts[0], sites[0]), activations(model_to, prompts[1], sites[1])
    return fit_linear_map(x.cpu(), y.cpu(), ridge=ridge)


def search_alignment(
    model_from: "TransformerBridge",
    model_to: "TransformerBridge",
    prompts: tuple[PromptSet, PromptSet],
    sites_from: Sequence[Sites],
    sites_to: Sequence[Sites],
    ridges: Sequence[float],
    score: Callable[[LinearMap, Sites, Sites], float],
) -> list[Alignment]:
    """Fit a map for every pair of places and every penalty, and rank them by a score taken on other prompts, best first.

    Args:
        model_from, model_to, prompts: as in `align`.
        sites_from, sites_to: the candidates.
        ridges: the candidates for the penalty.
        score: (map, place in the one model, place in the other) -> the larger the better, measured on prompts that were not
            fitted on. Report what is chosen on a third part.
    """
    check_same_texts(*prompts)
    read_from = [activations(model_from, prompts[0], sites).cpu() for sites in sites_from]
    read_to = [activations(model_to, prompts[1], sites).cpu() for sites in sites_to]
    found = []
    for (a, x), (b, y), ridge in itertools.product(zip(sites_from, read_from, strict=True), zip(sites_to, read_to, strict=True), ridges):
        fitted = fit_linear_map(x, y, ridge=ridge)
        found.append(Alignment(a, b, ridge, fitted, float(score(fitted, a, b))))
    if any(np.isnan(alignment.score) for alignment in found):
        raise MechcheckError("the score of an alignment is NaN, so they cannot be ranked")
    return sorted(found, key=lambda alignment: -alignment.score)


def unexplained(fitted: LinearMap, x: Float[Tensor, "prompt d_from"], y: Float[Tensor, "prompt d_to"], prompts: PromptSet) -> Measurement:
    """The share of y's variance over these prompts that the map leaves unexplained (1 - R2), as a ratio of means."""
    y = y.cpu().double()
    missed = (y - fitted(x.cpu())).square().sum(-1)
    spread = (y - y.mean(0)).square().sum(-1)
    ids, templates = prompts.ids, prompts.templates
    share = Measurement(missed.numpy(), ids, templates) / Measurement(spread.numpy(), ids, templates)
    return share.named("share of variance unexplained", "share")
