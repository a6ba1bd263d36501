"""Attention: whole patterns of chosen heads, and how much one named position attends to another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcheck.base.device import to_numpy
from mechcheck.base.errors import SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.hooks import Reader
from mechcheck.engine.run import observe
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.checks import position_names
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def attention(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[Tensor, "prompt head q k"]:
    """Attention patterns of the given heads under the interventions.

    Rows sum to 1 over the keys; rows and columns of padding are zero.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        sites: heads; the patterns come in their order (sorted by layer and head). Positions in the sites do not matter.
        interventions: applied in the same forward pass.

    Raises:
        SiteError: no heads, or heads the model does not have.
    """
    pairs = head_pairs(model, sites)
    recorded = observe(model, prompts, pattern_readers(pairs, interventions), interventions)
    return torch.stack([recorded[pair] for pair in pairs], dim=1)


def attention_to(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    query: str = END,
    key: str = "IO",
    interventions: Sequence[Intervention] | Intervention = (),
) -> Measurement:
    """Share of the given heads' attention that goes from one named position to another, as the mean over these heads.

    Args:
        model: from `load_model`.
        prompts: prompts with the positions `query` and `key`.
        sites: heads. Positions in the sites do not matter.
        query, key: names of positions; a query sees only keys at or before it.
        interventions: applied in the same forward pass.

    Raises:
        SiteError: no heads, or heads the model does not have.
        PromptError: positions these prompts do not have.
    """
    pairs = head_pairs(model, sites)
    readers: dict = {pair: _between(pair[0], pair[1], query, key, _given(interventions)) for pair in pairs}
    recorded = _numpy_of(model, prompts, readers, interventions)
    values = np.mean([recorded[pair] for pair in pairs], axis=0)
    return Measurement(values, prompts.ids, prompts.templates, f"attention {query} to {key}", "share of attention")


def attention_to_positions(
    model: "TransformerBridge",
    prompts: PromptSet,
    query: str,
    keys: Sequence[str] | str,
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[np.ndarray, "layer head key prompt"]:
    """Attention of every head from one named position to each of several: what a search for roles starts from.

    Raises:
        PromptError: positions these prompts do not have.
    """
    check_loaded(model)
    layers, n_heads, keys = range(model.cfg.n_layers), model.cfg.n_heads, position_names(keys)
    readers: dict = {(layer, key): _between(layer, None, query, key, _given(interventions)) for layer in layers for key in keys}
    recorded = _numpy_of(model, prompts, readers, interventions)
    values = np.array([[recorded[layer, key].T for key in keys] for layer in layers])
    return values.reshape(len(layers), len(keys), n_heads, len(prompts)).transpose(0, 2, 1, 3)


def pattern_hook(layer: int) -> str:
    """The hook whose activation is the attention pattern, [row, head, q, k]."""
    return f"blocks.{layer}.attn.hook_pattern"


def pattern_readers(pairs: Sequence[tuple[int, int]], interventions: Sequence[Intervention] | Intervention = ()) -> dict:
    """(layer, head) -> reader of that head's pattern [row, q, k], zero where the query or the key is padding.

    What the interventions leave of the patterns that they are about is taken as it is: a query may be left with nothing to attend to.
    """
    given = _given(interventions)

    def keep(pattern: Tensor, rows: Rows, layer: int, head: int) -> Tensor:
        real, found = is_token(rows).to(pattern.device), pattern[:, head]
        found = found if (layer, head) in given else broken_rows_as_nan(found)
        return found.masked_fill(~(real[:, :, None] & real[:, None, :]), 0.0)

    return {pair: (pattern_hook(pair[0]), lambda x, rows, pair=pair: keep(x, rows, *pair)) for pair in pairs}


def _given(interventions: Sequence[Intervention] | Intervention) -> set[tuple[int | None, int | None]]:
    """(layer, head) of the patterns that interventions are about."""
    every = interventions if isinstance(interventions, Sequence) else [interventions]
    return {(site.layer, site.index) for one in every for site in one.sites if site.kind == "pattern"}


def broken_rows_as_nan(pattern: Float[Tensor, "... q k"]) -> Float[Tensor, "... q k"]:
    """TransformerLens writes zeros where attention is NaN; a row that attends to nothing at all was NaN, and is again."""
    return pattern.masked_fill(pattern.sum(-1, keepdim=True) == 0, torch.nan)


def visible_keys(model: "TransformerBridge", prompts: PromptSet, layer: int) -> Bool[Tensor, "prompt q k"]:
    """True where a query of the layer can see a key: both are tokens, and in a causal model the key is not later, nor behind the window."""
    real = is_token(Rows(prompts, slice(None)))
    both = real[:, :, None] & real[:, None, :]
    window = _window(model, layer)
    if window is not None:
        both = both.triu(1 - window)
    return both.tril() if model.cfg.attention_dir == "causal" else both


def _window(model: "TransformerBridge", layer: int) -> int | None:
    """How many keys a query sees at most, itself included, where the layer's attention is local."""
    config = getattr(model.original_model, "config", None)  # a native model has none
    kinds = getattr(config, "attention_layers", None)  # GPT-Neo's
    if kinds is not None:
        return getattr(config, "window_size", None) if kinds[layer] == "local" else None
    kinds = getattr(config, "layer_types", None)
    return getattr(config, "sliding_window", None) if kinds is None or kinds[layer] == "sliding_attention" else None


def head_pairs(model: "TransformerBridge", sites: Sites | str) -> list[tuple[int, int]]:
    """(layer, head) of each of the heads, sorted, whatever their positions."""
    chosen = heads(sites)
    check_sites(model, chosen)
    if not len(chosen):
        raise SiteError("no heads are given; write some, for example heads('9.6')")
    return sorted(set(chosen.pairs))


def _between(layer: int, head: int | None, query: str, key: str, given: set[tuple[int | None, int | None]]) -> Reader:
    """Attention from `query` to `key`: [row] of one head, [row, head] of all; `given` patterns are as an intervention left them."""

    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        row = torch.arange(len(pattern), device=pattern.device)
        marked = broken_rows_as_nan(pattern)
        for one in (index for at, index in given if at == layer):
            marked[:, one] = pattern[:, one]
        chosen = marked if head is None else marked[:, head : head + 1]
        found = chosen[row, :, rows.at(query).to(pattern.device), rows.at(key).to(pattern.device)]
        return found if head is None else found[:, 0]

    return pattern_hook(layer), keep


def _numpy_of(
    model: "TransformerBridge", prompts: PromptSet, readers: dict, interventions: Sequence[Intervention] | Intervention
) -> dict[object, np.ndarray]:
    recorded = observe(model, prompts, readers, interventions)
    return {key: to_numpy(value) for key, value in recorded.items()}
