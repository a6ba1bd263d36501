"""Small random dictionaries of every architecture, and what they compute, written down by hand."""

from typing import Any

import torch
from torch import Tensor

from mechcheck.notation.dictionaries import Dictionary

ARCHITECTURES = ("standard", "topk", "jumprelu", "gated")


def made(architecture: str, hook: str, d: int, *, d_sae: int = 12, seed: int = 0, dtype=torch.float64, **others: Any) -> Dictionary:
    """Random weights, large enough that some features fire on most activations and none on all."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return (0.4 * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)

    d_in = others.pop("d_in", d)
    of = {"W_enc": drawn(d_in, d_sae), "W_dec": drawn(d_sae, d), "b_dec": drawn(d)}
    if architecture == "gated":
        of |= {"b_gate": drawn(d_sae), "b_mag": drawn(d_sae), "r_mag": drawn(d_sae)}
    else:
        of["b_enc"] = drawn(d_sae)
    if architecture == "jumprelu":
        of["threshold"] = drawn(d_sae).abs()
    if architecture == "topk":
        others = {"k": 4} | others
    return Dictionary(hook=hook, architecture=architecture, **of, **others)


def encoded_by_hand(d: Dictionary, x: Tensor) -> Tensor:
    """One activation's features, by the formula of each paper, component by component."""
    if d.normalise == "layer_norm":
        x = (x - x.mean()) / (x.std() + 1e-5)
    if d.normalise == "constant_norm_rescale":
        x = x * len(x) ** 0.5 / x.norm()
    if d.subtract_b_dec and d.reads is None:
        x = x - d.b_dec
    found = []
    for i in range(d.d_sae):
        along = sum(x[j] * d.W_enc[j, i] for j in range(len(x)))
        if d.architecture == "gated":
            magnitude = along * torch.exp(d.r_mag[i]) + d.b_mag[i]
            found.append(magnitude.clamp(min=0) if along + d.b_gate[i] > 0 else torch.zeros_like(along))
            continue
        pre = along + d.b_enc[i]
        opens = d.threshold[i] if d.architecture == "jumprelu" else 0.0
        found.append(pre if pre > max(opens, 0) else torch.zeros_like(pre))
    features = torch.stack(found)
    if d.architecture == "topk":
        pre = (x[:, None] * d.W_enc).sum(0) + d.b_enc
        kept = sorted(range(d.d_sae), key=lambda i: -float(pre[i]))[: d.k]
        features = torch.stack([pre[i].clamp(min=0) if i in kept else torch.zeros_like(pre[i]) for i in range(d.d_sae)])
    return features


def decoded_by_hand(d: Dictionary, features: Tensor, x: Tensor) -> Tensor:
    """What features say of the activation that they were read of."""
    found = d.b_dec + sum(features[i] * d.W_dec[i] for i in range(d.d_sae))
    if d.reads is not None:
        return found if d.W_skip is None else found + d.W_skip @ x
    if d.normalise == "layer_norm":
        return found * (x - x.mean()).std() + x.mean()
    return found * x.norm() / len(x) ** 0.5 if d.normalise == "constant_norm_rescale" else found
