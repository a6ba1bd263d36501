"""What a steering vector does at every scale: a curve per prompt, its mean beside controls, and whether it is straight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.drawing.figure import Pictured
from mechcheck.measures.figures.charts import Lines
from mechcheck.stats.arrays import LikeArray
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement


@dataclass(frozen=True, eq=False)
class SteeringCurve(Pictured, LikeArray):
    """A metric at each scale of a steering vector."""

    scales: tuple[float, ...]
    values: Float[np.ndarray, "scale prompt"]
    ids: tuple[str, ...]
    templates: tuple[str, ...]
    name: str
    unit: str

    @property
    def mean(self) -> Float[np.ndarray, " scale"]:
        """The mean over prompts."""
        return self.values.mean(-1)

    def figure(self, title: str | None = None, controls: "Controls | None" = None) -> Lines:
        """The mean over prompts against the scale with its interval; beside it controls, or the middle half of the prompts."""
        drawn = steering_figure(self.name if title is None else title, {"mean": self}, controls)
        if controls:
            return drawn
        low, high = np.quantile(self._sorted, (0.25, 0.75), axis=-1)
        return replace(drawn, bands={**drawn.bands, "middle half of the prompts": (low, high)})

    @property
    def _sorted(self) -> Float[np.ndarray, "scale prompt"]:
        """The values from the smallest scale to the largest."""
        return self.values[np.argsort(self.scales, kind="stable")]

    def _intervals(self, confidence: Confidence) -> tuple[list[float], list[float]]:
        """The ends of the mean's interval from the smallest scale on; NaN where it has none."""
        ends = []
        for values in self._sorted:
            try:
                found = estimate_mean(self._measurement(values, self.name, self.unit), confidence).estimate
                ends.append((found.low, found.high))
            except (MechcheckError, NonFiniteError):  # a single prompt, or values that are not finite
                ends.append((np.nan, np.nan))
        low, high = zip(*ends, strict=True)
        return list(low), list(high)

    def at(self, scale: float) -> Measurement:
        """The metric at one of the scales."""
        if scale not in self.scales:
            raise MechcheckError(f"scale {scale:g} was not swept; there are {', '.join(f'{known:g}' for known in self.scales)}")
        return self._measurement(self.values[self.scales.index(scale)], f"{self.name} at scale {scale:g}", self.unit)

    @property
    def slope(self) -> Measurement:
        """Each prompt's least-squares slope of the metric against the scale."""
        return self._measurement(self._fit()[0], f"slope of {self.name}", f"{self.unit} per unit of scale")

    @property
    def nonlinearity(self) -> Measurement:
        """The share of the metric's variation with the scale that each prompt's own straight line leaves unexplained.

        A ratio of means: prompts on which the vector does nothing neither count as straight nor as crooked.
        """
        _, residual = self._fit()
        spread = self._measurement(np.square(self.values - self.values.mean(0)).sum(0), "", "")
        missed = self._measurement(np.square(residual).sum(0), "", "")
        return (missed / spread).named(f"nonlinear share of {self.name}", "share")

    def _fit(self) -> tuple[Float[np.ndarray, " prompt"], Float[np.ndarray, "scale prompt"]]:
        """Slopes, and what is left of the values beside each prompt's line."""
        x = np.asarray(self.scales) - np.mean(self.scales)
        if len(set(self.scales)) < 3:
            raise MechcheckError(f"a line through {len(set(self.scales))} scales says nothing; sweep at least 3")
        centred = self.values - self.values.mean(0)
        slope = x @ centred / (x @ x)
        return slope, centred - np.outer(x, slope)

    def _measurement(self, values: Float[np.ndarray, " prompt"], name: str, unit: str) -> Measurement:
        return Measurement(values, self.ids, self.templates, name, unit)


Controls = Mapping[str, Sequence[SteeringCurve]]


def steering_figure(
    title: str, curves: Mapping[str, SteeringCurve], controls: Controls | None = None, confidence: Confidence | None = None
) -> Lines:
    """Curves of the same scales, each with the interval of its mean, beside the mean and the range of what controls do.

    Args:
        title: above the figure.
        curves: label -> curve.
        controls: label -> the curves of vectors that are to do nothing of the kind: random directions, shuffled labels.
        confidence: of the intervals.

    Raises:
        MechcheckError: no curves, or curves of different scales or units.
    """
    groups = (controls or {}).values()
    every = [*curves.values(), *(curve for some in groups for curve in some)]
    if not curves or not all(groups) or len({(tuple(sorted(curve.scales)), curve.unit) for curve in every}) != 1:
        raise MechcheckError(
            f"{title!r}: the curves of a figure have the same scales and the same unit, and of each kind there is one at least"
        )
    sure = confidence or Confidence()
    series: dict[str, list[float]] = {}
    bands: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for name, curve in curves.items():
        ends = curve._intervals(sure)
        label = f"{name}, with {sure.level:.0%} interval" if np.isfinite(ends).any() else name  # a single prompt's mean has none
        series[label], bands[label] = curve._sorted.mean(-1).tolist(), ends
    for name, some in (controls or {}).items():
        means = np.stack([curve._sorted.mean(-1) for curve in some])
        label = f"{name}: mean and range of {len(some)}"
        series[label], bands[label] = means.mean(0).tolist(), (means.min(0).tolist(), means.max(0).tolist())
    first = every[0]
    return Lines(title, sorted(first.scales), series, "scale", first.unit or first.name, bands)
