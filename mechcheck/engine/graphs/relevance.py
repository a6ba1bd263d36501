"""Rules of layer-wise relevance propagation, as arithmetic whose values are the model's and whose gradients are the rules' coefficients."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.engine.arithmetic.layer import Layer, Mlp, Norm
from mechcheck.engine.arithmetic.model import Arithmetic


class FrozenNorm(Norm):
    """A norm whose scale is a constant of the run (the LN-rule of Ali et al. 2022)."""

    def __call__(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """What the norm gives."""
        centred = x if self.rms else x - x.mean(-1, keepdim=True)
        unit = centred / (centred.detach().square().mean(-1, keepdim=True) + self.eps).sqrt()
        weighted = unit if self.weight is None else unit * self.weight
        return weighted if self.bias is None else weighted + self.bias


class HalvedMlp(Mlp):
    """An MLP whose gate and gated part have half of the relevance each (the half-rule of Arras et al. 2019)."""

    def neurons(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d_mlp"]:
        """The hidden activations that `out` reads."""
        if self.gate is None:
            return self.act(self.into(x))
        one, other = self.act(self.gate(x)), self.into(x)
        return 0.5 * (one * other.detach() + one.detach() * other)


def relevance_of(known: Arithmetic) -> Arithmetic:
    """The same arithmetic, through which gradients are propagated by the rules of RelP.

    Norms by the LN-rule, activation functions by the identity rule (the slope is act(x) / x, that of the line through 0), products of a
    gate by the half-rule. Attention and all that is linear keep their gradients. The rule by which a pattern is a constant (AH) is left
    out: by it what queries and keys read would be worth nothing.
    """
    final = None if known.final_norm is None else FrozenNorm(*known.final_norm)
    return replace(known, layers=tuple(map(_relevant, known.layers)), final_norm=final)


def _relevant(layer: Layer) -> Layer:
    ln1, ln2 = (None if norm is None else FrozenNorm(*norm) for norm in (layer.ln1, layer.ln2))
    mlp = None if layer.mlp is None else HalvedMlp(*layer.mlp._replace(act=_through_zero(layer.mlp.act)))
    return layer._replace(ln1=ln1, ln2=ln2, mlp=mlp)


def _through_zero(act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def ruled(x: Tensor) -> Tensor:
        with torch.no_grad():
            said = act(x)
            slope = torch.where(x == 0, 0.0, said / x)
        return said + slope * (x - x.detach())

    return ruled
