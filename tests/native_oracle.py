"""HookedTransformer written by hand, as plain functions of its state dict: what native models are checked against.

It knows neither TransformerLens nor mechcheck. `change` sees every activation by its hook's name, and what it returns goes on.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Change = Callable[[str, Tensor], Tensor]
Settings = Mapping[str, Any]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * torch.sigmoid(x),
    "solu_ln": lambda x: x * x.softmax(-1),
}


def random_weights(settings: Settings, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of HookedTransformer in float64 in which every weight has a visible effect."""
    generator = torch.Generator().manual_seed(seed)
    n, d, h = settings["n_heads"], settings["d_model"], settings["d_head"]
    kv, under = (settings["n_key_value_heads"], "_") if settings.get("n_key_value_heads") else (n, "")
    out = settings.get("d_vocab_out") or settings["d_vocab"]

    def drawn(*shape: int, around: float = 0.0, size: float = 0.5) -> Tensor:
        return around + size * torch.randn(*shape, generator=generator, dtype=torch.float64)

    def norm(name: str, width: int, kind: str | None) -> dict[str, Tensor]:
        gain = {f"{name}.w": drawn(width, around=1.0, size=0.2)} if kind in ("LN", "RMS") else {}
        return gain | ({f"{name}.b": drawn(width, size=0.2)} if kind == "LN" else {})

    weights = {"embed.W_E": drawn(settings["d_vocab"], d)}
    if settings.get("positional_embedding_type", "standard") == "standard":
        weights["pos_embed.W_pos"] = drawn(settings["n_ctx"], d)
    kind = settings["normalization_type"]
    for layer in range(settings["n_layers"]):
        block = f"blocks.{layer}."
        weights |= norm(block + "ln1", d, kind)
        for name, heads in (("W_Q", n), (f"{under}W_K", kv), (f"{under}W_V", kv)):
            weights[f"{block}attn.{name}"] = drawn(heads, d, h)
            weights[f"{block}attn.{name.replace('W', 'b')}"] = drawn(heads, h, size=0.2)
        weights[block + "attn.W_O"] = drawn(n, h, d)
        weights[block + "attn.b_O"] = drawn(d, size=0.2)
        weights[block + "attn.mask"] = torch.ones(settings["n_ctx"], settings["n_ctx"], dtype=torch.bool).tril()
        weights[block + "attn.IGNORE"] = torch.tensor(-torch.inf)
        if settings.get("attn_only"):
            continue
        weights |= norm(block + "ln2", d, kind)
        width = settings["d_mlp"]
        gated = settings.get("gated_mlp")
        weights |= {f"{block}mlp.W_in": drawn(d, width), f"{block}mlp.W_out": drawn(width, d)}
        weights |= {f"{block}mlp.W_gate": drawn(d, width)} if gated else {}
        weights |= {f"{block}mlp.b_in": drawn(width, size=0.2 * (not gated)), f"{block}mlp.b_out": drawn(d, size=0.2 * (not gated))}
        if settings["act_fn"] == "solu_ln":
            weights |= norm(block + "mlp.ln", width, "LN")
    weights |= norm("ln_final", d, "RMS" if settings.get("final_rms") and kind == "LN" else kind)
    return weights | {"unembed.W_U": drawn(d, out), "unembed.b_U": drawn(out, size=0.2)}


