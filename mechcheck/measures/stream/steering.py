"""Activation steering: directions from means of activations, what adding them does at every scale, and control directions.

Difference of means: Turner et al. 2023 (arXiv:2308.10248), Rimsky et al. 2024 (arXiv:2312.06681). Mean-centred: Jorgensen et
al. 2023 (arXiv:2312.03813).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import AnyMetric, capture, sweep
from mechcheck.measures.stream.curves import SteeringCurve
from mechcheck.notation.interventions import Steer
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Label = TypeVar("Label", bound=Hashable)
Vector = Float[Tensor, " d"]
Direction = Float[Tensor, "*prompt d"]
"""One vector for all prompts, [d], or one for each, [prompt, d]."""
Against = Literal["counterfactual", "reference"] | PromptSet


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
