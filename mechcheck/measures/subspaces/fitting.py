"""Subspaces that are found: by means of activations, or by a probe; what each says of the prompts that it was found on."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.device import exact, usual_torch
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import capture
from mechcheck.measures.subspaces.pairs import single, traces
from mechcheck.notation.codes import Subspace, subspace
from mechcheck.notation.site_checks import site_width
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Labels = Sequence[Hashable] | Tensor
FLAT = 1e-4
"""Of the largest spread of the activations: directions in which they vary by less count as none."""
STILL = 1e-2
"""Of the components' usual spread: what varies by less may be rounding that tells the classes apart, which a probe does not enlarge."""


@dataclass(frozen=True, eq=False)
class FittedSubspace:
    """A subspace that was found on some prompts, on which it cannot be verified: `interchange` refuses them."""

    sites: Sites
    """Where it was found, within the subspace: what is captured, patched, ablated and steered."""
    how: str
    """ "difference of means", "probe" or "das"."""
    n: int
    """Prompts that went into it (pairs, for "das" and where a difference is from the counterfactual)."""
    prompts_sha256: str
    """Hash of these prompts: `PromptSet.sha256`."""
    in_sample: float
    """How well it does on the prompts that it was fitted on, from 0 to 1, which is no evidence. Means: the share that lies nearest to
    the mean of its class; probe: the accuracy on the part fitted on; das: the interchange accuracy."""
    again: Callable[["TransformerBridge", int | None], "FittedSubspace"] = field(repr=False)
    """(model, seed) -> the same fit on a model, by the same prompts; with arbitrary labels drawn by the seed, unless that is None."""
    held_out: float | None = None
    """Probe: the accuracy on prompts that were kept out of the fit."""
    held_out_majority: float | None = None
    """Probe: what answering with the larger class every time scores there."""
    losses: tuple[float, ...] = ()
    """das: mean training loss of each epoch, in nats."""

    @property
    def subspace(self) -> Subspace:
        """Its orthonormal basis, with what it was fitted on."""
        (site,) = self.sites
        assert isinstance(site.code, Subspace)
        return site.code


@usual_torch()
def difference_of_means(
    model: "TransformerBridge", prompts: PromptSet, site: Sites, labels: Labels | None = None, *, source: PromptSet | None = None
) -> FittedSubspace:
    """The directions between the mean activations of classes of prompts: n_classes - 1 of them.

    Args:
        model: from `load_model`.
        prompts: what it is fitted on; keep others to verify it.
        site: one site at one named position, for example resid("1@END").
        labels: the class of each prompt. Of two classes the direction points to the one that is sorted last.
        source: without labels: the two classes are the prompts, to which the direction points, and these (by default their counterfactual).

    Raises:
        PromptError: labels of another number, or of one class. SiteError: not one site at one named position.
        MechcheckError: means that are the same.
    """
    if labels is not None and source is not None:
        raise PromptError("give labels of the prompts, or a source to set them against, and not both")
    return _difference(model, None, prompts=prompts, at=site, labels=None if labels is None else as_labels(labels, prompts), source=source)


def _difference(
    model: "TransformerBridge", arbitrary: int | None, *,
    prompts: PromptSet, at: Sites, labels: list[Hashable] | None, source: PromptSet | None,
) -> FittedSubspace:  # fmt: skip
    place = single(at, prompts)
    sets: tuple[PromptSet, ...] = (prompts,)
    given: Sequence[Hashable] = labels or ()
    x = exact(capture(model, prompts, at)[place]).cpu()
    if labels is None:
        other = source or prompts.counterfactual
        if other is None:
            raise PromptError("the means of what? Give labels, one for each prompt, or prompts with a counterfactual, or source=...")
        sets, x = (prompts, other), torch.cat([x, exact(capture(model, other, at)[place]).cpu()])
        given = [1] * len(prompts) + [0] * len(other)
    kinds, numbers = classes(given)
    if arbitrary is not None:
        numbers = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(arbitrary))]
    means = torch.stack([x[numbers == kind].mean(0) for kind in range(len(kinds))])
    differences = means[1:] - means[0]
    if float(differences.norm(dim=1).min()) <= 1e-9 * float(x.norm(dim=1).max()):
        raise MechcheckError(f"two classes have the same mean at {place}, so no direction lies between them")
    basis = subspace(differences).basis
    read = x @ basis.T
    nearest = torch.cdist(read, means @ basis.T).argmin(1)
    return fitted(
        place, "difference of means", basis, sets, x, in_sample=float((nearest == numbers).double().mean()),
        again=partial(_difference, prompts=prompts, at=at, labels=labels, source=source),
    )  # fmt: skip


@usual_torch()
def probe(
    model: "TransformerBridge", prompts: PromptSet, site: Sites, labels: Labels, *,
    hold_out: float = 0.3, by_template: bool = False, l2: float = 1e-2, seed: int = 0,
) -> FittedSubspace:  # fmt: skip
    """The direction along which a logistic probe tells two classes apart, by TransformerLens' `fit_sparse_probe` with every component.

    What can be read need not be used: patch or ablate within it. The accuracy that counts is `held_out`.

    Args:
        model, prompts, site: as in `difference_of_means`.
        labels: the class of each prompt, one of two; the direction points to the one that is sorted last.
        hold_out: the share of each class that is kept out of the fit.
        by_template: keep whole templates out, so that none is on both sides.
        l2: the penalty on the weights, of standardised components.
        seed: which prompts are kept out.

    Raises:
        PromptError: labels that are not of two classes, or too few prompts of one. MechcheckError: the fit did not converge.
        SiteError: as in `difference_of_means`.
    """
    return _probe(
        model, None, prompts=prompts, at=site, labels=as_labels(labels, prompts),
        hold_out=hold_out, by_template=by_template, l2=l2, seed=seed,
    )  # fmt: skip