def forward(weights: Mapping[str, Tensor], settings: Settings, tokens: Tensor, lengths: Tensor, change: Change = lambda _, x: x) -> Tensor:
    """Logits [prompt, pos, d_vocab_out]; in a model that reads both ways nothing is seen beyond a prompt's length."""
    n, h = settings["n_heads"], settings["d_head"]
    width = tokens.shape[1]
    eps, kind = settings.get("eps", 1e-5), settings["normalization_type"]

    def norm(name: str, x: Tensor, kind: str | None) -> Tensor:
        if kind is None:
            return x
        if kind.startswith("LN"):
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
        return x * weights.get(f"{name}.w", 1.0) + weights.get(f"{name}.b", 0.0)

    def part(block: str, name: str) -> Tensor:
        found = weights[f"{block}attn.{name}"] if f"{block}attn.{name}" in weights else weights[f"{block}attn._{name}"]
        return found

    x = weights["embed.W_E"][tokens]
    if "pos_embed.W_pos" in weights:
        x = x + weights["pos_embed.W_pos"][:width]
    sees = torch.ones(width, width, dtype=torch.bool)
    sees = sees.tril() if settings.get("attention_dir", "causal") == "causal" else sees
    real = torch.arange(width) < lengths[:, None]
    seen = sees & (real[:, None, None] if settings.get("attention_dir", "causal") != "causal" else True)
    scale = 1.0 if settings.get("use_attn_scale") is False else math.sqrt(h)
    for layer in range(settings["n_layers"]):
        block = f"blocks.{layer}."
        x = change(block + "hook_resid_pre", x)
        normed = norm(block + "ln1", x, kind)
        made = {}
        for name in "QKV":
            made[name] = torch.einsum("bpd,hdk->bphk", normed, part(block, f"W_{name}")) + part(block, f"b_{name}")
            made[name] = change(f"{block}attn.hook_{name.lower()}", made[name])
        q, k, v = made["Q"], made["K"], made["V"]
        if settings.get("positional_embedding_type") == "rotary":
            q, k = (_turned(some, settings) for some in (q, k))
        k, v = (some.repeat_interleave(n // some.shape[2], dim=2) for some in (k, v))
        scores = torch.einsum("bqhk,bphk->bhqp", q, k) / scale
        pattern = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        pattern = change(f"{block}attn.hook_pattern", pattern)
        z = change(f"{block}attn.hook_z", torch.einsum("bhqp,bphk->bqhk", pattern, v))
        attn_out = torch.einsum("bqhk,hkd->bqd", z, weights[block + "attn.W_O"]) + weights[block + "attn.b_O"]
        x = x + change(block + "hook_attn_out", attn_out)
        if not settings.get("attn_only"):
            x = x + change(block + "hook_mlp_out", _mlp(weights, settings, block, norm(block + "ln2", x, kind), norm, change))
        x = change(block + "hook_resid_post", x)
    x = norm("ln_final", x, "RMS" if settings.get("final_rms") and kind == "LN" else kind)
    return x @ weights["unembed.W_U"] + weights["unembed.b_U"]


def _mlp(weights: Mapping[str, Tensor], settings: Settings, block: str, x: Tensor, norm: Callable, change: Change) -> Tensor:
    act = ACTIVATIONS[settings["act_fn"]]
    into = x @ weights[block + "mlp.W_in"] + weights[block + "mlp.b_in"]
    neurons = act(x @ weights[block + "mlp.W_gate"]) * into if settings.get("gated_mlp") else act(into)
    if settings["act_fn"] == "solu_ln":
        neurons = norm(block + "mlp.ln", neurons, "LN")
    neurons = change(block + "mlp.hook_post", neurons)
    return neurons @ weights[block + "mlp.W_out"] + weights[block + "mlp.b_out"]


def _turned(x: Tensor, settings: Settings) -> Tensor:
    """[prompt, pos, head, d_head] with rotary positions, as complex numbers: pairs of neighbours, or of the two halves."""
    rotary = settings.get("rotary_dim") or settings["d_head"]
    turned, rest = x[..., :rotary], x[..., rotary:]
    near = settings.get("rotary_adjacent_pairs")
    pairs = turned.unflatten(-1, (-1, 2)) if near else turned.unflatten(-1, (2, -1)).transpose(-1, -2)
    speeds = 10000.0 ** (-torch.arange(0, rotary, 2, dtype=torch.float64) / rotary)
    angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * speeds
    rotated = torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles)[:, None]
    back = torch.view_as_real(rotated)
    return torch.cat([(back if near else back.transpose(-1, -2)).flatten(-2), rest], dim=-1)
