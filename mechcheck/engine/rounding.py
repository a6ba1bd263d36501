"""How far rounding alone moves a stream: what lies below it is no effect, whatever the size of the stream's other components."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic.layer import Layer
from mechcheck.engine.edit import select
from mechcheck.engine.untouched import Untouched

Streams = Float[Tensor, "variant prompt read d_model"]

# Units in the last place of a component's scale that two orders of summation may lie apart; seen are up to 7, and true effects of
# single heads from 100,000 on.
_UNITS = 64
# What the bound itself may be rounded down by.
_ROUNDED = 1e-3


def settled(streams: Streams, base: Untouched, positions: Int[Tensor, "prompt read"], skipped: int) -> Streams:
    """The untouched stream itself where a variant differs from it by rounding errors alone, so that no effect is exactly none.

    `positions` are those that are read, of which the first few (`skipped`) are not among the streams.

    Each component is told by its own scale, the sum of the sizes that make it up: rounding errors of a sum grow with these
    (Higham 2002, section 3.1). A component of some thousands, as large models have, takes no part in the others' scale.
    """
    clean = select(base.last, positions[:, skipped:])
    if streams.dtype not in (torch.float32, torch.float64):
        return streams
    units = _UNITS * torch.finfo(streams.dtype).eps
    moved = (streams - clean).abs()
    bound = at_most(base, positions)
    if bound is not None and not (moved <= units * bound[:, skipped:]).all(-1).any():
        return streams
    same = (moved <= units * scale(base, positions)[:, skipped:]).all(-1)
    return torch.where(same[..., None], clean, streams)


def at_most(base: Untouched, positions: Int[Tensor, "prompt read"]) -> Float[Tensor, "prompt read d_model"] | None:
    """What no scale exceeds, at the cost of no product of matrices: |x||w| is at least the sum of the sizes in x @ w. None: not known.

    It is no scale itself, for in it one large neuron makes all components large that any neuron writes to.
    """
    if base.arithmetic.post_norm:
        return None
    if base.bound is not None and torch.equal(base.bound[0], positions):
        return base.bound[1]
    found = select(base.last, positions).abs()
    for kept, (o, out) in zip(base.layers, base.arithmetic.column_norms, strict=True):
        found = torch.maximum(found, select(kept.resid_pre, positions).abs())
        found = torch.maximum(found, select(kept.z, positions).norm(dim=-1, keepdim=True) * o)
        if out is not None and kept.neuron_norm is not None:
            found = torch.maximum(found, select(kept.neuron_norm, positions)[..., None] * out)
    base.bound = (positions, found * (1 + _ROUNDED))
    return base.bound[1]


def scale(base: Untouched, positions: Int[Tensor, "prompt read"]) -> Float[Tensor, "prompt read d_model"]:
    """The largest sum of sizes |x| @ |W| that a layer adds to each component of the stream there, or the component itself."""
    if base.scale is None or not torch.equal(base.scale[0], positions):
        found = select(base.last, positions).abs()
        for number, layer in enumerate(base.arithmetic.layers):
            found = _with_layer(base, number, layer, positions, found)
        base.scale = (positions, found)
    return base.scale[1]


def _with_layer(base: Untouched, number: int, layer: Layer, positions: Tensor, scale: Tensor) -> Tensor:
    known, kept = base.arithmetic, base.layers[number]
    stream, z, attn_out = (select(part, positions) for part in (kept.resid_pre, kept.z, kept.attn_out))
    between = known.after_attention(layer, stream, attn_out)
    from_heads = z.abs() @ layer.o.weight.abs()
    largest = torch.stack([scale, stream.abs(), from_heads]).amax(0)
    if layer.mlp is None:
        return largest
    neurons = known.neurons(layer, stream if known.parallel else between)
    from_mlp = neurons.abs() @ layer.mlp.out.weight.abs()
    if not known.post_norm:
        return torch.maximum(largest, from_mlp)
    assert layer.ln1 is not None
    assert layer.ln2 is not None
    first = _behind_norm(layer.ln1.weight, stream + attn_out, from_heads)
    mlp_out = layer.mlp.out(neurons)
    return torch.maximum(scale, _behind_norm(layer.ln2.weight, between + mlp_out, torch.maximum(first, from_mlp)))


def _behind_norm(gain: Tensor | None, summed: Tensor, scale: Tensor) -> Tensor:
    """What a norm makes of the scale of that which enters it: as large a share of the sum as before."""
    by = 1.0 if gain is None else gain.abs()
    return torch.maximum(summed.abs(), scale) * by / summed.std(-1, keepdim=True, correction=0)
