"""Attention weighted by what is carried: the size of each value that a query receives, and how alike queries become by it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import head_pairs, pattern_readers
from mechcheck.models.architecture import require_plain_writes
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Through = Literal["v", "v_o"]
RowsOf = Literal["pattern", "z", "z_o"]


def value_weighted_attention(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    through: Through = "v",
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[Tensor, "prompt head q k"]:
    """The norm of what each key sends to each query: attention times the norm of the key's value vector.

    The norm-based analysis of Kobayashi et al. 2020 (arXiv:2004.10102): a head can attend to a token and take nothing from it.
    Value biases count; in a folded model they are part of the output bias and so of no head.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        sites: heads; the maps come in their order (sorted by layer and head). Positions in the sites do not matter. With
            grouped queries, head h takes the values of key-value head h // group.
        through: "v" for the value vector as it is, "v_o" for what it becomes in the stream, behind the head's part of W_O.
        interventions: applied in the same forward pass.

    Returns:
        Norms in the units of the value (or of the stream); zero where the query or the key is padding.

    Raises:
        SiteError: no heads, or heads the model does not have.
        MechcheckError: another `through`, or "v_o" where a norm stands behind W_O.
    """
    if through not in ("v", "v_o"):
        raise MechcheckError(f'unknown through={through!r}; choose "v" or "v_o"')
    pairs = head_pairs(model, sites)
    if through == "v_o":
        require_plain_writes(model, "no head alone decides what it writes")
    w_o = model.W_O if through == "v_o" else None

    def norms(values: Tensor, rows: Rows, layer: int, head: int) -> Tensor:
        value = values[:, :, head // (model.cfg.n_heads // values.shape[2])]
        carried = value if w_o is None else value @ w_o[layer, head].to(value.dtype)
        return carried.norm(dim=-1).masked_fill(~is_token(rows).to(value.device), 0.0)

    readers: dict = pattern_readers(pairs, interventions)
    for layer, head in pairs:
        readers["norm", layer, head] = (
            f"blocks.{layer}.attn.hook_v",
            lambda values, rows, layer=layer, head=head: norms(values, rows, layer, head),
        )
    recorded = observe(model, prompts, readers, interventions)
    return torch.stack([recorded[pair] * recorded["norm", *pair][:, None, :] for pair in pairs], dim=1)


@usual_torch()
def row_cosines(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    of: RowsOf = "z",
    interventions: Sequence[Intervention] | Intervention = (),
) -> Float[Tensor, "prompt head q q2"]:
    """How alike two positions are in a head: the cosine of their attention patterns, or of what these bring them.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        sites: heads, as for `value_weighted_attention`.
        of: "pattern" for attention before the value matrix, "z" for the head's output behind it, "z_o" for that behind W_O.
        interventions: applied in the same forward pass.

    Returns:
        Cosines between -1 and 1; zero on padding, NaN where a position's row is all zero and so has no direction.

    Raises:
        SiteError: no heads, or heads the model does not have.
        MechcheckError: another `of`.
    """
    if of not in ("pattern", "z", "z_o"):
        raise MechcheckError(f'unknown of={of!r}; choose "pattern", "z" or "z_o"')
    pairs = head_pairs(model, sites)
    w_o = model.W_O if of == "z_o" else None

    def output(z: Tensor, layer: int, head: int) -> Tensor:
        return z[:, :, head] if w_o is None else z[:, :, head] @ w_o[layer, head].to(z.dtype)

    outputs: dict = {pair: (f"blocks.{pair[0]}.attn.hook_z", lambda z, rows, pair=pair: output(z, *pair)) for pair in pairs}
    recorded = observe(model, prompts, pattern_readers(pairs) if of == "pattern" else outputs, interventions)
    return torch.stack([_cosines(recorded[pair], prompts) for pair in pairs], dim=1)


def _cosines(rows: Float[Tensor, "prompt pos d"], prompts: PromptSet) -> Float[Tensor, "prompt pos pos"]:
    unit = rows / rows.norm(dim=-1, keepdim=True)
    real = is_token(Rows(prompts, slice(None))).to(rows.device)
    return (unit @ unit.transpose(-1, -2)).masked_fill(~(real[:, :, None] & real[:, None, :]), 0.0)
