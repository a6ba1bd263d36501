"""Interventions: plain data that says what is changed where; the engine knows how."""

from dataclasses import dataclass
from typing import Literal

from mechcheck._errors import MechcheckError
from mechcheck._prompts import PromptSet
from mechcheck._sites import Sites

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
        if self.method not in ("zero", "mean", "resample"):
            raise MechcheckError(f'unknown ablation {self.method!r}; choose "zero", "mean" or "resample"')
        _check_some(self.sites)


@dataclass(frozen=True, eq=False)
class Patch:
    """Put the sites' activations from the run on `source` into this run, prompt by prompt (interchange intervention)."""

    sites: Sites
    source: PromptSet | None = None
    """Aligned prompts; the prompts' own `counterfactual` by default."""

    def __post_init__(self) -> None:
        _check_some(self.sites)


Intervention = Ablate | Patch


def _check_some(sites: Sites) -> None:
    if not isinstance(sites, Sites):
        raise MechcheckError(f"expected Sites, for example heads('9.6'), got {type(sites).__name__}")
    if not len(sites):
        raise MechcheckError("no sites: this intervention would change nothing")
