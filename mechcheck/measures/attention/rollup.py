"""Attention gathered over heads and layers: to named positions by chosen heads, and through all layers at once (rollout)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import to_numpy, usual_torch
from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.hooks import Reader
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import attention_to_positions, broken_rows_as_nan, head_pairs, pattern_hook
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.checks import position_names
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.stats.arrays import LikeArray
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class AttentionRollup(Pictured, LikeArray):
    """Attention of chosen heads from one named position to several."""

    values: Float[np.ndarray, "head key prompt"]
    """Shares of attention; what did not pass the threshold is zero."""
    heads: tuple[tuple[int, int], ...]
    """(layer, head) of each, sorted."""
    query: str
    keys: tuple[str, ...]
    ids: tuple[str, ...]
    """Prompt ids."""
    templates: tuple[str, ...]
    """Template id of each prompt."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that the heads are in."""
        return tuple(sorted({layer for layer, _ in self.heads}))

    @property
    def by_layer(self) -> Float[np.ndarray, "layer key"]:
        """The mean over prompts and the layer's chosen heads; rows in the order of `layers`."""
        return np.stack([self._of_layer(layer).mean((0, 2)) for layer in self.layers])

    def figure(self, title: str | None = None) -> Heatmap:
        """The mean over prompts of each head (row) and position (column)."""
        rows = [f"{layer}.{head}" for layer, head in self.heads]
        named = f"Attention from {self.query}" if title is None else title
        return Heatmap(named, self.values.mean(-1), rows, self.keys, "head", "to", "share of attention")

    def to(self, key: str, layer: int | None = None) -> Measurement:
        """The mean over the chosen heads (of one layer), for each prompt.

        Raises:
            PromptError, SiteError: a position or a layer that was not asked for.
        """
        if key not in self.keys:
            raise PromptError(f"no position {key!r} was asked for; there are {', '.join(self.keys)}")
        values = (self.values if layer is None else self._of_layer(layer))[:, self.keys.index(key)]
        where = "" if layer is None else f", layer {layer}"
        return Measurement(values.mean(0), self.ids, self.templates, f"attention {self.query} to {key}{where}", "share of attention")

    def _of_layer(self, layer: int) -> Float[np.ndarray, "head key prompt"]:
        rows = [i for i, (of, _) in enumerate(self.heads) if of == layer]
        if not rows:
            raise SiteError(f"none of the chosen heads is in layer {layer}; there are layers {', '.join(map(str, self.layers))}")
        return self.values[rows]


def attention_rollup(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    keys: Sequence[str] | str,
    query: str = END,
    threshold: float = 0.0,
    interventions: Sequence[Intervention] | Intervention = (),
) -> AttentionRollup:
    """How much of the chosen heads' attention goes from one named position to each of several, by head, by layer and in all.

    Args:
        model: from `load_model`.
        prompts: prompts with the positions `query` and `keys`.
        sites: heads. Positions in the sites do not matter.
        keys, query: names of positions.
        threshold: a share of attention that is not above it counts as none.
        interventions: applied in the same forward pass.

    Raises:
        SiteError: no heads, or heads the model does not have.
        PromptError: positions these prompts do not have.
        MechcheckError: a threshold outside 0 to 1.
    """
    if not 0 <= threshold < 1:
        raise MechcheckError(f"threshold={threshold}: attention is a share, so choose a threshold from 0 to below 1")
    pairs, keys = head_pairs(model, sites), position_names(keys)
    found = attention_to_positions(model, prompts, query, keys, interventions)
    chosen = np.stack([found[pair] for pair in pairs])
    passed = np.where(chosen <= threshold, 0.0, chosen)  # NaN stays NaN
    return AttentionRollup(passed, tuple(pairs), query, tuple(keys), prompts.ids, prompts.templates)


@usual_torch()
def attention_rollout(
    model: "TransformerBridge",
    prompts: PromptSet,
    residual: float = 0.5,
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[Tensor, "layer prompt q k"]:
    """How much of each position's state comes from each token, if attention alone mixed them (Abnar & Zuidema 2020, arXiv:2005.00928).

    Layer by layer, the mean over heads is mixed with the residual connection and multiplied onto what was there. It ignores
    values, MLPs and what heads write, so it says where information could come from and not what does.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        residual: how much of a state stays where it is; 0.5 in the paper.
        interventions: applied in the same forward pass.

    Returns:
        Shares after each layer; rows sum to 1, rows and columns of padding are zero.

    Raises:
        MechcheckError: a residual share outside 0 to 1.
    """
    if not 0 <= residual <= 1:
        raise MechcheckError(f"residual={residual}: it is a share, so choose from 0 to 1")

    def mean_over_heads(pattern: Tensor, rows: Rows) -> Tensor:
        return broken_rows_as_nan(pattern).mean(1)

    check_loaded(model)
    layers = range(model.cfg.n_layers)
    readers: dict[int, Reader] = {layer: (pattern_hook(layer), mean_over_heads) for layer in layers}
    recorded = observe(model, prompts, readers, interventions)
    real = is_token(Rows(prompts, slice(None))).to(recorded[0].device)
    outside = ~(real[:, :, None] & real[:, None, :])
    stay = torch.eye(prompts.tokens.shape[1], dtype=recorded[0].dtype, device=recorded[0].device)
    flows, so_far = [], stay.expand_as(recorded[0])
    for layer in layers:
        mixed = (1 - residual) * recorded[layer].masked_fill(outside, 0.0) + residual * stay
        so_far = mixed @ so_far
        flows.append(so_far.masked_fill(outside, 0.0))
    return torch.stack(flows)


def rollout_to(
    model: "TransformerBridge",
    prompts: PromptSet,
    query: str = END,
    key: str = "IO",
    residual: float = 0.5,
    interventions: Sequence[Intervention] | Intervention = (),
) -> Measurement:
    """The rollout through all layers from one named position to another.

    Raises:
        PromptError: positions these prompts do not have.
    """
    rows, queries, keys = torch.arange(len(prompts)), prompts.position(query), prompts.position(key)
    last = attention_rollout(model, prompts, residual, interventions)[-1].cpu()
    values = to_numpy(last[rows, queries, keys])
    return Measurement(values, prompts.ids, prompts.templates, f"rollout {query} to {key}", "share")
