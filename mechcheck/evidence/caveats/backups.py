"""Caveat of single ablations: of what others stand in for, they show less than there is."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.engine.run import sweep
from mechcheck.evidence.caveats.jointly import Effects, Jointly, SubjectOf, told
from mechcheck.evidence.caveats.known import MCGRATH, WANG
from mechcheck.notation.interventions import Ablate, Intervention
from mechcheck.notation.sites import Sites
from mechcheck.stats.estimates import Confidence

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

BACKUP = "backup_"
"""How the role of heads that stand in for those of another one is called, before the name of that one."""


class Backup(NamedTuple):
    """What single ablations were measured to miss."""

    role: str
    alone: Sites
    """What the claim ablated of it."""
    others: Sites
    """What it left: the rest of the role, and those that stand in for it."""
    joint: float
    beyond: float
    """Of the joint effect, what is more than the sum."""
    interval: tuple[float, float]
    unit: str
    forwards: int
    """Forward passes of one prompt that it took to tell."""


def missed_backup(runs: Jointly, subject_of: SubjectOf, confidence: Confidence) -> Backup | None:
    """What takes over where a claim ablated a part of a role alone, by one sweep of four variants; None where nothing does.

    A role whose parts were also ablated together with all that is left of it, and with the roles that stand in for it (`BACKUP`), is
    not looked at, nor is one that was not ablated: then there is nothing to run. Each model is looked at by the circuit that the claim
    has for it.
    """
    for effects in runs.ways.values():
        model, _, roles = subject_of(effects.model)
        if model is None:
            continue
        if not isinstance(effects.like, Ablate) or any(site.to is not None for sites in effects.values for site in sites):
            continue
        for role, own in roles.items():
            whole = own | roles.get(f"{BACKUP}{role}", Sites())
            alone = [sites for sites in effects.values if sites and sites <= frozenset(own)]
            if not alone or any(sites >= frozenset(whole) for sites in effects.values):
                continue
            longest = max(alone, key=len)
            largest = Sites(sorted(longest, key=str))
            found = _missed(effects, model, role, largest, whole - largest, confidence)
            if found is not None:
                return found
    return None


def single_backup(found: Backup | None) -> Iterator[str]:
    """Heads ablated alone while others were left that take over."""
    if found is not None:
        low, high = found.interval
        yield (
            f"{found.alone} of {found.role} ablated while {found.others} were left: together they take {found.joint:.3g} "
            f"{found.unit}, which is {found.beyond:.3g} [{low:.3g}, {high:.3g}] more than what each of the two takes comes to, so that one "
            f"stands in for the other, and the single ablation understates it ({WANG}; {MCGRATH}; told by {found.forwards} further forward "
            "passes)"
        )


def _missed(effects: Effects, model: "TransformerBridge", role: str, alone: Sites, others: Sites, confidence: Confidence) -> Backup | None:
    sets = [alone, others, alone | others]
    changed: list[Intervention] = [replace(effects.like, sites=sites) for sites in sets]
    with suppress(MechcheckError, NonFiniteError):  # what cannot be ablated together here cannot be compared
        untouched, one, other, both = sweep(model, effects.prompts, [[], *changed], effects.metric)
        joint, beyond = untouched - both, one + other - both - untouched
        found = told(joint, beyond, effects, confidence)
        if found is not None and beyond.mean() * joint.mean() > 0:
            return Backup(
                role, alone, others, float(joint.mean()), float(beyond.mean()), found, effects.metric.unit, 4 * len(effects.prompts)
            )
    return None
