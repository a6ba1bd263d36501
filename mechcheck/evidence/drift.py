"""Drift: whether what a claim measured has changed between two runs, told from noise by pairing the prompts."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.multiplicity import adjust

Change = Literal["same", "drifted", "unsure"]

MARGIN = 0.05
"""A change is negligible below this fraction of the effect; see `margin_of`."""

MIN_COMMON = 0.5
"""Runs are compared on the prompts they share when these are at least this fraction of the smaller run's."""


@dataclass(frozen=True)
class Difference:
    """What changed between two measurements of the same prompts."""

    before: float
    """The first run's effect, over the prompts in common."""
    after: float
    estimate: Estimate
    """Of after - before, paired by prompt, with templates as the units."""
    p: float | None
    """Two-sided, against "nothing changed"; None where every unit changed by the same amount."""
    identical: bool
    """Every prompt has the same value, bit for bit."""


def difference(before: Measurement, after: Measurement, *, rate: bool = False, confidence: float = Confidence.side) -> Difference:
    """The change of the mean (or ratio of means) over the prompts that both runs have, paired by prompt id.

    What prompts and templates have in common cancels in the pairs; what is left is clustered by template: a t interval over the
    templates' sums of differences (of linearised differences for a ratio). Two runs in which nothing changed are
    exchangeable, so their differences are symmetric and a t interval needs no correction for skewness.

    A rate (values 0 and 1) gets one pair more that changed in each direction (Bonett and Price 2012,
    J. Educ. Behav. Stat. 37:479), without which an interval from a handful of changed prompts is too narrow.

    Raises:
        MechcheckError: too few prompts in common, or a mean in one run and a ratio in the other.
        NonFiniteError: a ratio's denominator sums to zero over the prompts in common.
    """
    if (before.denominator is None) != (after.denominator is None):
        raise MechcheckError("one run measured a mean and the other a ratio of means")
    first, second = _pair(before, after)
    if not np.isfinite([first.mean, second.mean]).all():
        raise NonFiniteError("the denominator sums to zero over the prompts in common")
    if np.array_equal(first.values, second.values) and np.array_equal(_below(first), _below(second)):
        level = Confidence(confidence).level
        nothing = Estimate(0.0, 0.0, 0.0, level, len(second), _clusters(second), "every prompt has the same value in both runs")
        return Difference(first.mean, second.mean, nothing, None, identical=True)
    change = second.mean - first.mean
    influence = second.linearised().values - first.linearised().values
    paired = replace(second, values=influence, denominator=None, name="the difference", scale="real")
    found = estimate_mean(_with_a_pair_each_way(paired) if rate else paired, Confidence(confidence), symmetric=True)
    more = ", one pair added each way" if rate else ""
    estimate = replace(
        found.estimate,
        value=change,
        n=len(second),
        clusters=_clusters(second),
        method=f"paired by prompt, {found.estimate.method}{more}",
    )
    p = min(1.0, max(2 * min(found.p_above(0.0), found.p_below(0.0)), float(np.finfo(float).eps)))  # each is known to rounding only
    return Difference(first.mean, second.mean, estimate, p, identical=False)


def difference_of_searches(before: Estimate, after: Estimate) -> Difference:
    """The change between two searches for a counterexample: whether one was found. They draw no sample, so nothing is estimated."""
    change = after.value - before.value
    method = "what two searches found" if change else "both searches found one" if not after.value else "neither search found one"
    told = Estimate(change, change, change, after.level, after.n, after.clusters, method)
    return Difference(before.value, after.value, told, None, identical=not change)


def margin_of(effect: float | None, threshold: float | Sequence[float], fraction: float = MARGIN) -> float:
    """How much of a change is negligible: a fraction of the baseline's effect, or of its distance to the threshold if that is larger.

    A change is small beside what was found, so the effect is the yardstick. A claim of no effect has none; there it is the
    distance to the threshold, which a negligible change must leave nearly whole. The larger of the two may be a claim's
    that lies close to its threshold: that a small change carries it across is told by its verdict, which is compared too.
    The sample's spread is no yardstick: a noisy claim would be called the same for being noisy. An effect that is not defined
    (None) has no negligible change.
    """
    if effect is None:
        return 0.0
    distance = min(abs(effect - t) for t in ([threshold] if isinstance(threshold, int | float) else threshold))
    return fraction * max(abs(effect), distance)


