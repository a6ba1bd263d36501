"""Caveats of single and joint effects: what several sites do together is not the sum of what each does."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.engine.run import sweep
from mechcheck.evidence.caveats.known import HEIMERSHEIM, MCGRATH, WANG, ZHANG
from mechcheck.notation.interventions import Ablate, Intervention, Patch
from mechcheck.notation.sites import Site, Sites
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.engine.watch import Ran
    from mechcheck.notation.circuit import Circuit
    from mechcheck.notation.metrics import Metric
    from mechcheck.prompts.prompt_set import PromptSet

BACKUP = "backup_"
"""How the role of heads that stand in for those of another one is called, before the name of that one."""
_NOTHING = 0.1
"""Of the joint effect: what it has beyond the sum is told only where it is more."""
_KEPT = 64
"""Variants of a sweep up to which it is taken for runs that a claim compares; a larger one is a map."""
_MOST = 8
"""Parts up to which a joint effect is set beside them one by one."""


class _Way(NamedTuple):
    """What must be the same for effects to be compared."""

    prompts: int
    how: str
    """What was done, and with whose activations."""
    metric: str


@dataclass
class _Effects:
    """Runs of one way."""

    prompts: "PromptSet"
    like: Ablate | Patch
    """One of the interventions."""
    metric: "Metric"
    values: dict[frozenset[Site], Float[np.ndarray, " prompt"]] = field(default_factory=dict)
    """The changed sites -> the metric; no sites for the untouched run."""


@dataclass
class Jointly:
    """What a claim's runs gave that changed some sites in one way."""

    ways: dict[_Way, _Effects] = field(default_factory=dict)
    _untouched: dict[tuple[int, str], Float[np.ndarray, " prompt"]] = field(default_factory=dict)

    def add(self, ran: "Ran") -> None:
        """What one run gave."""
        if len(ran.variants) > _KEPT:
            return
        for place, variant in enumerate(ran.variants):
            for metric, values in zip(ran.metrics, ran.values, strict=True):
                if values.ndim != 2:
                    continue
                if not variant:
                    self._untouched[id(ran.prompts), metric.name] = values[place]
                if len(variant) == 1 and isinstance(one := variant[0], Ablate | Patch):
                    way = _Way(id(ran.prompts), _how(one), metric.name)
                    known = self.ways.setdefault(way, _Effects(ran.prompts, one, metric))
                    known.values[frozenset(one.sites)] = values[place]

    def untouched(self, way: _Way) -> Float[np.ndarray, " prompt"] | None:
        """The metric of the untouched run, where there was one."""
        return self._untouched.get((way.prompts, way.metric))


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


def not_additive(runs: Jointly, samples: Sequence[Measurement], confidence: Confidence) -> Iterator[str]:
    """Sites changed together and one by one in the same claim, which together do something else than the sum, by more than noise.

    A claim that decides on just that difference knows it.
    """
    for way, effects in runs.ways.items():
        untouched = runs.untouched(way)
        if untouched is None:
            continue
        for joint, values in effects.values.items():
            parts = [effects.values.get(frozenset([site])) for site in joint]
            if not 2 <= len(parts) <= _MOST or any(part is None for part in parts):
                continue
            whole = untouched - values
            beyond = whole - sum(untouched - part for part in parts if part is not None)
            if any(_same(sample.values, beyond) for sample in samples):
                continue
            told = _told(whole, beyond, effects, confidence)
            if told is not None:
                low, high = told
                unit = effects.metric.unit
                yield (
                    f"{Sites(joint)} together take {whole.mean():.3g} {unit} from the {way.metric}, and one by one "
                    f"{whole.mean() - beyond.mean():.3g} in sum (difference [{low:.3g}, {high:.3g}]): an effect of several sites is not "
                    f"made up of theirs ({HEIMERSHEIM}; {ZHANG})"
                )
                break


def missed_backup(runs: Jointly, model: "TransformerBridge", circuit: "Circuit", confidence: Confidence) -> Backup | None:
    """What takes over where a claim ablated a part of a role of its circuit alone, by one sweep of four variants; None where nothing does.

    A role whose parts were also ablated together with all that is left of it, and with the roles that stand in for it (`BACKUP`), is
    not looked at, nor is one that was not ablated: then there is nothing to run.
    """
    for effects in runs.ways.values():
        if not isinstance(effects.like, Ablate) or any(site.to is not None for sites in effects.values for site in sites):
            continue
        for role, own in circuit.roles.items():
            whole = own | circuit.roles.get(f"{BACKUP}{role}", Sites())
            alone = [sites for sites in effects.values if sites and sites <= frozenset(own)]
            if not alone or any(sites >= frozenset(whole) for sites in effects.values):
                continue
            largest = Sites(max(alone, key=len))
            found = _missed(effects, model, role, largest, whole - largest, confidence)
            if found is not None:
                return found
    return None


def single_backup(found: Backup | None) -> Iterator[str]:
    """Heads ablated alone while others were left that take over."""
    if found is not None:
        low, high = found.interval
        yield (
            f"{found.alone} of {found.role} ablated while {found.others} were left: together they take {found.joint:.3g} {found.unit}, which "
            f"is {found.beyond:.3g} [{low:.3g}, {high:.3g}] more than each of the two does, so that one stands in for the other and the "
            f"single ablation understates it ({WANG}; {MCGRATH}; told by {found.forwards} further forward passes)"
        )


def _missed(
    effects: _Effects, model: "TransformerBridge", role: str, alone: Sites, others: Sites, confidence: Confidence
) -> Backup | None:
    sets = [alone, others, alone | others]
    variants: list[list[Intervention]] = [[], *([replace(effects.like, sites=sites)] for sites in sets)]
    with suppress(MechcheckError, NonFiniteError):  # what cannot be ablated together here cannot be compared
        untouched, one, other, both = sweep(model, effects.prompts, variants, effects.metric)
        joint, beyond = untouched - both, one + other - both - untouched
        told = _told(joint, beyond, effects, confidence)
        if told is not None and beyond.mean() * joint.mean() > 0:
            return Backup(
                role, alone, others, float(joint.mean()), float(beyond.mean()), told, effects.metric.unit, 4 * len(effects.prompts)
            )
    return None


def _told(
    joint: Float[np.ndarray, " prompt"], beyond: Float[np.ndarray, " prompt"], effects: _Effects, confidence: Confidence
) -> tuple[float, float] | None:
    """The interval of what a joint effect has beyond the sum, where it is told from none and is no trifle."""
    if not (np.isfinite(joint).all() and np.isfinite(beyond).all()) or abs(beyond.mean()) <= _NOTHING * abs(joint.mean()):
        return None
    known = effects.prompts
    e = estimate_mean(Measurement(beyond, known.ids, known.templates, "beyond the sum", effects.metric.unit, size=abs(joint).max()), confidence)
    estimate = e.estimate
    return (estimate.low, estimate.high) if estimate.valid and (estimate.low > 0 or estimate.high < 0) else None


def _how(one: Ablate | Patch) -> str:
    """What must be alike in two interventions but for their sites."""
    if isinstance(one, Ablate):
        return f"{one.method} {id(one.reference)} {one.seed}"
    return f"patch {id(one.source)}"


def _same(values: Float[np.ndarray, " prompt"], beyond: Float[np.ndarray, " prompt"]) -> bool:
    """Whether a claim decides on this difference, whichever its sign."""
    return values.shape == beyond.shape and any(np.allclose(values, sign * beyond, rtol=1e-4, atol=1e-6) for sign in (1, -1))
