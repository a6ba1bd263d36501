"""Which heads score higher than what they are compared with: every head tested, and the tests adjusted for their number."""

from collections.abc import Sequence
from typing import NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.measures.figures.charts import Bars
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.sites import heads
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.multiplicity import adjust


class HeadComparison(NamedTuple):
    """How much higher one head scores than what it is compared with."""

    layer: int
    head: int
    estimate: Estimate
    """Mean difference in the unit of the scores, with its own interval (not adjusted for the number of heads)."""
    p: float
    """One-sided, against "it does not score higher"."""
    p_adjusted: float
    """Benjamini-Hochberg over all heads."""


def compare_heads(
    scores: HeadScores, against: HeadScores | Measurement | float = 0.0, *, confidence: float = 0.975
) -> tuple[HeadComparison, ...]:
    """Every head's mean difference from what it is compared with, paired prompt by prompt, the largest first.

    The heads with `p_adjusted` below 0.05 are a list of which one in twenty is expected to be wrong (Benjamini and Hochberg
    1995). Intervals and p-values are of a t test over templates (over prompts where there is one template only).

    Args:
        scores: one number per head and prompt.
        against: the same of something else, head by head; one number per prompt; or a constant.
        confidence: one-sided, of each interval; its level is 2 * confidence - 1.

    Raises:
        MechcheckError: scores of other prompts or of another number of heads.
        NonFiniteError: a score is NaN.
    """
    n_layers, n_heads, _ = scores.values.shape
    if isinstance(against, HeadScores) and against.values.shape[:2] != (n_layers, n_heads):
        shape = " x ".join(map(str, against.values.shape[:2]))
        raise MechcheckError(f"scores of {n_layers} x {n_heads} heads cannot be compared with scores of {shape}")
    side = Confidence(confidence)
    rows = []
    for layer in range(n_layers):
        for head in range(n_heads):
            site = heads([(layer, head)])
            other = against.of(site) if isinstance(against, HeadScores) else against
            rows.append((layer, head, *_excess(scores.of(site) - other, side)))
    adjusted = adjust([p for *_, p in rows])
    found = (HeadComparison(*row, p_adjusted) for row, p_adjusted in zip(rows, adjusted, strict=True))
    return tuple(sorted(found, key=lambda row: -row.estimate.value))


def _excess(difference: Measurement, side: Confidence) -> tuple[Estimate, float]:
    """The mean difference and the p-value of its being no larger than zero."""
    found = estimate_mean(difference, side, symmetric=True)
    return found.estimate, found.p_above(0.0)


def ranking_figure(title: str, ranking: Sequence[HeadComparison], unit: str = "") -> Bars:
    """A bar with its interval for each head, in the order of the ranking; a line at zero."""
    found = [row.estimate for row in ranking]
    labels = [f"{row.layer}.{row.head}" for row in ranking]
    return Bars(title, labels, [e.value for e in found], [e.low for e in found], [e.high for e in found], unit, threshold=0.0)
