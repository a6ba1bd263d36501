"""A transformer's arithmetic as plain functions of tensors, so that the part of it that an intervention changes can be
computed for many interventions at once.

It serves the architectures listed below, and says so where it does not; whoever uses it compares some results with the
model's own forward pass.
"""

import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.architectures import NATIVE, is_encoder, is_native, native_divisor
from mechcheck.base.cached import cached_property
from mechcheck.base.modules import weights_of
from mechcheck.engine.arithmetic.layer import ACTIVATIONS, Layer, Linear, Norm, Unserved, layer_of, norm_of
from mechcheck.engine.arithmetic.packing import packs
from mechcheck.engine.arithmetic.work import multiplied

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_ENCODERS = ("BertForMaskedLM",)
_DECODERS = (
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "GemmaForCausalLM",
    NATIVE,
)
_ATTENTION_PARTS = {"q", "k", "v", "qkv", "o", "_original_component"}
_BLOCK_PARTS = {"ln1", "ln2", "attn", "mlp", "_original_component"}


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """A model as weights and functions."""

    layers: tuple[Layer, ...]
    n_heads: int
    n_kv_heads: int
    d_head: int
    scale: float
    """What queries are multiplied with before they meet keys."""
    parallel: bool
    """Attention and MLP read the same stream (GPT-NeoX)."""
    post_norm: bool
    """Norms stand after each sum (BERT) and not before each part."""
    causal: bool
    final_norm: Norm | None
    """None where there is none, or a head of its own has it."""
    w_u: Float[Tensor, "d_model d_vocab"]
    b_u: Float[Tensor, " d_vocab"] | None
    soft_cap: float | None
    reach: int | None
    """How many positions attention sees at most (a sliding window); None: all."""
    head: Callable[[Tensor], Tensor] | None
    """BERT's prediction head, from the last stream to logits, in place of norm and unembedding."""
    neighbours: bool
    """Rotary positions turn neighbouring components together, and not the first half with the second."""
    exact_norms: bool
    """Norms and softmax compute in the model's dtype; transformers' RMSNorm and the softmax beside it are float32 in a float64 model."""

    @property
    def precision(self) -> torch.dtype:
        """What the model itself computes in."""
        own = self.w_u.dtype
        return torch.float32 if own == torch.float64 and not self.exact_norms else own

    @cached_property
    def column_norms(self) -> tuple[tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"] | None], ...]:
        """Of each layer the lengths of the columns by which its heads, and its neurons, write to each component of the stream."""
        return tuple((layer.o.weight.norm(dim=0), None if layer.mlp is None else layer.mlp.out.weight.norm(dim=0)) for layer in self.layers)

    def attention_input(self, layer: Layer, stream: Tensor) -> Tensor:
        """What queries, keys and values are read from."""
        return stream if self.post_norm or layer.ln1 is None else layer.ln1(stream)

    def after_attention(self, layer: Layer, stream: Tensor, attn_out: Tensor) -> Tensor:
        """The stream between attention and MLP."""
        return layer.ln1(stream + attn_out) if self.post_norm and layer.ln1 is not None else stream + attn_out

    def neurons(self, layer: Layer, stream: Tensor) -> Tensor:
        """The MLP's hidden activations, from the stream that it reads: that between, or the block's input where it is parallel."""
        assert layer.mlp is not None
        return layer.mlp.neurons(stream if self.post_norm or layer.ln2 is None else layer.ln2(stream))

    def after_mlp(self, layer: Layer, stream: Tensor, mlp_out: Tensor) -> Tensor:
        """The stream that leaves the block."""
        return layer.ln2(stream + mlp_out) if self.post_norm and layer.ln2 is not None else stream + mlp_out

    def logits(self, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_vocab"]:
        """All logits of a last stream."""
        if self.head is not None:
            multiplied(2 * stream.numel() * (stream.shape[-1] + self.w_u.shape[1]), stream)
            return self.head(stream)
        return self._capped(Linear(self.w_u, self.b_u)(self._normed(stream)))

    def logits_of_few(self, stream: Float[Tensor, "row *pos d_model"]) -> Float[Tensor, "row *pos d_vocab"]:
        """The same, in a third of the time for a handful of rows, though rounded otherwise: the vocabulary stands where rows would."""
        if self.head is not None:
            return self.logits(stream)
        normed = self._normed(stream).flatten(0, -2)
        multiplied(2 * normed.numel() * self.w_u.shape[1], normed)
        found = (self.w_u.T @ normed.T).T.unflatten(0, stream.shape[:-1])
        return self._capped(found if self.b_u is None else found + self.b_u)

    def logits_of(self, stream: Float[Tensor, "row prompt d_model"], tokens: Float[Tensor, " prompt"]) -> Float[Tensor, "row prompt"]:
        """The logit of one token per prompt."""
        columns = self.w_u[:, tokens].T
        multiplied(2 * stream.numel(), stream)
        found = (self._normed(stream) * columns).sum(-1)
        return self._capped(found if self.b_u is None else found + self.b_u[tokens])

    def logit_pieces(self, stream: Float[Tensor, "row d_model"], width: int) -> Iterator[tuple[int, Float[Tensor, "row some"]]]:
        """All logits of a last stream, of `width` tokens at a time: the first of these tokens, and their logits.

        Each piece stands where the one before it stood. Not for a model with a head of its own.
        """
        normed = self._normed(stream)
        room = normed.new_empty(len(normed) * width)
        for first in range(0, self.w_u.shape[1], width):
            weight = self.w_u[:, first : first + width]
            multiplied(2 * len(normed) * weight.numel(), normed)
            piece = room[: len(normed) * weight.shape[1]].view(len(normed), -1)
            if self.b_u is None:
                torch.mm(normed, weight, out=piece)
            else:
                torch.addmm(self.b_u[first : first + width], normed, weight, out=piece)
            yield first, self._capped(piece)

    def _normed(self, stream: Tensor) -> Tensor:
        return stream if self.final_norm is None else self.final_norm(stream)

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)

    def split(self, qkv: Float[Tensor, "... d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [..., head, d_head], keys and values [..., kv_head, d_head]."""
        heads = qkv.unflatten(-1, (self.n_heads + 2 * self.n_kv_heads, self.d_head))
        return tuple(heads.split([self.n_heads, self.n_kv_heads, self.n_kv_heads], dim=-2))


_known: "weakref.WeakKeyDictionary[TransformerBridge, tuple[Any, Arithmetic]]" = weakref.WeakKeyDictionary()


def arithmetic(model: "TransformerBridge") -> Arithmetic:
    """The model's arithmetic; weights are taken once, and again when they have changed.

    Raises:
        Unserved: this architecture is not covered.
    """
    state = tuple((p.data_ptr(), p._version) for p in weights_of(model))
    known = _known.get(model)
    if known is None or known[0] != state:
        known = _known[model] = (state, _take(model))
    return known[1]


def _take(model: "TransformerBridge") -> Arithmetic:
    cfg = model.cfg
    encoder = is_encoder(model)
    _check_served(model, encoder)
    layers = tuple(layer_of(block, cfg.act_fn) for block in model.blocks)
    if packs(product.weight for layer in layers for product in layer.products):
        layers = tuple(layer.with_packed() for layer in layers)
    positive = {name: getattr(cfg, name, None) for name in ("attn_scale", "output_logits_soft_cap")}
    scale, cap = ((value if value is not None and value > 0 else None) for value in positive.values())
    b_u = getattr(model, "b_U", None)
    return Arithmetic(
        layers=layers,
        n_heads=cfg.n_heads,
        n_kv_heads=cfg.n_key_value_heads or cfg.n_heads,
        d_head=cfg.d_head,
        scale=1 / (native_divisor(model) if is_native(model) else scale or math.sqrt(cfg.d_head)),
        parallel=bool(cfg.parallel_attn_mlp),
        post_norm=encoder,
        causal=cfg.attention_dir == "causal",
        final_norm=None if encoder else norm_of(model.ln_final),
        w_u=model.W_U.detach(),
        b_u=None if b_u is None else b_u.detach(),
        soft_cap=cap,
        reach=_reach(model),
        head=_prediction_head(model) if encoder else None,
        neighbours=is_native(model),
        exact_norms=layers[0].ln1 is None or not layers[0].ln1.rms or (is_native(model) and _exact(model)),
    )


def _exact(model: "TransformerBridge") -> bool:
    """Whether a native model's RMSNorms compute in its own dtype, which those of `boot_native` do not."""
    return not any(getattr(module, "use_native_layernorm_autograd", False) for module in model.modules())


def _reach(model: "TransformerBridge") -> int | None:
    config = getattr(model.original_model, "config", None)  # a native model has none
    used = getattr(config, "use_sliding_window", True)  # Qwen2 has a width of the window that it does not use
    return getattr(config, "sliding_window", None) if used else None


def _prediction_head(model: "TransformerBridge") -> Callable[[Tensor], Tensor]:
    """BERT's own head; the model is held weakly, so that what is remembered of it does not keep it alive."""
    held = weakref.ref(model)

    def head(stream: Tensor) -> Tensor:
        owner = held()
        assert owner is not None
        return owner.original_model.cls(stream)

    return head


def _check_served(model: "TransformerBridge", encoder: bool) -> None:
    cfg = model.cfg
    if (getattr(cfg, "n_devices", None) or 1) > 1:
        raise Unserved("weights on several devices")
    if cfg.architecture not in (_ENCODERS if encoder else _DECODERS):
        raise Unserved(f"{cfg.architecture} is not among {', '.join((*_DECODERS, *_ENCODERS))}")
    if cfg.act_fn not in ACTIVATIONS and not cfg.attn_only:
        raise Unserved(f"activation function {cfg.act_fn!r}")
    if (getattr(cfg, "attn_scores_soft_cap", None) or 0) > 0:
        raise Unserved("soft-capped attention scores")
    if getattr(cfg, "scale_attn_by_inverse_layer_idx", False):
        raise Unserved("attention scaled by layer")
    if cfg.positional_embedding_type not in ("standard", "rotary"):
        raise Unserved(f"{cfg.positional_embedding_type} positions")
    for block in model.blocks:
        extra = [n for n, _ in block.named_children() if "hook" not in n and n not in _BLOCK_PARTS]
        extra += [n for n, _ in block.attn.named_children() if "hook" not in n and n not in _ATTENTION_PARTS]
        if extra:
            raise Unserved(f"blocks with {', '.join(extra)}")
        mlp = getattr(block, "mlp", None)
        served = (
            cfg.attn_only if mlp is None else type(mlp).__name__ in ("MLPBridge", "GatedMLPBridge") and getattr(mlp, "ln", None) is None
        )
        if getattr(block, "attn", None) is None or not served:
            raise Unserved(f"{type(mlp).__name__} in a block")
