"""What a claim expects of a gate: an AND, an OR, a chain, or two parts side by side."""

from typing import Literal, NamedTuple

from mechcheck.base.errors import ClaimError
from mechcheck.base.text import did_you_mean
from mechcheck.measures.causal.gates import SIGNS, Gate, GateKind
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.collected import number_of


class Wanted(NamedTuple):
    """One thing that makes a gate what it is called."""

    comparison: Literal["above", "below", "equivalent"]
    """The method of `check` that decides it."""
    measured: Measurement
    threshold: float
    label: str


def wanted_of(found: Gate, kind: GateKind, margin: float, label: str | None) -> list[Wanted]:
    """What is expected by noising and by denoising, and, of parts that add up, that they do something.

    Raises:
        ClaimError: as `Check.gate` says.
    """
    if not isinstance(found, Gate):
        raise ClaimError(f"check.gate takes what gate(model, prompts, a, b) measured, not {type(found).__name__}")
    if not isinstance(kind, str) or kind not in SIGNS:
        raise ClaimError(f"unknown gate {kind!r:.60}{did_you_mean(str(kind), SIGNS)}; choose one of {', '.join(SIGNS)}")
    if not 0 < number_of("gate(margin=...)", margin) < 1:
        raise ClaimError(f"gate(margin={margin}): how far from 0 an interaction lies that is one, as a share of the way, between 0 and 1")
    name = label or f"{found.a} and {found.b} are {kind}"
    wanted = []
    for how, measured, sign in zip(("noising", "denoising"), (found.noising, found.denoising), SIGNS[kind], strict=True):
        said = f"{name}: interaction by {how}"
        if sign == 0:
            wanted.append(Wanted("equivalent", measured, margin, f"{said} within {margin:g} of 0, of the way"))
        elif sign > 0:
            wanted.append(Wanted("above", measured, margin, f"{said} > {margin:g} of the way"))
        else:
            wanted.append(Wanted("below", measured, -margin, f"{said} < {-margin:g} of the way"))
    if kind == "additive":  # parts that do nothing add up, too
        wanted.append(Wanted("above", found.most, margin, f"{name}: noising both takes > {margin:g} of the way"))
    return wanted
