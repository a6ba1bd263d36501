"""Attention scores: how well each query matches each key, scaled and masked, before the softmax makes shares of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcheck.base.architectures import is_native, native_divisor, native_rotated
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import HookError
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import head_pairs, pattern_hook, visible_keys
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# The largest difference of a share of attention that rounding explains; norms and softmax may compute in float32.
_CLOSE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}


@usual_torch()
def attention_scores(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[Tensor, "prompt head q k"]:
    """The QK score of every query and key in the given heads: q . k / sqrt(d_head), with position and mask, before the softmax.

    The softmax of a row is that row of `attention`; this is checked, as TransformerLens' own hook for scores carries something
    else in some architectures. Where it does, the scores are computed from queries and keys.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        sites: heads; the maps come in their order (sorted by layer and head). Positions in the sites do not matter.
        interventions: applied in the same forward pass.

    Returns:
        Scores in logits; -inf where the query cannot see the key, and where either is padding.

    Raises:
        SiteError: no heads, or heads the model does not have.
        HookError: neither the hook nor queries and keys explain this architecture's attention.
    """
    pairs = head_pairs(model, sites)
    readers: dict = {}
    for layer, head in pairs:
        for name, hook in (("scores", f"blocks.{layer}.attn.hook_attn_scores"), ("pattern", pattern_hook(layer))):
            readers[name, layer, head] = (hook, lambda x, rows, head=head: x[:, head])
        for name in ("q", "k"):
            group = (lambda x: model.cfg.n_heads // x.shape[2]) if name == "k" else (lambda x: 1)
            readers[name, layer, head] = (
                f"blocks.{layer}.attn.hook_{name}",
                lambda x, rows, head=head, group=group: x[:, :, head // group(x)],
            )
    recorded = observe(model, prompts, readers, interventions)
    found = []
    for pair in pairs:
        visible = visible_keys(model, prompts, pair[0]).to(model.cfg.device)
        hooked, pattern, q, k = (recorded[name, *pair] for name in ("scores", "pattern", "q", "k"))
        divisor = q.shape[-1] ** 0.5
        if is_native(model):
            (q, k), divisor = native_rotated(model, q, k), native_divisor(model, pair[0])
        computed = q @ k.transpose(-1, -2) / divisor
        fitting = [scores for scores in map(_hide(visible), (hooked, computed)) if _explains(scores, pattern, visible)]
        if not fitting:
            raise HookError(
                f"the attention of head {pair[0]}.{pair[1]} is not the softmax of its scores in this architecture "
                f"({model.cfg.architecture}), so its scores cannot be read"
            )
        found.append(fitting[0])
    return torch.stack(found, dim=1)


def _hide(visible: Bool[Tensor, "prompt q k"]) -> Any:
    """A function that puts -inf where nothing can be seen; some architectures mask by the smallest number they have."""

    def hide(scores: Tensor) -> Tensor:
        return scores.masked_fill(~visible | (scores <= torch.finfo(scores.dtype).min / 2), -torch.inf)

    return hide


def _explains(scores: Tensor, pattern: Tensor, visible: Bool[Tensor, "prompt q k"]) -> bool:
    """The softmax of the scores is the pattern, wherever the query is a token."""
    rows = visible.any(-1)
    gap = (scores[rows].softmax(-1) - pattern[rows]).abs().max()
    return bool(gap <= _CLOSE[scores.dtype])
