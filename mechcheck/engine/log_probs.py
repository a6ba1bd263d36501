"""Log-probabilities of single tokens, from logits that are summed as they come and not kept."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic.model import Arithmetic

# Rows and tokens of the logits that are there at once. On a CPU they stay in the second cache (1 MiB in float32), where the product that
# makes them and what reads them are fastest; an accelerator wants work for all of its cores.
_CPU = (512, 512)
_ACCELERATOR = (8192, 8192)


def log_probs(
    arithmetic: Arithmetic,
    streams: Float[Tensor, "*axis d_model"],
    cells: tuple[Int[Tensor, " row"], ...],
    tokens: Int[Tensor, "which row"],
) -> Float[Tensor, "which row"]:
    """The log-probability, in nats and in float64, of some tokens behind some last streams.

    Args:
        arithmetic: of a model without a prediction head of its own.
        streams: after the last layer, before the final norm.
        cells: which of them, an index for each axis.
        tokens: which tokens, for each of these.
    """
    rows, width = _CPU if streams.device.type == "cpu" else _ACCELERATOR
    found = streams.new_empty(tokens.shape, dtype=torch.float64)
    for start in range(0, tokens.shape[1], rows):
        some = slice(start, start + rows)
        found[:, some] = _of_block(arithmetic, streams[tuple(index[some] for index in cells)], tokens[:, some], width)
    return found


def _of_block(arithmetic: Arithmetic, streams: Tensor, tokens: Tensor, width: int) -> Float[Tensor, "which row"]:
    own = streams.new_zeros(tokens.shape, dtype=torch.float64)
    largest = streams.new_full(streams.shape[:1], -torch.inf, dtype=torch.float64)
    total = torch.zeros_like(largest)  # of exp(logit - largest)
    for first, logits in arithmetic.logit_pieces(streams, width):
        place = tokens - first
        here = (place >= 0) & (place < logits.shape[1])
        own = torch.where(here, logits.gather(1, place.clamp(0, logits.shape[1] - 1).T).T.double(), own)
        top = logits.amax(1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)  # a piece may be all -inf
        added = logits.sub_(top).exp_().sum(1).double()
        before, largest = largest, torch.maximum(largest, top[:, 0].double())
        total = total * (before - largest).exp() + added * (top[:, 0].double() - largest).exp()
    return own - largest - total.log()
