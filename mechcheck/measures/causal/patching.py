"""Activation patching: what one head, or the stream at one position, carries from another run."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.run import AnyMetric, sweep
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.checks import position_names
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def head_patching(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    source: PromptSet | None = None,
    positions: Sequence[str] | str | None = None,
    metric: AnyMetric = logit_diff,
    executor: Executor | None = None,
) -> HeadScores:
    """The metric on `prompts` after one head's output z is replaced by that of `source`, for each head in turn.

    Args:
        model: from `load_model`.
        prompts: the run that is patched.
        source: aligned prompts whose activations are put in; the prompts' counterfactual by default.
        positions: names of positions to patch at, each aligned by name; every position by default, which needs equal lengths.
        metric: as in `run`.
        executor: shares the batches out, as in `sweep`.

    Raises:
        PromptError: no source, or one that is not aligned.
    """
    check_loaded(model)
    layers, n_heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    places: list[str | None] = [None] if positions is None else [*position_names(positions)]
    variants = [[Patch(Sites(Site("head", la, h, at) for at in places), source)] for la in layers for h in n_heads]
    values = sweep(model, prompts, variants, metric, executor=executor).reshape(len(layers), len(n_heads), len(prompts))
    chosen = as_metric(metric)
    return HeadScores(values, prompts.ids, prompts.templates, f"{chosen.name} after patching the head", chosen.unit)


def residual_patching(
    model: "TransformerBridge",
    prompts: PromptSet,
    positions: Sequence[str] | str,
    *,
    kind: Literal["resid_pre", "attn_out", "mlp_out"] = "resid_pre",
    source: PromptSet | None = None,
    metric: AnyMetric = logit_diff,
    executor: Executor | None = None,
) -> Float[np.ndarray, "layer position prompt"]:
    """The metric on `prompts` after the stream entering a layer is replaced by that of `source` at one named position.

    Args, errors: as in `head_patching`; `positions` are patched one at a time. `kind`: what is replaced, if not the stream that enters
        the layer, then what its attention or its MLP adds to it.
    """
    check_loaded(model)
    layers, places = range(model.cfg.n_layers), position_names(positions)
    variants = [[Patch(Sites([Site(kind, layer, None, at)]), source)] for layer in layers for at in places]
    return sweep(model, prompts, variants, metric, executor=executor).reshape(len(layers), len(places), len(prompts))


def recovery(patched: HeadScores, base: Measurement, other: Measurement) -> Float[np.ndarray, "layer head"]:
    """How much of the way from one run to the other each head brings: mean(patched - base) / mean(other - base).

    Args:
        patched: from `head_patching`, on the prompts of `base`.
        base: the metric of the run that was patched (0 of the way).
        other: the metric of the run that the activations came from (1), aligned prompt by prompt.

    Raises:
        MechcheckError: different prompts, or two runs with the same mean, between which there is no way to go.
    """
    if patched.ids != base.ids or len(other) != len(base):
        raise MechcheckError("recovery needs patched and base on the same prompts, and as many prompts in other")
    gap = float(np.mean(other.values - base.values))
    if gap == 0:
        raise MechcheckError("the two runs have the same mean, so a share of the way between them is not defined")
    return (patched.values - base.values).mean(-1) / gap
