"""The roles of a circuit as a search finds them: sites that earned them by stated criteria, or the nearest candidates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.prompt_set import PromptSet


@dataclass(frozen=True)
class Role:
    """Sites that fill a role."""

    sites: Sites
    criterion: str
    """What a site has to satisfy, written down before the search."""
    met: bool
    """False: nothing satisfies it, and the sites are the nearest candidates, for claims to refute."""
    measured: str
    """What was measured on the chosen sites."""


@dataclass(frozen=True)
class Absent:
    """A role that nothing fills, and for which there are no candidates that a claim could refute."""

    criterion: str
    """What a site has to satisfy, written down before the search."""
    why: str
    """What was found instead."""


class Found(NamedTuple):
    """What a search for a circuit returns: `find(model)` in a claims folder's discover.py."""

    roles: Mapping[str, Role | Absent]
    """Role -> sites with the reason, or why there are none."""
    prompts: PromptSet
    """What it was found on: the discovery half."""
    facts: Mapping[str, Any] = {}
    """Further numbers that claims need (a layer, say)."""
    options: Mapping[str, Any] = {}
    """Options of the task's generator that the prompts were made with, where they are not the usual ones; claims about the circuit are
    asked with the same."""


def choose_heads(
    scores: Mapping[str, Float[np.ndarray, "layer head"]],
    meets: Bool[np.ndarray, "layer head"],
    *,
    criterion: str,
    by: str,
    candidates: int,
    among: Bool[np.ndarray, "layer head"] | None = None,
    at: str | None = None,
) -> Role:
    """The heads that meet a criterion; where none does, those with the highest score `by` among the allowed ones."""
    chosen = [(int(layer), int(head)) for layer, head in np.argwhere(meets)]
    met = bool(chosen)
    if not chosen:
        allowed = np.isfinite(scores[by]) & (among if among is not None else np.ones_like(meets))
        if not allowed.any():
            raise MechcheckError(f"no head is left to choose from by {by!r} ({criterion})")
        ranked = np.where(allowed, scores[by], -np.inf)
        order = np.argsort(ranked, axis=None)[::-1][: min(candidates, int(allowed.sum()))]
        chosen = [(int(i // ranked.shape[1]), int(i % ranked.shape[1])) for i in order]
    measured = "; ".join(
        f"{layer}.{head}: " + ", ".join(f"{name} {values[layer, head]:.3f}" for name, values in scores.items())
        for layer, head in sorted(chosen)
    )
    return Role(heads(chosen, at=at), criterion, met, measured)