def _probe(
    model: "TransformerBridge", arbitrary: int | None, *,
    prompts: PromptSet, at: Sites, labels: list[Hashable], hold_out: float, by_template: bool, l2: float, seed: int,
) -> FittedSubspace:  # fmt: skip
    from transformer_lens.tools.analysis.sparse_probing import SparseProbeConvergenceError, fit_sparse_probe

    place = single(at, prompts)
    kinds, numbers = classes(labels)
    if len(kinds) > 2:
        raise PromptError(f"a probe tells two classes apart, and there are {len(kinds)}: label one of them against the others")
    if arbitrary is not None:
        numbers = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(arbitrary))]
    x = exact(capture(model, prompts, at)[place]).cpu()
    named = {template: number for number, template in enumerate(sorted(set(prompts.templates)))}
    groups = torch.tensor([named[template] for template in prompts.templates]) if by_template else None
    floor = STILL * float(x.std(0).square().mean().sqrt())
    try:
        found = fit_sparse_probe(
            x, numbers, k=x.shape[1], test_fraction=hold_out, groups=groups, preprocess="standardize", std_floor=floor, l2_strength=l2,
            seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise PromptError(f"no probe can be fitted on these prompts: {error}") from error
    except SparseProbeConvergenceError as error:
        raise MechcheckError(f"the probe did not converge: {error}; raise l2, or give more prompts") from error
    weights = torch.zeros(x.shape[1], dtype=torch.float64)
    weights[found.selected_features] = torch.where(found.constant_features, 0.0, found.coefficients / found.preprocess_scale)
    if not weights.any():
        raise MechcheckError(f"nothing at {place} differs between the prompts, so a probe has nothing to read")
    standard = (x[:, found.selected_features] - found.preprocess_mean) / found.preprocess_scale
    right = ((standard @ found.coefficients + found.intercept > 0) == (numbers == 1)).double()
    larger = max(found.test_positive_count, found.test_negative_count) / len(found.test_indices)
    return fitted(
        place, "probe", subspace(weights[None]).basis, (prompts,), x, in_sample=float(right[found.train_indices].mean()),
        held_out=found.metrics.accuracy, held_out_majority=larger,
        again=partial(_probe, prompts=prompts, at=at, labels=labels, hold_out=hold_out, by_template=by_template, l2=l2, seed=seed),
    )  # fmt: skip


def fitted(
    place: Site, how: str, basis: Float[Tensor, "k d"], sets: Sequence[PromptSet], x: Float[Tensor, "row d"], **rest: Any
) -> FittedSubspace:
    """The result: a subspace that knows its prompts, and whose random likes are drawn as its activations vary."""
    found = replace(subspace(basis, name=how), fitted_on=traces(*sets), among=mixture(x, len(basis)))
    return FittedSubspace(Sites([place]).within(found), how, len(sets[0]), sets[0].sha256, **rest)


def mixture(x: Float[Tensor, "row d"], dim: int) -> Float[Tensor, "k d"] | None:
    """Rows of which Gaussian mixtures vary as the activations do; None where these leave no choice of a subspace."""
    _, spread, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    if int((spread > FLAT * spread[0]).sum()) <= dim:
        return None
    return spread[:, None] * directions / len(x) ** 0.5


def as_labels(labels: Iterable[Hashable] | Tensor, prompts: PromptSet) -> list[Hashable]:
    """One label for each prompt, as plain values."""
    listed = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    if len(listed) != len(prompts):
        raise PromptError(f"{len(listed)} labels for {len(prompts)} prompts; give one for each")
    if not all(isinstance(label, Hashable) for label in listed):
        raise PromptError(f"a label is one plain value, for example True, 3 or 'singular', got {type(listed[0]).__name__}")
    return listed


def classes(labels: Sequence[Hashable]) -> tuple[list[Hashable], Int[Tensor, " prompt"]]:
    """The classes, sorted, and the number of each prompt's."""
    try:
        kinds: list[Any] = sorted(set(labels))
    except TypeError:
        kinds = sorted(set(labels), key=str)
    if len(kinds) < 2:
        raise PromptError(f"all prompts are of one class ({kinds[0] if kinds else 'none'}), so there is nothing to tell apart")
    number = {kind: i for i, kind in enumerate(kinds)}
    return kinds, torch.tensor([number[label] for label in labels])


def check_dim(model: "TransformerBridge", place: Site, dim: int) -> None:
    """Raise `MechcheckError` for a dimension that a subspace of the site cannot have."""
    width = site_width(model, place)
    if not 1 <= dim < width:
        raise MechcheckError(f"dim={dim}: a subspace of {place}, which has {width} components, has from 1 to {width - 1}")
