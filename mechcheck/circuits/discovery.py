"""Recording what a search for a circuit found: sites that earned a role by stated criteria, or the nearest candidates."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError
from mechcheck.models.loading import provenance
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_KIND_NAMES = {
    "head": "heads",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "mlp_out": "mlps",
    "resid_pre": "resid",
    "resid_post": "resid_post",
    "neuron": "neurons",
    "attn_out": "attn_outs",
}


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


class Found(NamedTuple):
    """What a search for a circuit returns: `find(model)` in a claims folder's discover.py."""

    roles: Mapping[str, Role]
    """Role -> sites with the reason."""
    prompts: PromptSet
    """What it was found on: the discovery half."""
    facts: Mapping[str, Any] = {}
    """Further numbers that claims need (a layer, say)."""


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


def write_circuit(
    path: Path,
    model: "TransformerBridge",
    roles: Mapping[str, Role],
    *,
    method: str,
    prompts: PromptSet,
    split: str,
    found: Mapping[str, Any] | None = None,
) -> None:
    """Write a circuit file: where it comes from, for which weights, each role with its criterion and measurements.

    Args:
        path: claims/<task>/circuits/<model>.toml.
        roles: role -> sites with the reason.
        method: how it was searched for.
        prompts, split: the prompts it was found on; claims use others.
        found: further numbers that claims need (a layer, say).
    """
    source = provenance(model)
    lines = [
        f"source = {_text(method)}",
        f"model = {_text(source.name)}",
        f"weights_sha256 = {_text(source.weights_sha256)}",
        f"processing = {_text(source.processing)}",
        f"date = {datetime.date.today().isoformat()}",
        "",
        "[found_on]",
        f"split = {_text(split)}",
        f"prompts = {len(prompts)}",
        f"prompts_sha256 = {_text(prompts.sha256)}",
    ]
    if found:
        lines += ["", "[found]", *(f"{name} = {json.dumps(value)}" for name, value in found.items())]
    for name, role in roles.items():
        kinds = {site.kind for site in role.sites}
        assert len(kinds) == 1, f"role {name} mixes kinds of sites"
        lines += [
            "",
            f"[roles.{name}]",
            f"{_KIND_NAMES[kinds.pop()]} = {_text(role.sites.places)}",
            f"met = {str(role.met).lower()}",
            f"criterion = {_text(role.criterion)}",
            f"measured = {_text(role.measured)}",
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(value: str) -> str:
    # A JSON string is a TOML basic string, as long as it stays within the basic multilingual plane.
    return json.dumps(value, ensure_ascii=False)
