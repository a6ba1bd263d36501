"""Caveat of effects that are added up: what several sites do together is not the sum of what each does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.engine.run import sweep
from mechcheck.evidence.caveats.known import HEIMERSHEIM, ZHANG
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import Site, Sites
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.engine.watch import Ran
    from mechcheck.notation.circuit import Circuit
    from mechcheck.notation.metrics import Metric
    from mechcheck.prompts.prompt_set import PromptSet

PerPrompt = Float[np.ndarray, " prompt"]


class Subject(NamedTuple):
    """What a claim is measured on, in one model."""

    model: "TransformerBridge | None" = None
    circuit: "Circuit | None" = None
    """None where it has none, or asked for no part of it."""
    roles: Mapping[str, Sites] = MappingProxyType({})
    """Of the circuit: those that it asked for, and those that stand in for them."""


SubjectOf = Callable[["TransformerBridge | None"], Subject]
_NOTHING = 0.1
"""Of the joint effect: what it has beyond the sum is told only where it is more."""
_KEPT = 256
"""Variants of a sweep up to which its values are kept; the effects of a larger one are not looked at."""


class Way(NamedTuple):
    """What must be the same for effects to be compared."""

    model: int
    prompts: int
    how: str
    """What was done, and with whose activations."""
    metric: str


@dataclass
class Effects:
    """Runs of one way."""

    model: "TransformerBridge | None"
    """In which it was; None where nobody says."""
    prompts: "PromptSet"
    like: Ablate | Patch
    """One of the interventions."""
    metric: "Metric"
    values: dict[frozenset[Site], PerPrompt] = field(default_factory=dict)
    """The changed sites -> the metric; no sites for the untouched run."""


@dataclass
class Jointly:
    """What a claim's runs gave that changed some sites in one way."""

    ways: dict[Way, Effects] = field(default_factory=dict)
    _untouched: dict[tuple[int, int, str], PerPrompt] = field(default_factory=dict)

    def add(self, ran: "Ran") -> None:
        """What one run gave."""
        if len(ran.variants) > _KEPT:
            return
        for place, variant in enumerate(ran.variants):
            for metric, values in zip(ran.metrics, ran.values, strict=True):
                if values.ndim != 2:
                    continue
                if not variant:
                    self._untouched[id(ran.model), id(ran.prompts), metric.name] = values[place]
                if len(variant) == 1 and isinstance(one := variant[0], Ablate | Patch):
                    way = Way(id(ran.model), id(ran.prompts), _how(one), metric.name)
                    known = self.ways.setdefault(way, Effects(ran.model, ran.prompts, one, metric))
                    known.values[frozenset(one.sites)] = values[place]

    def untouched(self, way: Way) -> PerPrompt | None:
        """The metric of the untouched run, where there was one."""
        return self._untouched.get((way.model, way.prompts, way.metric))


class Summed(NamedTuple):
    """A sum of single effects that a claim decided on, and what the sites do together."""

    sites: Sites
    joint: float
    sum: float
    beyond: tuple[float, float]
    """The interval of joint - sum."""
    metric: str
    unit: str
    forwards: int
    """Forward passes of one prompt that it took to tell; none where the claim ran both."""


def summed_up(runs: Jointly, subject_of: "SubjectOf", samples: Sequence[Measurement], confidence: Confidence) -> Summed | None:
    """The first sum of single effects, among what a claim decides on, that is not what the sites do together, by more than noise.

    The joint effect is the claim's own, where it ran it, else one variant more. Looked for are sums over all sites that were changed
    alone, over those of a role, and over those that were changed together, too.

    Args:
        runs: the claim's.
        subject_of: says of a model that was run what the claim has for it: its circuit's roles, and itself, to run the sites together
            on; without it there are the claim's own runs.
        samples: what it decides on, with their denominators.
        confidence: with which it does.
    """
    stated = [values for sample in samples for values in (sample.values, sample.denominator) if values is not None]
    for way, effects in runs.ways.items():
        untouched = runs.untouched(way)
        if untouched is None:
            continue
        alone = {site: untouched - values for sites, values in effects.values.items() if len(sites) == 1 for site in sites}
        model, _, roles = subject_of(effects.model)
        sums = [frozenset(alone), *map(frozenset, roles.values()), *effects.values]
        for sites in dict.fromkeys(sites for sites in sums if len(sites) >= 2 and sites <= alone.keys()):
            total = np.sum([alone[site] for site in sites], axis=0)
            if not any(same(values, total) for values in stated):
                continue
            values = effects.values.get(sites)
            forwards = 0 if values is not None else len(effects.prompts)
            if values is None and model is not None:
                with suppress(MechcheckError, NonFiniteError):  # what cannot be changed together here cannot be compared
                    (values,) = sweep(
                        model, effects.prompts, [[replace(effects.like, sites=Sites(sorted(sites, key=str)))]], effects.metric
                    )
            if values is None:
                continue
            joint = untouched - values
            found = told(joint, joint - total, effects, confidence)
            if found is not None:
                chosen = Sites(sorted(sites, key=str))
                return Summed(chosen, float(joint.mean()), float(total.mean()), found, way.metric, effects.metric.unit, forwards)
    return None


def not_additive(found: Summed | None) -> Iterator[str]:
    """A sum of single effects that is not the effect of all."""
    if found is not None:
        low, high = found.beyond
        extra = f"; told by {found.forwards} further forward passes" if found.forwards else ""
        yield (
            f"single effects of {found.sites} on the {found.metric} are added up to {found.sum:.3g} {found.unit}, and changed together "
            f"they come to {found.joint:.3g} (difference [{low:.3g}, {high:.3g}]): effects of several sites are not made up of theirs "
            f"({HEIMERSHEIM}; {ZHANG}{extra})"
        )


def told(joint: PerPrompt, beyond: PerPrompt, effects: Effects, confidence: Confidence) -> tuple[float, float] | None:
    """The interval of what a joint effect has beyond the sum, where it is told from none and is no trifle."""
    if not (np.isfinite(joint).all() and np.isfinite(beyond).all()) or abs(beyond.mean()) <= _NOTHING * abs(joint.mean()):
        return None
    known = effects.prompts
    e = estimate_mean(
        Measurement(beyond, known.ids, known.templates, "beyond the sum", effects.metric.unit, size=abs(joint).max()), confidence
    )
    estimate = e.estimate
    return (estimate.low, estimate.high) if estimate.valid and (estimate.low > 0 or estimate.high < 0) else None


def same(values: PerPrompt, total: PerPrompt) -> bool:
    """Whether a claim decides on this sum, whichever its sign."""
    return values.shape == total.shape and any(np.allclose(values, sign * total, rtol=1e-4, atol=1e-6) for sign in (1, -1))


def _how(one: Ablate | Patch) -> str:
    """What must be alike in two interventions but for their sites."""
    if isinstance(one, Ablate):
        return f"{one.method} {id(one.reference)} {one.seed}"
    return f"patch {id(one.source)}"
