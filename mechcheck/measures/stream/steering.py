"""Activation steering: directions from means of activations, what adding them does at every scale, and control directions.

Difference of means: Turner et al. 2023 (arXiv:2308.10248), Rimsky et al. 2024 (arXiv:2312.06681). Mean-centred: Jorgensen et
al. 2023 (arXiv:2312.03813).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.run import AnyMetric, capture, sweep
from mechcheck.measures.figures.charts import Lines
from mechcheck.notation.interventions import Steer
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.arrays import LikeArray
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Label = TypeVar("Label", bound=Hashable)
Vector = Float[Tensor, " d"]
Direction = Float[Tensor, "*prompt d"]
"""One vector for all prompts, [d], or one for each, [prompt, d]."""
Against = Literal["counterfactual", "reference"] | PromptSet


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
            except MechcheckError:  # a single prompt, or values that are not finite
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
    every = [*curves.values(), *(curve for some in (controls or {}).values() for curve in some)]
    if not curves or len({(tuple(sorted(curve.scales)), curve.unit) for curve in every}) != 1:
        raise MechcheckError(f"{title!r}: the curves of a figure have the same scales and the same unit, and there is one at least")
    sure = confidence or Confidence()
    series: dict[str, list[float]] = {}
    bands: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for name, curve in curves.items():
        label = f"{name}, with {sure.level:.0%} interval"
        series[label], bands[label] = curve._sorted.mean(-1).tolist(), curve._intervals(sure)
    for name, some in (controls or {}).items():
        means = np.stack([curve._sorted.mean(-1) for curve in some])
        label = f"{name}: mean and range of {len(some)}"
        series[label], bands[label] = means.mean(0).tolist(), (means.min(0).tolist(), means.max(0).tolist())
    first = every[0]
    return Lines(title, sorted(first.scales), series, "scale", first.unit or first.name, bands)


def steering_vector(model: "TransformerBridge", prompts: PromptSet, at: Sites, against: Against = "counterfactual") -> Vector:
    """The mean activation on the prompts minus that on the prompts they are set against (difference of means).

    Args:
        model: from `load_model`.
        prompts: those that show what the vector shall steer towards, all to the same side: a set with both sides cancels.
        at: one site at a named position, for example resid("1@END").
        against: "counterfactual" or "reference" of the prompts, or other prompts; for mean-centring those of all sides.

    Raises:
        PromptError: no such counterfactual or reference. MechcheckError: not one site at a named position.
    """
    return _activation(model, prompts, at).mean(0) - _activation(model, _opposite(prompts, against), at).mean(0)


def class_vectors(model: "TransformerBridge", prompts: PromptSet, at: Sites, labels: Sequence[Label]) -> dict[Label, Vector]:
    """Label -> the mean activation on the prompts of that label minus the mean on all prompts (mean-centring).

    Args:
        model, at: as in `steering_vector`.
        prompts: the prompts.
        labels: one for each prompt, for example `prompts.answers.tolist()`.
    """
    if len(labels) != len(prompts):
        raise MechcheckError(f"{len(labels)} labels for {len(prompts)} prompts; give one for each")
    activation = _activation(model, prompts, at)
    centred = activation - activation.mean(0)
    rows: dict[Label, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return {label: centred[found].mean(0) for label, found in rows.items()}


def swap_directions(vectors: Mapping[Label, Vector], out: Sequence[Label], into: Sequence[Label]) -> Float[Tensor, "prompt d"]:
    """For each prompt the vector that takes one label away and brings another: vectors[into] - vectors[out].

    Raises:
        MechcheckError: a label without a vector.
    """
    missing = sorted({str(label) for label in (*out, *into) if label not in vectors})
    if missing:
        raise MechcheckError(f"no vector for {', '.join(missing[:5])}: these labels are not among the prompts that the vectors come from")
    return torch.stack([vectors[new] - vectors[old] for old, new in zip(out, into, strict=True)])


def steering_curve(
    model: "TransformerBridge",
    prompts: PromptSet,
    vector: Direction,
    sites: Sites,
    scales: Sequence[float],
    metric: AnyMetric = logit_diff,
) -> SteeringCurve:
    """The metric with `scale * vector` added at the sites, for each scale.

    Args:
        model, prompts, metric: as in `run`.
        vector: one for all prompts, or one for each.
        sites: where it is added.
        scales: 0 is the untouched model; 1 adds the vector as it is.
    """
    return steering_curves(model, prompts, [vector], sites, scales, metric)[0]


def steering_curves(
    model: "TransformerBridge",
    prompts: PromptSet,
    vectors: Sequence[Direction],
    sites: Sites,
    scales: Sequence[float],
    metric: AnyMetric = logit_diff,
) -> list[SteeringCurve]:
    """`steering_curve` for several vectors at once, for example a vector and its controls."""
    if not len(vectors) or not len(scales):
        raise MechcheckError("steering needs at least one vector and one scale")
    chosen = as_metric(metric)
    variants = [Steer(vector, sites, float(scale)) for vector in vectors for scale in scales]
    values = sweep(model, prompts, variants, chosen).reshape(len(vectors), len(scales), len(prompts))
    swept = tuple(float(scale) for scale in scales)
    return [SteeringCurve(swept, curve, prompts.ids, prompts.templates, chosen.name, chosen.unit) for curve in values]


def random_directions(vector: Direction, n: int, seed: int) -> list[Direction]:
    """`n` random vectors, uniform over directions, each of the vector's own norm (row by row for one vector a prompt)."""
    generator = torch.Generator().manual_seed(seed)
    norm = vector.norm(dim=-1, keepdim=True)
    drawn = [torch.randn(vector.shape, generator=generator, dtype=torch.float64).to(vector) for _ in range(n)]
    return [one / one.norm(dim=-1, keepdim=True) * norm for one in drawn]


