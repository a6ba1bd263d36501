"""What a claim expects of a gate: an AND, an OR, a chain, or two parts side by side."""

from typing import TYPE_CHECKING

from mechcheck.base.errors import ClaimError
from mechcheck.base.text import did_you_mean
from mechcheck.measures.causal.gates import SIGNS, Gate, GateKind

if TYPE_CHECKING:
    from mechcheck.stats.estimates import Estimate
    from mechcheck.verdicts.designs.comparing import Comparing

_SAYS = {1: "above", -1: "below", 0: "equivalent"}


def check_gate(check: "Comparing", found: Gate, kind: GateKind, margin: float, label: str | None) -> "tuple[Estimate, Estimate]":
    """Add the expectations of `Check.gate`."""
    if not isinstance(found, Gate):
        raise ClaimError(f"check.gate takes what gate(model, prompts, a, b) measured, not {type(found).__name__}")
    if kind not in SIGNS:
        raise ClaimError(f"unknown gate {kind!r}{did_you_mean(kind, SIGNS)}; choose one of {', '.join(SIGNS)}")
    if not 0 < margin < 1:
        raise ClaimError(f"gate(margin={margin}): how far from 0 an interaction lies that is one, as a share of the way, between 0 and 1")
    name = label or f"{found.a} and {found.b} are {kind}"
    told = []
    for how, measured, sign in zip(("noising", "denoising"), (found.noising, found.denoising), SIGNS[kind], strict=True):
        wanted = {1: f"> {margin:g}", -1: f"< {-margin:g}", 0: f"within {margin:g} of 0"}[sign]
        decide = getattr(check, _SAYS[sign])
        told.append(decide(measured, sign * margin if sign else margin, label=f"{name}: interaction by {how} {wanted} of the way"))
    if kind == "additive":  # parts that do nothing add up, too
        check.above(found.most, margin, label=f"{name}: noising both takes > {margin:g} of the way")
    return told[0], told[1]
