"""From which checkpoint of a training run an effect is there, and stays: with an interval of checkpoints that holds the true one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mechcheck.base.errors import MechcheckError
from mechcheck.stats.estimates import Confidence, Estimate, Interval, estimate_mean
from mechcheck.stats.measurement import Measurement


@dataclass(frozen=True)
class Onset:
    """The onset of an effect: the first of the measured checkpoints from which the true effect is on one side of a threshold for good.

    Where it began between two checkpoints is not known: it lies after the one before.
    """

    steps: tuple[int, ...]
    """The checkpoints, in order."""
    estimates: tuple[Estimate, ...]
    """The effect at each."""
    threshold: float
    step: int | None
    """The checkpoint from which on all means are on the claimed side; None if that of the last is not."""
    after: int | None
    """The last checkpoint that the onset lies after, with confidence; None if it may lie at the first, or before."""
    by: int | None
    """The first checkpoint from which on the effect is told to be there at each; None if it is not told at the last."""
    level: float
    """With which the true onset lies after `after` and not after `by`."""
    name: str
    unit: str

    @property
    def text(self) -> str:
        """In words."""
        if self.by is None:
            return f"not there by step {self.steps[-1]}" if self.step is None else f"from step {self.step} on, which is not told"
        least = f"after step {self.after}" if self.after is not None else f"at step {self.steps[0]} or before"
        return f"{least}{' and' if self.after is not None else ', and'} by step {self.by}"


def onset(
    effects: Mapping[int, Measurement], *, above: float | None = None, below: float | None = None, confidence: Confidence | None = None
) -> Onset:
    """From which checkpoint on an effect is above, or below, a threshold and stays so.

    The interval is between checkpoints, and asks nothing of the shape of the way there. `by` is the first checkpoint from which on the
    effect is supported at every one: that is too early with a chance of at most alpha, as then the last checkpoint before the true
    onset was supported. The onset is told to lie after a checkpoint where the effect is refuted at one of those that follow it, with
    alpha divided among these (Bonferroni). Prompts may be the same at all checkpoints, as they are best.

    Args:
        effects: step -> one value per prompt of the model at that step.
        above, below: the threshold; one of them.
        confidence: of each end.

    Raises:
        MechcheckError: not one threshold, fewer than two checkpoints, a step that is no whole number, effects in different units,
            fewer than two different prompts.
        NonFiniteError: a value that is not finite.
    """
    if (above is None) == (below is None):
        raise MechcheckError("an onset needs one threshold: above=... or below=...")
    if not isinstance(effects, Mapping) or not all(isinstance(one, Measurement) for one in effects.values()):
        raise MechcheckError("onset takes {step: measurement}, with one value per prompt at each checkpoint")
    if len(effects) < 2:
        raise MechcheckError(f"an onset is told among 2 or more checkpoints, got {len(effects)}")
    if wrong := [step for step in effects if isinstance(step, bool) or not isinstance(step, int | np.integer)]:
        raise MechcheckError(f"a checkpoint is called by its step, a whole number, got {wrong[0]!r}")
    if len(units := {one.unit: None for one in effects.values()}) > 1:
        raise MechcheckError(f"measured in {' and '.join(unit or 'a number' for unit in units)}; one threshold is in one unit")
    sure, effects = confidence or Confidence(), {int(step): one for step, one in effects.items()}
    steps = tuple(sorted(effects))
    found = [estimate_mean(effects[step], sure) for step in steps]
    threshold = float(above if above is not None else below)  # type: ignore[arg-type]
    there, not_there = zip(*(_p_values(one, threshold, up=above is not None) for one in found), strict=True)
    values = [one.estimate.value - threshold if above is not None else threshold - one.estimate.value for one in found]
    first = effects[steps[0]]
    return Onset(
        steps, tuple(one.estimate for one in found), threshold,
        step=_first_of_the_last(steps, [value > 0 for value in values]),
        after=_after(steps, not_there, sure.alpha),
        by=_first_of_the_last(steps, [p <= sure.alpha for p in there]),
        level=sure.level, name=first.name, unit=first.unit,
    )  # fmt: skip


def _p_values(found: Interval, threshold: float, *, up: bool) -> tuple[float, float]:
    """Against its being on the other side, and against its being on the claimed one; 1 where the interval does not hold."""
    if not found.estimate.valid:
        return 1.0, 1.0
    sides = found.p_above(threshold), found.p_below(threshold)
    return sides if up else sides[::-1]


def _first_of_the_last(steps: tuple[int, ...], holds: list[bool]) -> int | None:
    """The first of the checkpoints at the end at all of which it holds."""
    found = None
    for step, held in zip(reversed(steps), reversed(holds), strict=True):
        if not held:
            break
        found = step
    return found


def _after(steps: tuple[int, ...], refuted: tuple[float, ...], alpha: float) -> int | None:
    """The last checkpoint of those, from the first on, at which the onset is told not to lie."""
    found = None
    for place, step in enumerate(steps):
        rest = refuted[place:]
        if min(rest) * len(rest) > alpha:
            break
        found = step
    return found
