"""How far and how widely heads attend, and whether that grows from layer to layer."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import exact, to_numpy
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import broken_rows_as_nan, pattern_hook
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Intervention
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def attention_distance(
    model: "TransformerBridge",
    prompts: PromptSet,
    interventions: Sequence[Intervention] | Intervention = (),
    *,
    first: bool = False,
) -> HeadScores:
    """Mean distance in tokens between query and key, weighted by attention (Vig and Belinkov 2019, arXiv:1906.04284).

    For each head and prompt, the sum over its tokens of attention times abs(query - key), divided by the sum of that attention.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        interventions: applied in the same forward pass.
        first: whether attention to the first token counts. Heads rest there when they have nothing to look for, and it is
            far away from most queries, so that by default it does not (as in that paper).

    Returns:
        Tokens. NaN where a head attends to nothing but the first token.
    """

    def of(pattern: Tensor, both: Tensor) -> Tensor:
        width = pattern.shape[-1]
        if not first:
            both = both & (torch.arange(width, device=both.device) > 0)
        mass = pattern.masked_fill(~both[:, None], 0.0)
        place = torch.arange(width, device=pattern.device, dtype=pattern.dtype)
        distance = (place[:, None] - place[None, :]).abs()
        return (mass * distance).sum((-2, -1)) / mass.sum((-2, -1))

    return _scores(model, prompts, of, "attention distance", "tokens", interventions)


def attention_entropy(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> HeadScores:
    """Mean entropy of attention over the keys, averaged over each prompt's tokens (Vig and Belinkov 2019, arXiv:1906.04284).

    0 where a head looks at one token only. A causal model's first token has no choice, and adds 0.
    """

    def of(pattern: Tensor, both: Tensor) -> Tensor:
        entropy = torch.special.entr(pattern.masked_fill(~both[:, None], 0.0)).sum((-2, -1))
        return entropy / both.any(-1).sum(-1)[:, None]

    return _scores(model, prompts, of, "attention entropy", "nats", interventions)


def layer_mean(scores: HeadScores, layer: int) -> Measurement:
    """The mean over a layer's heads, for each prompt.

    Raises:
        SiteError: no such layer.
    """
    if not 0 <= layer < len(scores.values):
        raise SiteError(f"no layer {layer}: the scores are of layers 0-{len(scores.values) - 1}")
    return Measurement(scores.values[layer].mean(0), scores.ids, scores.templates, f"{scores.name} in layer {layer}", scores.unit)


def layer_trend(scores: HeadScores) -> Measurement:
    """Does a score grow with depth: Spearman's rank correlation, for each prompt, of layer and the mean over the layer's heads.

    1: each layer has more than the one before; -1: less; NaN where all layers have the same.

    Raises:
        MechcheckError: fewer than three layers, of which a rank correlation says no more than a difference: compare each `layer_mean`.
    """
    layers = scores.values.mean(1)
    if len(layers) < 3:
        raise MechcheckError(
            f"a trend needs 3 layers or more, and the scores are of {len(layers)}; compare layer_mean(scores, 0) and (scores, 1)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.ConstantInputWarning)  # it says NaN, which is what is returned
        trend = np.array([scipy.stats.spearmanr(range(len(layers)), prompt).statistic for prompt in layers.T])
    return Measurement(trend, scores.ids, scores.templates, f"rank correlation of layer and {scores.name}", "correlation")


def _scores(
    model: "TransformerBridge",
    prompts: PromptSet,
    of: Callable[[Float[Tensor, "row head q k"], Tensor], Float[Tensor, "row head"]],
    name: str,
    unit: str,
    interventions: Sequence[Intervention] | Intervention,
) -> HeadScores:
    """`of` every layer's pattern in float64, given which (query, key) are both tokens: [row, q, k]."""

    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        found = exact(broken_rows_as_nan(pattern))
        real = is_token(rows).to(found.device)
        return of(found, real[:, :, None] & real[:, None, :])

    check_loaded(model)
    readers: dict = {layer: (pattern_hook(layer), keep) for layer in range(model.cfg.n_layers)}
    recorded = observe(model, prompts, readers, interventions)
    values = torch.stack([recorded[layer].T for layer in range(model.cfg.n_layers)])
    return HeadScores(to_numpy(values), prompts.ids, prompts.templates, name, unit)
