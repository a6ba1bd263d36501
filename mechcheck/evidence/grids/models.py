"""Which models a claim's one answer is about."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def models_of(claim: Mapping[str, Any]) -> list[str]:
    """The models of its grid, where that has an axis of them, else the one that it was run on; none of a claim about no model."""
    return axis_of_models(claim) or ([claim["model"]["name"]] if claim["model"] else [])


def axis_of_models(claim: Mapping[str, Any]) -> list[str]:
    """The models of its grid; none where that has no axis of them, or where there is no grid."""
    return [*claim.get("grid", {}).get("axes", {}).get("models", ())]


def all_models(claim: Mapping[str, Any]) -> list[Json]:
    """Every model that its body ran, as the evidence has them: its own first."""
    return [*([claim["model"]] if claim["model"] else []), *claim.get("models", ())]
