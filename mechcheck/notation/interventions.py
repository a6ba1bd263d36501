"""Interventions: plain data that says what is changed where; the engine knows how."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

AblationMethod = Literal["zero", "mean", "resample"]


@dataclass(frozen=True, eq=False)
class Ablate:
    """Replace the sites' activations by something that carries no information about the prompt.

    - "zero": zeros.
    - "mean": the mean over `reference`: at a named position over all its prompts, at every position by template and
      position (Wang et al. 2022).
    - "resample": the activation of the aligned prompt of `reference` (Chan et al. 2022); without a reference, that of
      another prompt of the same template, chosen by `seed`.
    """

    sites: Sites
    method: AblationMethod = "zero"
    reference: PromptSet | None = None
    """Where mean and resample draw from; the prompts' own `reference` (ABC for IOI) by default, else the prompts."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in ("zero", "mean", "resample"):
            raise MechcheckError(f'unknown ablation {self.method!r:.60}; choose "zero", "mean" or "resample"')
        _check_some(self.sites)
        _check_prompts(self.reference, "reference")
        _check_seed(self.seed)


@dataclass(frozen=True, eq=False)
class Patch:
    """Put the sites' activations from the run on `source` into this run, prompt by prompt (interchange intervention)."""

    sites: Sites
    source: PromptSet | None = None
    """Aligned prompts; the prompts' own `counterfactual` by default."""

    def __post_init__(self) -> None:
        _check_some(self.sites)
        _check_prompts(self.source, "source")


@dataclass(frozen=True, eq=False)
class Put:
    """Put given activations at sites, for example another model's, carried over by a linear map."""

    values: Mapping[Site, Float[Tensor, "prompt ... d"]]
    """Site -> [prompt, d] at a named position, [prompt, pos, d] at every position."""

    def __post_init__(self) -> None:
        given = isinstance(self.values, Mapping) and all(isinstance(at, Site) and isinstance(x, Tensor) for at, x in self.values.items())
        if not given:
            raise MechcheckError(f"Put takes a mapping, site -> tensor, got {type(self.values).__name__}")
        _check_some(self.sites)

    @property
    def sites(self) -> Sites:
        """Where the activations go."""
        return Sites(self.values)


@dataclass(frozen=True, eq=False)
class Steer:
    """Add `scale * vector` to the sites' activations (Turner et al. 2023, Rimsky et al. 2024)."""

    vector: Float[Tensor, "*prompt d"]
    """One for all prompts, [d], or one for each, [prompt, d]; d is d_model for the stream, d_head for a head."""
    sites: Sites
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_some(self.sites)
        try:
            vector = torch.as_tensor(self.vector)
            finite = bool(torch.isfinite(vector).all())
        except (TypeError, ValueError, RuntimeError):
            raise MechcheckError(f"a steering vector is one row of floats, or one row for each prompt, not {self.vector!r:.60}") from None
        if vector.ndim not in (1, 2) or not vector.is_floating_point():
            raise MechcheckError(
                f"a steering vector is one row of floats, or one row for each prompt, got {vector.dtype} of shape {tuple(vector.shape)}"
            )
        scale = _number(self, "scale")
        if scale is None or not finite:
            raise MechcheckError("the steering vector or its scale is not finite")
        object.__setattr__(self, "vector", vector)


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply the sites' activations by a factor: 0 is zero ablation, 1 changes nothing, 2 doubles what they say."""

    sites: Sites
    factor: float

    def __post_init__(self) -> None:
        _check_some(self.sites)
        if _number(self, "factor") is None:
            raise MechcheckError(f"Scale needs a finite factor, got {self.factor!r:.60}")


@dataclass(frozen=True, eq=False)
class Sparsify:
    """Set the components of the sites' activations that are smaller than `threshold` in size to zero."""

    sites: Sites
    threshold: float

    def __post_init__(self) -> None:
        _check_some(self.sites)
        threshold = _number(self, "threshold")
        if threshold is None or threshold < 0:
            raise MechcheckError(f"Sparsify needs a threshold of 0 or more, in the activation's own units, got {self.threshold!r:.60}")


