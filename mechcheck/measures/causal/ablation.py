"""Ablation studies: what the prediction loses when each head is taken away (or scaled, permuted, sparsified) by itself."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.device import to_numpy
from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.run import capture, sweep_metrics
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.distribution_metrics import entropy, top_overlap, top_probability
from mechcheck.notation.interventions import Ablate, Intervention, Sparsify
from mechcheck.notation.metrics import Metric, kl_divergence, probability, rank
from mechcheck.notation.sites import Site, Sites, heads
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# How far, as a share of the components, a threshold may be from the share that was asked for.
_NEAR = 0.005

Change = Callable[[Sites], Intervention | Sequence[Intervention]]
"""What is done to some sites, for example `lambda sites: Ablate(sites, "zero")`."""

STUDY_METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "kl": kl_divergence,
        "top_probability": top_probability,
        "entropy": entropy,
        "rank": rank,
        "probability": probability,
        "top_overlap": top_overlap(5),
    }
)
"""What an ablation study measures unless told otherwise: two of them follow the answer, four the whole distribution."""


class HeadEffect(NamedTuple):
    """One row of a ranking."""

    layer: int
    head: int
    changes: dict[str, float]
    """Metric -> its mean change over the prompts."""


def mean_ablation(sites: Sites) -> Ablate:
    """The change that studies and searches make unless told otherwise."""
    return Ablate(sites, "mean")


def all_heads(model: "TransformerBridge", at: str | None = None) -> Sites:
    """Every attention head of the model, at a named position or (None) at every position."""
    check_loaded(model)
    return Sites(Site("head", layer, head, at) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads))


def ablation_effects(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    intervention: Change = mean_ablation,
    metrics: Mapping[str, Metric] = STUDY_METRICS,
    at: str | None = None,
) -> dict[str, HeadScores]:
    """How far each metric moves when one head is changed, for each head in turn.

    Args:
        model: from `load_model`.
        prompts: the prompts; `probability` and `rank` are those of their answers.
        intervention: what is done to a head.
        metrics: the caller's name -> metric.
        at: the named position at which heads are changed; every position by default.

    Returns:
        The caller's name -> change [layer, head, prompt]: the metric after the change minus the metric of the untouched
        run. Where a metric compares with the untouched run, the latter is that of a run with itself: KL 0, top-5 overlap 1.

    Raises:
        MechcheckError: no metrics.
    """
    if not metrics:
        raise MechcheckError("no metrics: nothing would be measured; leave `metrics` out to measure the usual ones")
    check_loaded(model)
    shape = (model.cfg.n_layers, model.cfg.n_heads, len(prompts))
    variants: list = [[], *(intervention(Sites([site])) for site in all_heads(model, at))]
    measured = sweep_metrics(model, prompts, variants, list(metrics.values()))
    return {
        name: HeadScores((found[1:] - found[0]).reshape(shape), prompts.ids, prompts.templates, f"change of {metric.name}", metric.unit)
        for (name, metric), found in zip(metrics.items(), measured, strict=True)
    }


def rank_heads(effects: Mapping[str, HeadScores], by: str) -> list[HeadEffect]:
    """Every head with its mean changes, the largest change of the metric `by` first, whichever its sign.

    Raises:
        MechcheckError: `by` was not measured, or is not finite somewhere.
    """
    if by not in effects:
        raise MechcheckError(f"cannot rank by {by!r}, which was not measured; choose one of {', '.join(effects)}")
    size = np.abs(effects[by].mean)
    if not np.isfinite(size).all():
        layer, head = np.argwhere(~np.isfinite(size))[0]
        raise MechcheckError(f"cannot rank by {by!r}: its change is not finite for head {layer}.{head}")
    order = np.column_stack(np.unravel_index(np.argsort(-size, axis=None, kind="stable"), size.shape))
    means = {name: scores.mean for name, scores in effects.items()}
    return [HeadEffect(int(la), int(h), {name: float(mean[la, h]) for name, mean in means.items()}) for la, h in order]


def sparsified_to(model: "TransformerBridge", prompts: PromptSet, share: float) -> Change:
    """A change that zeroes each head's smallest components, `share` of them by number on these prompts.

    Heads write on different scales, so that one threshold for all would silence the quiet ones and leave the loud ones whole:
    the threshold of a head is the size that this share of its own components
    stay below over the prompts' tokens, to within half a percent.

    Raises:
        MechcheckError: a share outside 0 to 1.
        SiteError (by the change): sites that are no heads.
    """
    if not 0 <= share <= 1:
        raise MechcheckError(f"a share of components lies between 0 and 1, got {share}")

    @cache
    def thresholds(at: str | None) -> dict[Site, float]:
        return _thresholds(model, prompts, all_heads(model, at), share)

    return lambda sites: [Sparsify(Sites([site]), thresholds(site.at)[site]) for site in heads(sites)]


def _thresholds(model: "TransformerBridge", prompts: PromptSet, sites: Sites, share: float) -> dict[Site, float]:
    """The size below which about `share` of each site's components lie."""
    real = is_token(Rows(prompts, slice(None)))
    found = {}
    for site, activation in capture(model, prompts, sites).items():
        sizes = to_numpy((activation.cpu() if site.at is not None else activation.cpu()[real]).abs())
        found[site] = _between(np.sort(sizes, axis=None), share)
    return found


def _between(sizes: Float[np.ndarray, " component"], share: float) -> float:
    """A threshold in the widest gap near the share: where prompts begin alike many sizes are equal, and rounding would part them."""
    if share in (0, 1):
        return share * (2.0 * float(sizes[-1]) + 1.0)
    edges = np.concatenate([[0.0], sizes, sizes[-1:]])
    low, high = (min(max(round((share + by) * len(sizes)), 0), len(sizes)) for by in (-_NEAR, _NEAR))
    gap = low + int(np.argmax(np.diff(edges[low : high + 2])))
    return float(edges[gap : gap + 2].mean())
