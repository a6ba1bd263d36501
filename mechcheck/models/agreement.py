"""Does a loaded model compute what transformers computes with the same weights, and does each of its hooks hold what its sites mean?"""

from collections.abc import Container
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.notation.limits import SHAPED, misfit

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_LENGTH = 16
"""Tokens of a sequence; a sliding window shows only where it is shorter."""

# Root mean square of the differences of log-probabilities, as a part of that of the centred log-probabilities. Measured on the layouts of
# the support table: 2e-6 in float32 and 4e-2 in bfloat16 where weights are folded, which rounds them once more; a model that is
# computed wrongly is off by 0.1 and more.
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.03, torch.bfloat16: 0.08}

_FLAT = 0.1
"""Nats. Where all tokens are nearly as probable, what rounding makes of large activations is no smaller for it."""


class Prediction(NamedTuple):
    """What a model says after each token of a few sequences."""

    tokens: Int[Tensor, "sequence pos"]
    log_probs: Float[Tensor, "sequence pos d_vocab"]
    """In float64, on the CPU."""


def probe(config: Any) -> Int[Tensor, "sequence pos"]:
    """A few sequences for a model with this configuration of transformers (of the part that reads text)."""
    sizes = {getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads")}
    context = getattr(config, "max_position_embeddings", None) or _LENGTH
    return _sequences(config.vocab_size, context - 2, sizes, getattr(config, "pad_token_id", None))  # RoBERTa's first two are no positions


def probe_of(model: "TransformerBridge") -> Int[Tensor, "sequence pos"]:
    """A few sequences for a bridge."""
    return _sequences(model.cfg.d_vocab, model.cfg.n_ctx, {model.cfg.n_heads, model.cfg.n_key_value_heads}, None)


def _sequences(vocabulary: int, context: int, sizes: Container[int | None], padding: int | None) -> Int[Tensor, "sequence pos"]:
    """Two sequences of random tokens that are no padding, the same ones each time; as long as is no size that could be mistaken for it."""
    length = next((n for n in range(min(_LENGTH, context), 1, -1) if n not in sizes), 1)
    tokens = torch.randint(vocabulary, (2, length), generator=torch.Generator().manual_seed(0))
    return tokens if padding is None else torch.where(tokens == padding, (padding + 1) % vocabulary, tokens)


def predict(model: torch.nn.Module, tokens: Int[Tensor, "sequence pos"], *, encoder: bool) -> Prediction:
    """What a model of transformers, or a bridge, says."""
    device = next(model.parameters()).device
    mask = {"attention_mask": torch.ones_like(tokens, device=device)} if encoder else {}
    with torch.no_grad():
        out = model(tokens.to(device), **mask)
    logits = out if isinstance(out, Tensor) else out.logits
    return Prediction(tokens, logits.detach().cpu().double().log_softmax(-1))


def disagreement(found: Prediction, right: Prediction, dtype: torch.dtype) -> str | None:
    """How far a prediction is from the right one, where that is more than rounding can make of it; else None."""
    both = right.log_probs.isfinite() & found.log_probs.isfinite()
    if not torch.equal(right.log_probs.isfinite(), found.log_probs.isfinite()):
        return "some of its predictions are not finite numbers, and others than where transformers computes it"
    if not both.any():
        return None
    centred = right.log_probs - right.log_probs.mean(-1, keepdim=True)
    scale, off = (float(x[both].square().mean().sqrt()) for x in (centred, found.log_probs - right.log_probs))
    if off <= TOLERANCE[dtype] * max(scale, _FLAT):
        return None
    worst = float((found.log_probs - right.log_probs)[both].abs().max())
    return f"log-probabilities of tokens differ by up to {worst:.2g}"


def mend_hooks(model: "TransformerBridge") -> None:
    """Cut what the heads of multi-head latent attention (DeepSeek) hold where one head ends and the next begins.

    TransformerLens cuts it by the width of other models' heads, and keeps values by head and not by position. Queries and keys stay
    as they are: its hooks hold them after their rotation, which is not where sites stand.
    """
    for block in getattr(model, "blocks", ()):
        attention = getattr(block, "attn", None)
        width = getattr(getattr(attention, "original_component", None), "v_head_dim", None)
        if attention is None or width is None:
            continue
        attention.o.hook_in.hook_conversion = type(attention.o.hook_in.hook_conversion)(model.cfg.n_heads, width)
        attention.hook_v.hook_conversion = type(attention.hook_rot_q.hook_conversion)()  # swaps positions and heads
        model.cfg.d_head = width


def misplaced(model: "TransformerBridge", tokens: Int[Tensor, "sequence pos"]) -> tuple[Prediction, dict[str, str]]:
    """What the model says, and from the same run the hooks that hold something else than the sites that are cut out of them."""
    known = model.hook_dict
    found: dict[str, str] = {}

    def look(activation: Any, hook: Any, name: str) -> None:
        wrong = misfit(model, name, activation, *tokens.shape)
        if wrong is not None:
            found[name] = wrong

    names = (f"blocks.{layer}.{part}" for layer in range(model.cfg.n_layers) for part in SHAPED)
    with model.hooks(fwd_hooks=[(name, partial(look, name=name)) for name in names if name in known]):
        return predict(model, tokens, encoder=is_encoder(model)), found