@dataclass(frozen=True, eq=False)
class Permute:
    """Exchange the sites' activations between the prompt's positions, in an order drawn by `seed`; padding stays where it is."""

    sites: Sites
    seed: int = 0

    def __post_init__(self) -> None:
        _check_some(self.sites)
        _check_seed(self.seed)
        placed = [site for site in self.sites if site.at is not None]
        if placed:
            raise MechcheckError(f"Permute exchanges positions, so {placed[0]} cannot name one; write the site without @{placed[0].at}")


@dataclass(frozen=True, eq=False)
class KnockOut:
    """Keep queries from attending to keys, or to anything but them (attention knockout, Geva et al. 2023, arXiv:2304.14767).

    What is left of the attention is shared out among the other keys, as if the scores had been minus infinity before the softmax; a
    query that is left with no key at all attends to nothing.
    """

    sites: Sites
    """Of heads' patterns, `patterns("9.6@END")`; the positions that they name are the queries."""
    keys: str
    """A named position, or a span."""
    only: bool = False
    """Knock out everything but these keys."""

    def __post_init__(self) -> None:
        _check_some(self.sites)
        if not isinstance(self.keys, str):
            raise MechcheckError(f"KnockOut names the keys by a position or a span, as text, not {self.keys!r:.60}")
        others = [site for site in self.sites if site.kind != "pattern"]
        if others:
            raise MechcheckError(f"KnockOut cuts attention, and {others[0].named} is none: write patterns({others[0].place!r})")


@dataclass(frozen=True, eq=False)
class Noise:
    """Add Gaussian noise to the sites' activations (Meng et al. 2022, arXiv:2202.05262, who corrupt a subject's embeddings by 3.0).

    Its standard deviation is `scale` times that of the activations' own components, over the prompts that are run and the positions
    that the sites name. A prompt's noise depends on its id, the site and `seed` alone. Noise takes a model off its usual inputs, which
    can mislead (Zhang and Nanda 2024, arXiv:2309.16042): where there is a counterfactual that exchanges tokens, that is the better
    corruption.
    """

    sites: Sites
    scale: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_some(self.sites)
        _check_seed(self.seed)
        scale = _number(self, "scale")
        if scale is None or scale < 0:
            raise MechcheckError(f"Noise needs a scale of 0 or more, in standard deviations of the activations, got {self.scale!r:.60}")


Intervention = Ablate | Patch | Put | Steer | Scale | Sparsify | Permute | KnockOut | Noise
UNTOUCHED = "untouched"


def kinds_text(interventions: Iterable[Intervention]) -> str:
    """By what a reader tells a run from one of the untouched model: "mean ablation", "Patch and Steer"."""
    kinds = (f"{one.method} ablation" if isinstance(one, Ablate) else type(one).__name__ for one in interventions)
    return " and ".join(dict.fromkeys(kinds)) or UNTOUCHED


def _check_some(sites: Sites) -> None:
    if not isinstance(sites, Sites):
        raise MechcheckError(f"expected Sites, for example heads('9.6'), got {type(sites).__name__}")
    if not len(sites):
        raise MechcheckError("no sites: this intervention would change nothing")


def _check_prompts(given: object, name: str) -> None:
    if given is not None and not isinstance(given, PromptSet):
        raise MechcheckError(f"{name} is a PromptSet, got {type(given).__name__}")


def _check_seed(given: object) -> None:
    if not isinstance(given, int):
        raise MechcheckError(f"a seed is a whole number, not {given!r:.60}")


def _number(intervention: object, name: str) -> float | None:
    """One finite number, which numpy's and torch's become; None for anything else."""
    given = getattr(intervention, name)
    if isinstance(given, bool) or (
        not isinstance(given, int | float) and not (getattr(given, "ndim", None) == 0 and hasattr(given, "item"))
    ):
        return None
    try:
        found = float(given)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    if not isinstance(given, float) and not (isinstance(given, int) and abs(given) < 2**53):  # torch takes no larger whole numbers
        object.__setattr__(intervention, name, found)
    return found if math.isfinite(found) else None
