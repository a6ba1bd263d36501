"""Dose and response: a metric under more and more of an intervention, with a band that holds the whole curve."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import AnyMetric, sweep
from mechcheck.measures.figures.charts import Lines
from mechcheck.measures.stream.curves import Controls, SteeringCurve, steering_figure
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.units import units_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_DRAWS = 20_000


def dose_curve(
    model: "TransformerBridge",
    prompts: PromptSet,
    intervention: Callable[[float], Intervention | Sequence[Intervention]],
    doses: Sequence[float],
    metric: AnyMetric = logit_diff,
) -> SteeringCurve:
    """The metric at each dose of an intervention, prompt by prompt: how much is ablated, how many heads, how strong a vector.

    Args:
        model, prompts, metric: as in `run`.
        intervention: dose -> what is done at it, for example `lambda dose: Scale(sites, 1 - dose)`; an empty list for nothing.
        doses: two at least, all different.

    Raises:
        MechcheckError: fewer than two doses, one twice, or one that is no finite number.
    """
    given = [float(dose) for dose in doses]
    if len(given) < 2 or len(set(given)) < len(given) or not np.isfinite(given).all():
        raise MechcheckError(f"a dose-response curve takes two or more different finite doses, got {list(doses)}")
    chosen = as_metric(metric)
    values = sweep(model, prompts, [intervention(dose) for dose in doses], chosen)
    return SteeringCurve(tuple(given), values, prompts.ids, prompts.templates, chosen.name, chosen.unit)


def simultaneous_band(
    curve: SteeringCurve, confidence: Confidence | None = None
) -> tuple[Float[np.ndarray, " dose"], Float[np.ndarray, " dose"]]:
    """The lower and the upper end of a band that holds the means of all doses at once, at the interval's level (a sup-t band).

    Each dose's own interval, widened by one factor for all: that of the largest of the doses' t statistics, which vary together as the
    doses' means over templates do (Montiel Olea and Plagborg-Moller 2019, J. Appl. Econometrics 34:1). From the smallest dose on.

    Raises:
        MechcheckError: fewer than two different prompts.
        NonFiniteError: a value that is not finite.
    """
    sure, order = confidence or Confidence(), np.argsort(curve.scales, kind="stable")
    found = [estimate_mean(curve.at(curve.scales[i]), sure) for i in order]
    units = units_of(curve.at(curve.scales[0]))
    centred = curve.values[order] - curve.values[order].mean(-1, keepdims=True)
    sums = np.stack([np.bincount(units.index, row) for row in centred])  # [dose, unit]
    spread = np.sqrt(np.square(sums).sum(-1))
    loose = spread > 1e-12 * max(1.0, float(np.abs(curve.values).max()))  # what nothing varies at has no t statistic
    factor = 1.0
    if loose.any():
        shared = sums[loose] / spread[loose, None]
        df, rng = min(one.df for one in found), np.random.default_rng(0)
        drawn = rng.standard_normal((_DRAWS, units.n)) @ shared.T  # [draw, dose], with their correlations
        df = df if np.isfinite(df) else 1e6  # of a rate, whose tests are exact
        largest = np.abs(drawn / np.sqrt(rng.chisquare(df, (_DRAWS, 1)) / df)).max(-1)
        factor = max(1.0, float(np.quantile(largest, sure.level)) / float(scipy.special.stdtrit(df, sure.side)))
    means = np.array([one.estimate.value for one in found])
    low, high = (np.array([getattr(one.estimate, end) for one in found]) for end in ("low", "high"))
    return means - factor * (means - low), means + factor * (high - means)


def dose_figure(
    curve: SteeringCurve, title: str | None = None, controls: Controls | None = None, *, label: str = "mean", x_label: str = "dose",
    confidence: Confidence | None = None,
) -> Lines:  # fmt: skip
    """The mean against the dose with the band that holds the whole curve; beside it what controls do.

    Args:
        curve: from `dose_curve`, or a steering curve.
        title: above the figure; by default the metric's name.
        controls: label -> curves of the same doses that are to do nothing of the kind.
        label: of the curve.
        x_label: what the dose is.
        confidence: of the band.
    """
    sure = confidence or Confidence()
    named = f"{label}, with simultaneous {sure.level:.0%} band"
    beside = steering_figure("", {"own": curve}, controls, sure)
    own, *others = beside.series
    low, high = simultaneous_band(curve, sure)
    return Lines(
        curve.name if title is None else title, beside.x, {named: beside.series[own]} | {name: beside.series[name] for name in others},
        x_label, beside.y_label, {named: (low.tolist(), high.tolist())} | {name: beside.bands[name] for name in others},
    )  # fmt: skip