@usual_torch()
def shuffled_vectors(
    model: "TransformerBridge",
    prompts: PromptSet,
    at: Sites,
    n: int,
    seed: int,
    against: Against = "counterfactual",
    *,
    same_norm: bool = True,
) -> list[Vector]:
    """`n` steering vectors from shuffled labels: of each pair of aligned prompts, a coin says which one counts as which.

    Args:
        model, prompts, at, against: as in `steering_vector`; the two sets must be aligned.
        n: how many.
        seed: of the coins.
        same_norm: bring each to the norm of the true vector, so that only directions differ. Where the pairs differ along one
            direction, that gives many shuffled vectors this very direction, or its opposite, at full length: then False, their
            own length, is the control for whether the labels matter (a permutation test).

    Raises:
        MechcheckError: the two sides do not differ at this site, or shuffled pairs cancel out.
    """
    other = _opposite(prompts, against)
    if len(other) != len(prompts):
        raise PromptError(f"{len(other)} prompts against {len(prompts)}: labels can be shuffled between aligned pairs only")
    gap = _activation(model, prompts, at) - _activation(model, other, at)
    if not gap.any():
        raise MechcheckError(f"the prompts and those against do not differ at {at}, so there is no direction to shuffle")
    generator = torch.Generator().manual_seed(seed)
    coins = torch.randint(0, 2, (n, len(prompts)), generator=generator).to(gap) * 2 - 1
    shuffled = coins @ gap / len(prompts)
    if same_norm:
        lengths = shuffled.norm(dim=-1, keepdim=True)
        if not lengths.all():
            raise MechcheckError(
                "shuffled pairs cancel each other exactly, so there is no direction to lengthen; give same_norm=False, or more prompts"
            )
        shuffled = shuffled / lengths * gap.mean(0).norm()
    return list(shuffled)


def _opposite(prompts: PromptSet, against: Against) -> PromptSet:
    if isinstance(against, PromptSet):
        return against
    if against not in ("counterfactual", "reference"):
        raise MechcheckError(f'cannot steer against {against!r}; give "counterfactual", "reference" or a PromptSet')
    other: PromptSet | None = getattr(prompts, against)
    if other is None:
        raise PromptError(f"these prompts have no {against}: give against=<PromptSet>")
    return other


def _activation(model: "TransformerBridge", prompts: PromptSet, at: Sites) -> Float[Tensor, "prompt d"]:
    return capture(model, prompts, at)[_single(at)]


def _single(at: Sites) -> Site:
    if len(at) != 1 or next(iter(at)).at is None:
        raise MechcheckError(f"expected one site at a named position, for example resid('1@END'), got {at or 'none'}")
    return next(iter(at))
