"""What kind of network a model is, where that decides which of its places there are and how it makes its logits."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformer_lens.model_bridge import TransformerBridge

NATIVE = "TransformerLensNative"
"""TransformerLens' own model: what `boot_native` makes, and what a HookedTransformer computed."""


def is_native(model: "TransformerBridge") -> bool:
    """Whether it is TransformerLens' own network and no transformers model."""
    return getattr(getattr(model, "cfg", None), "architecture", None) == NATIVE


def is_encoder(model: "TransformerBridge") -> bool:
    """BERT's kind: norms stand behind the sums, and a head of its own makes the logits. No native model is one, whichever way it reads."""
    return getattr(getattr(model, "cfg", None), "attention_dir", "causal") != "causal" and not is_native(model)


def has_norms(model: "TransformerBridge") -> bool:
    """Whether norms stand before its parts; a native model can be without any, and every transformers model that is served has some."""
    return not (is_native(model) and model.cfg.normalization_type is None and not model.cfg.final_rms)


def takes_out_mean(norm: Any) -> bool:
    """Whether a norm of a bridge is a LayerNorm, which takes the stream's mean out; an RMSNorm, or none at all, leaves it there."""
    return hasattr(norm, "hook_scale") and not norm.uses_rms_norm


def native_divisor(model: "TransformerBridge", layer: int = 0) -> float:
    """What a native model's attention divides scores by, whatever its configuration says."""
    return float(model.blocks[layer].attn.original_component.scale)


def native_rotated(model: "TransformerBridge", *heads: "Tensor") -> "tuple[Tensor, ...]":
    """Queries and keys [prompt, pos, d_head] of a native model as its attention multiplies them: turned where positions are rotary."""
    rotary = model.original_model.rotary
    return heads if rotary is None else tuple(rotary.apply_rope(some[:, None], some[:, None])[0][:, 0] for some in heads)
