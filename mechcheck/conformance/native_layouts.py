"""TransformerLens' own models that are tested: a tiny random one of each kind, as a directory that `keep_native` writes."""

from pathlib import Path
from typing import Any

import torch

from mechcheck.conformance.layouts import CONTEXT, D_HEAD, N_HEADS, N_LAYERS, Layout, byte_level
from mechcheck.models.native import keep_native
from mechcheck.models.native_config import native_config
from mechcheck.models.native_weights import expected_shapes

_COMMON: dict[str, Any] = {
    "n_layers": N_LAYERS, "n_heads": N_HEADS, "d_head": D_HEAD, "d_model": N_HEADS * D_HEAD, "n_ctx": CONTEXT, "d_mlp": 20,
    "act_fn": "relu",
}  # fmt: skip
_BARE = {"normalization_type": None}

NATIVE_LAYOUTS: dict[str, Layout] = {
    "native": Layout("Native", "TransformerLens' own: LayerNorm, ReLU, learned positions", "", {}, {}),
    "native-attention": Layout(
        "Native, attention alone", "no norms, no MLPs, heads wider than the stream", "", _BARE | {"attn_only": True, "d_model": 6}, {}
    ),
    "native-both-ways": Layout(
        "Native, both ways", "as Tracr compiles: no norms, reads in both directions, scores that are not scaled", "",
        _BARE | {"attention_dir": "bidirectional", "attn_scale": 1.0}, {},
    ),
    "native-output": Layout(
        "Native, own output", "another vocabulary for the output, grouped queries, RMSNorm, gated MLP, rotary positions", "",
        {"normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu", "positional_embedding_type": "rotary",
         "n_key_value_heads": N_HEADS // 2, "d_vocab_out": 7}, {},
    ),
}  # fmt: skip


def save_native_layout(name: str, directory: Path, seed: int = 0) -> Path:
    """Write a model of random weights that all have a visible effect, with a tokenizer; `d_vocab_out` is how many tokens more it writes."""
    tokenizer = byte_level()
    settings = _COMMON | {"d_vocab": len(tokenizer)} | NATIVE_LAYOUTS[name].settings
    if "d_vocab_out" in settings:
        settings["d_vocab_out"] += len(tokenizer)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for weight, shape in expected_shapes(native_config(settings, hooked=False)).items():
        norm = ".ln" in f".{weight}"
        weights[weight] = torch.randn(shape, generator=generator) * (0.2 if norm or weight.endswith("bias") else 0.35)
        weights[weight] += 1.0 if norm and weight.endswith("weight") else 0.0
    return keep_native(weights, settings, directory, tokenizer=tokenizer)
