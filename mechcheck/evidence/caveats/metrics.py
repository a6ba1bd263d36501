"""Caveats of how effects were read: by what cannot grow with the logits, or by what has nowhere left to go."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.evidence.caveats.known import HEIMERSHEIM, ZHANG

if TYPE_CHECKING:
    from mechcheck.engine.watch import Ran
    from mechcheck.notation.metrics import Metric

_BOUNDED = ("probability", "share of prompts", "share of tokens")
"""Units of what cannot grow with the logits."""
_FULL = 0.01
"""So near to 0 or to 1 a probability, or an accuracy, is saturated."""


class _Accuracy(NamedTuple):
    """Of one run."""

    changed: bool
    """Whether something was changed in it."""
    mean: float


@dataclass
class Readings:
    """How runs were read."""

    changed: dict[str, str] = field(default_factory=dict)
    """Metric -> unit, of runs in which something was changed."""
    full: Counter[str] = field(default_factory=Counter)
    """Probability -> values that are nearly 0 or 1, in any run."""
    all: Counter[str] = field(default_factory=Counter)
    """Probability -> values."""
    signed: set[str] = field(default_factory=set)
    """What is a probability by its unit, and a difference of two by its values, some of which are negative."""
    accuracies: dict[str, list[_Accuracy]] = field(default_factory=lambda: defaultdict(list))
    """What answers yes or no for each prompt -> each run's share of yes."""

    def add(self, ran: "Ran") -> None:
        """What one run gave."""
        import numpy as np

        for metric, values in zip(ran.metrics, ran.values, strict=True):
            if any(ran.variants):
                self.changed[metric.name] = metric.unit
            real = values[~np.isnan(values)]
            if _is_probability(metric):
                self.signed |= {metric.name} if (real < 0).any() else set()
                self.all[metric.name] += real.size
                self.full[metric.name] += int(((real < _FULL) | (real > 1 - _FULL)).sum())
            if metric.unit == "share of prompts" and real.size and np.isin(real, (0, 1)).all():
                runs = zip(ran.variants, values, strict=True)
                self.accuracies[metric.name] += [_Accuracy(bool(variant), float(np.nanmean(row))) for variant, row in runs]


def bounded_metric(readings: Readings) -> Iterator[str]:
    """Effects read as probabilities or accuracies, and as nothing else."""
    if readings.changed and all(unit in _BOUNDED for unit in readings.changed.values()):
        yield (
            f"the effect is read as {', '.join(sorted(readings.changed))} alone, which is not linear in the logits and can miss what "
            f"works against the answer: let a logit difference or a log probability stand beside it ({ZHANG}; {HEIMERSHEIM})"
        )


def saturated_metric(readings: Readings) -> Iterator[str]:
    """Probabilities that are nearly 0 or 1; accuracies that are so in every run."""
    for name in sorted(readings.changed.keys() & (readings.all.keys() - readings.signed)):
        share = readings.full[name] / max(1, readings.all[name])
        if share > 0.5:
            yield (
                f"{name} is below {_FULL:g} or above {1 - _FULL:g} in {share:.0%} of its values, where a change hardly shows: a logit "
                f"difference does not saturate ({HEIMERSHEIM})"
            )
    for name in sorted(readings.changed.keys() & readings.accuracies.keys()):
        for end in (0, 1):
            runs = readings.accuracies[name]
            if all(abs(run.mean - end) < _FULL for run in runs):
                untouched = "with a change as without" if any(not run.changed for run in runs) else "whatever was changed"
                yield (
                    f"{name} is {end} {untouched}: how far a change goes does not show there, and a logit difference has no such end "
                    f"({HEIMERSHEIM})"
                )


def _is_probability(metric: "Metric") -> bool:
    """A probability itself, and no difference of two."""
    return metric.unit == "probability" and not metric.needs_clean
