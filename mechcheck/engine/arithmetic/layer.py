"""One block of a transformer as weights and functions of tensors, and how it is taken from a bridge."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mechcheck.engine.arithmetic.packing import multiply, pack
from mechcheck.engine.arithmetic.work import multiplied


def _tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), _tanh_gelu),
    "gelu": F.gelu,
    **dict.fromkeys(("silu", "swish"), F.silu),
    "relu": F.relu,
}
# What oneDNN computes right behind a product, while it has the numbers at hand (measured on GPT-2 small's shape: a fifth of the time).
_BEHIND_A_PRODUCT = {_tanh_gelu: ("gelu", "tanh"), F.gelu: ("gelu", "none"), F.silu: ("swish", ""), F.relu: ("relu", "")}


class Unserved(Exception):
    """Why this arithmetic does not cover a model or an intervention; the plain runner does."""


class Linear(NamedTuple):
    """x @ weight + bias."""

    weight: Float[Tensor, "d_in d_out"]
    bias: Float[Tensor, " d_out"] | None
    packed: Tensor | None = None
    """The same weights as `packing` lays them out."""

    def __call__(self, x: Float[Tensor, "... d_in"], then: Callable[[Tensor], Tensor] | None = None) -> Float[Tensor, "... d_out"]:
        """`then` is applied to each number that comes out."""
        flat = x.reshape(-1, x.shape[-1])
        multiplied(2 * len(flat) * self.weight.numel(), x)
        if self.packed is not None and not (torch.is_grad_enabled() and x.requires_grad):
            named = None if then is None else _BEHIND_A_PRODUCT.get(then)
            out = multiply(flat, self.packed, self.bias, named) if named else multiply(flat, self.packed, self.bias)
            then = None if named else then
        else:
            out = flat @ self.weight if self.bias is None else torch.addmm(self.bias, flat, self.weight)
        out = out if then is None else then(out)
        return out.view(*x.shape[:-1], out.shape[-1])

    def changed(self, weight: Float[Tensor, "d_in d_out"]) -> "Linear":
        """With other weights and the same bias."""
        return Linear(weight, self.bias)

    def with_packed(self) -> "Linear":
        """The same, faster to multiply with."""
        return self._replace(packed=pack(self.weight))

    def columns(self, first: int, end: int | None) -> "Linear":
        """The part that computes some of the outputs."""
        return Linear(self.weight[:, first:end], None if self.bias is None else self.bias[first:end])


class Norm(NamedTuple):
    """LayerNorm, or RMSNorm."""

    weight: Float[Tensor, " d"] | None
    bias: Float[Tensor, " d"] | None
    eps: float
    rms: bool

    def __call__(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        if self.rms:
            return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class Mlp(NamedTuple):
    """act(into(x)) or act(gate(x)) * into(x), then out."""

    into: Linear
    gate: Linear | None
    out: Linear
    act: Callable[[Tensor], Tensor]

    def neurons(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d_mlp"]:
        """The hidden activations that `out` reads."""
        return self.into(x, self.act) if self.gate is None else self.gate(x, self.act) * self.into(x)


class Layer(NamedTuple):
    """The weights of one block."""

    ln1: Norm | None
    """None: there is no norm, as there is no MLP where it is None."""
    ln2: Norm | None
    qkv: Linear
    """Queries of all heads, then keys and values of all key/value heads."""
    o: Linear
    mlp: Mlp | None

    @property
    def products(self) -> list[Linear]:
        """All that its rows are multiplied with."""
        mlp = () if self.mlp is None else (self.mlp.into, self.mlp.gate, self.mlp.out)
        return [self.qkv, self.o, *(one for one in mlp if one is not None)]

    def with_packed(self) -> "Layer":
        """The same, faster to multiply with."""
        mlp = self.mlp
        if mlp is not None:
            gate = None if mlp.gate is None else mlp.gate.with_packed()
            mlp = mlp._replace(into=mlp.into.with_packed(), gate=gate, out=mlp.out.with_packed())
        return self._replace(qkv=self.qkv.with_packed(), o=self.o.with_packed(), mlp=mlp)


def layer_of(block: Any, act: str) -> Layer:
    """The block's weights; `act` is the name of its activation function."""
    attn, mlp = block.attn, getattr(block, "mlp", None)
    packed = [w.detach().transpose(0, 1).flatten(1) for w in (attn.W_Q, attn.W_K, attn.W_V)]
    biases = [None if b is None else b.detach().flatten() for b in (attn.b_Q, attn.b_K, attn.b_V)]
    present = [b for b in biases if b is not None]
    if present and len(present) < 3:
        raise Unserved("biases on some of q, k and v")
    return Layer(
        ln1=norm_of(block.ln1),
        ln2=norm_of(getattr(block, "ln2", None) or block.ln1),
        qkv=Linear(torch.cat(packed, dim=1), torch.cat(present) if present else None),
        o=Linear(attn.W_O.detach().flatten(0, 1), _detached(attn.b_O)),
        mlp=None if mlp is None else _mlp(mlp, act),
    )


def _mlp(mlp: Any, act: str) -> Mlp:
    gate = mlp.W_gate
    return Mlp(
        Linear(mlp.W_in.detach(), _detached(mlp.b_in)),
        None if gate is None else Linear(gate.detach(), _detached(getattr(mlp, "b_gate", None))),
        Linear(mlp.W_out.detach(), _detached(mlp.b_out)),
        ACTIVATIONS[act],
    )


def norm_of(norm: Any) -> Norm | None:
    """The norm's weights; None where a native model has the place of a norm and none in it."""
    if not hasattr(norm, "hook_scale"):
        return None
    weight, bias = _detached(getattr(norm, "weight", None)), _detached(getattr(norm, "bias", None))
    if norm.uses_weight_offset and weight is not None:
        weight = 1 + weight
    return Norm(weight, None if norm.uses_rms_norm else bias, norm.config.eps, norm.uses_rms_norm)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
