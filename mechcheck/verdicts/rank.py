"""Whether sites matter more than random ones: their effect's rank among controls, and the paired difference from a strong one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.measures.subspaces.pairs import check_ids_unseen
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.controls import random_sites
from mechcheck.verdicts.verdict import Control, Decision, Region, decide, p_values

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.sites import Sites

REGION: Region = (0.0, math.inf)
"""What is claimed of the difference from the rival."""


@dataclass(frozen=True)
class Contest:
    """The claim's sites among random ones."""

    difference: Measurement
    """Of the effect from the rival's, prompt by prompt."""
    estimate: Estimate
    verdict: Decision
    p: float | None
    """Against the sites' being like the random ones: the larger of the rank's and the difference's."""
    p_refuted: float | None
    control: Control


class Among(NamedTuple):
    """What a claim's measurement is set beside."""

    kind: str
    """What the controls are: "random sites like 0.60"."""
    controls: Sequence[Measurement]
    labels: tuple[str, ...]
    noun: str
    """Several of them: "other sets of sites"."""


def controls_needed(confidence: Confidence) -> int:
    """How many controls a rank must lead for its p-value, (1 + those at least as large) / (1 + all), to be small enough."""
    return math.ceil(round(1 / confidence.overall, 9)) - 1


def rank_p(control: Control) -> float:
    """Against the claim's sites being like its controls: of all of them, the share whose effect is at least as large as theirs."""
    effect = -math.inf if control.effect is None else control.effect
    return (1 + sum(value >= effect for value in control.values)) / (1 + len(control.values))


def contest(
    effect: "Callable[[Sites], Measurement]", sites: "Sites", model: "TransformerBridge", *,
    outside: "Sites", n: int | None, quantile: float, seed: int, confidence: Confidence, label: str | None = None,
) -> Contest:  # fmt: skip
    """Measure sites and random ones like them, and decide whether theirs is the larger effect.

    Args:
        effect: of a set of sites, one value per prompt; all at once where it has `each`.
        sites: the claim's.
        model: what other sites are drawn from.
        outside: what they must avoid.
        n: controls, as far as there are so many; twice as many as the rank needs where None.
        quantile: which control the paired difference is from, in the order of their means.
        seed: of the draw.
        confidence: of each side.
        label: what the report calls the difference.

    Raises:
        ClaimError: a quantile or a number that is none.
        NoControlError: no other sites are left.
        NonFiniteError: an effect that is not finite.
        PromptError: a subspace was fitted on some of the prompts that the effect is measured on.
    """
    check_contest("beats_random", quantile, n)
    sets = random_sites(model, sites, outside=outside, n=2 * controls_needed(confidence) if n is None else n, seed=seed)
    each = getattr(effect, "each", lambda many: [effect(some) for some in many])
    measured, *controls = each([sites, *sets])
    check_ids_unseen(sites, measured.ids)
    name = measured.name or "effect"
    among = Among(f"random sites like {sites}", controls, tuple(map(str, sets)), "other sets of sites")
    return decide_contest(measured, among, label or f"{name} of {sites} beats random sites", quantile, confidence)


def check_contest(method: str, quantile: float, n: int | None) -> None:
    """Refuse a quantile or a number of controls that is none.

    Raises:
        ClaimError: it is none.
    """
    if not 0 <= quantile <= 1:
        raise ClaimError(f"{method}(quantile={quantile}): which of the controls to beat, from 0 (the weakest) to 1 (the strongest)")
    if n is not None and n < 1:
        raise ClaimError(f"{method}(n={n}): at least one control is needed")


def decide_contest(measured: Measurement, among: Among, label: str, quantile: float, confidence: Confidence) -> Contest:
    """Decide whether the claim's measurement leads its controls', by its rank and by the paired difference from a strong one.

    Args:
        measured: the claim's.
        among: its controls.
        label: what the report calls the difference.
        quantile: which control the paired difference is from, in the order of their means.
        confidence: of each side.

    Raises:
        NonFiniteError: a control that is not finite.
    """
    controls, needed = among.controls, controls_needed(confidence)
    means = [control.mean for control in controls]
    if not np.isfinite(means).all():
        which = among.labels[int(np.argmin(np.isfinite(means)))]
        raise NonFiniteError(f"{measured.name or 'effect'} is not finite for {among.kind.partition(' like ')[0]} ({which})")
    rival = int(np.argsort(means)[math.ceil(quantile * (len(means) - 1))])
    difference = (_of(measured, "the claim's own") - _of(controls[rival], f"control: {among.labels[rival]}")).named(label, measured.unit)
    interval = estimate_mean(difference, confidence)
    paired, p_refuted = p_values(interval, REGION, confidence)
    control = Control(among.kind, tuple(means), among.labels, measured.mean)
    rank = rank_p(control)
    estimate, verdict = interval.estimate, decide(interval.estimate, REGION)
    if verdict == "supported" and rank > confidence.overall:
        verdict = "inconclusive"
    if len(means) < needed:
        few = f"only {len(means)} {among.noun}, with which the rank's p-value is at best {1 / (1 + len(means)):.3f}; it takes {needed}"
        estimate = replace(estimate, caveat="; ".join(filter(None, [estimate.caveat, few])))
    return Contest(difference, estimate, verdict, rank if paired is None else max(rank, paired), p_refuted, control)


def _of(measured: Measurement, whose: str) -> Measurement:
    """The same, and whose it is: the effects of the claim and of its rival are else called the same."""
    return replace(measured, under=", ".join(filter(None, [measured.under, whose])))
