"""Folding a native model's norms into the weights behind them: the same predictions, and weights whose products mean something.

What TransformerLens' compatibility mode does to other models in float32, in float64: the gains and biases of the norms go into the
weights that read behind them, what a LayerNorm takes out is taken out of what is written and read, value biases go into the output's
bias, and W_U loses what it adds to every logit alike.
"""

import torch
from torch import Tensor

from mechcheck.models.native_config import NativeConfig
from mechcheck.models.native_weights import Weights


def why_not_folded(config: NativeConfig, weights: Weights) -> str | None:
    """Why the norms stay as they are; None where they can be folded."""
    if config.normalization_type is None:
        return "it has no norms that could be folded"
    if config.gated_mlp and any(bool(value.any()) for name, value in weights.items() if name.endswith("ln2.bias")):
        return "the biases of its norms cannot be folded into gated MLPs, which have none"
    return None


def folded(config: NativeConfig, weights: Weights) -> Weights:
    """The weights of the same function with norms that have gains of one and no biases."""
    made = {name: value.double() for name, value in weights.items()}
    centred = (config.normalization_type or "").startswith("LN")
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        _fold(made, block + "ln1", [f"{block}attn.{part}" for part in "qkv"], centred=centred)
        _move_value_biases(made, block + "attn.", config)
        if not config.attn_only:
            readers = ("gate", "in") if config.gated_mlp else ("in",)
            _fold(made, block + "ln2", [f"{block}mlp.{part}" for part in readers], centred=centred)
    _fold(made, "ln_final", ["unembed"], centred=centred and not config.final_rms)
    if centred and not config.final_rms:
        _centre_writers(made)
    if config.output_logits_soft_cap <= 0:
        for name in ("unembed.weight", "unembed.bias"):
            made[name] = made[name] - made[name].mean(0)
    return made


def _fold(made: Weights, norm: str, readers: list[str], *, centred: bool) -> None:
    gain, bias = made.get(f"{norm}.weight"), made.get(f"{norm}.bias")
    for reader in readers:
        weight = made[f"{reader}.weight"]
        if bias is not None and f"{reader}.bias" in made:
            made[f"{reader}.bias"] = made[f"{reader}.bias"] + weight @ bias
        weight = weight if gain is None else weight * gain
        made[f"{reader}.weight"] = _without_mean(weight, 1) if centred else weight
    if gain is not None:
        made[f"{norm}.weight"] = torch.ones_like(gain)
    if bias is not None:
        made[f"{norm}.bias"] = torch.zeros_like(bias)


def _move_value_biases(made: Weights, attention: str, config: NativeConfig) -> None:
    """Each row of attention adds up to one, so that a value's bias is written whatever is attended to."""
    bias = made[f"{attention}v.bias"]
    shared = config.n_heads // (config.n_key_value_heads or config.n_heads)
    of_heads = bias.unflatten(0, (-1, config.d_head)).repeat_interleave(shared, dim=0).flatten()
    made[f"{attention}o.bias"] = made[f"{attention}o.bias"] + made[f"{attention}o.weight"] @ of_heads
    made[f"{attention}v.bias"] = torch.zeros_like(bias)


def _centre_writers(made: Weights) -> None:
    """Every norm takes out the stream's mean, so that nobody sees what is written there."""
    for name in made:
        if name in ("embed.weight", "pos_embed.weight"):
            made[name] = _without_mean(made[name], 1)
        elif name.split(".", 2)[-1] in ("attn.o.weight", "attn.o.bias", "mlp.out.weight", "mlp.out.bias"):
            made[name] = _without_mean(made[name], 0)


def _without_mean(weight: Tensor, dim: int) -> Tensor:
    return weight - weight.mean(dim, keepdim=True)