def judge(found: Difference, margin: float, p_adjusted: float | None) -> Change:
    """same: the whole interval lies within the margin (two one-sided tests, Schuirmann 1987), or nothing changed at all.

    drifted: the change is significant after adjustment and larger than the margin. unsure: neither was shown.
    """
    e = found.estimate
    if found.identical or (-margin < e.low and e.high < margin):
        return "same"
    significant = p_adjusted is None or p_adjusted <= 1 - e.level
    return "drifted" if significant and abs(e.value) > margin else "unsure"


def combine_changes(changes: Iterable[Change]) -> Change:
    """A claim has drifted when one of its expectations has, and is the same when all are."""
    found = set(changes)
    if "drifted" in found:
        return "drifted"
    return "same" if found == {"same"} else "unsure"


def adjust_by_claim(p_values: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """p-values of each claim's expectations, adjusted so that the false discovery rate is controlled over claims.

    Within a claim the p-values are multiplied by their number (Bonferroni); the smallest is the claim's, and these are adjusted
    by Benjamini and Hochberg (1995). A claim's other expectations are raised by the factor by which its smallest was
    (the selection of families of Benjamini and Bogomolov 2014). None, where there was nothing to test, stays None.
    """
    tested = [[p for p in claim if p is not None] for claim in p_values]
    smallest = {i: min(1.0, len(ps) * min(ps)) for i, ps in enumerate(tested) if ps}
    raised = {i: adjusted / smallest[i] for i, adjusted in zip(smallest, adjust(list(smallest.values())), strict=True)}
    return [[None if p is None else min(1.0, min(1.0, len(tested[i]) * p) * raised[i]) for p in claim] for i, claim in enumerate(p_values)]


def _pair(before: Measurement, after: Measurement) -> tuple[Measurement, Measurement]:
    """Both measurements on the prompts they share, in the order and with the templates of the second."""
    known = {key: row for row, key in enumerate(_occurrences(before.ids))}
    common = [(known[key], row) for row, key in enumerate(_occurrences(after.ids)) if key in known]
    fewer = min(len(before), len(after))
    if len(common) < MIN_COMMON * fewer or len({after.ids[row] for _, row in common}) < 2:
        raise MechcheckError(f"{len(common)} of {fewer} prompts in common: too few to be paired")
    first, second = map(list, zip(*common, strict=True))
    chosen = _rows(after, second)
    return replace(_rows(before, first), ids=chosen.ids, templates=chosen.templates), chosen


def _occurrences(ids: Sequence[str]) -> list[tuple[str, int]]:
    """A prompt given several times is told apart by how often it came before."""
    seen: Counter[str] = Counter()
    found = []
    for name in ids:
        found.append((name, seen[name]))
        seen[name] += 1
    return found


def _rows(measured: Measurement, rows: Sequence[int]) -> Measurement:
    return replace(
        measured,
        values=measured.values[rows],
        ids=tuple(measured.ids[row] for row in rows),
        templates=tuple(measured.templates[row] for row in rows),
        denominator=None if measured.denominator is None else measured.denominator[rows],
    )


def _below(measured: Measurement) -> Float[np.ndarray, " prompt"]:
    return np.ones(len(measured)) if measured.denominator is None else measured.denominator


def _clusters(measured: Measurement) -> int:
    templates = len(set(measured.templates))
    return templates if templates > 1 else len(set(measured.ids))


def _with_a_pair_each_way(paired: Measurement) -> Measurement:
    # Units of their own: templates, or, where one template makes the prompts the units, prompts.
    several = len(set(paired.templates)) > 1
    # Where prompts are given several times the pair is, too: it counts as much as one of them.
    times = math.ceil(len(paired) / len(set(paired.ids)))
    added = ("\0 up", "\0 down") * times
    return replace(
        paired,
        values=np.append(paired.values, [1.0, -1.0] * times),
        ids=paired.ids + added,
        templates=paired.templates + (added if several else (paired.templates[0],) * len(added)),
    )
