"""Copying: does a head, reading a token, write that token (Wang et al. 2022's copy score)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechcheck.base.device import exact, for_exact, to_numpy
from mechcheck.base.errors import PromptError
from mechcheck.engine.edit import Rows, select
from mechcheck.engine.run import observe
from mechcheck.measures.head_scores import HeadScores
from mechcheck.measures.stream.lens import read_stream
from mechcheck.models.architecture import require_plain_writes
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def copying_scores(model: "TransformerBridge", prompts: PromptSet, at: str = "IO", top: int = 5, *, negative: bool = False) -> HeadScores:
    """1.0 where the token at a named position is among the `top` tokens that the head would write for it, else 0.0.

    What a head would write is its value vector at that position, as recorded in the run, times its output matrix W_O,
    read through the final norm and the unembedding: full attention to that position and nothing else. With grouped
    queries, head h takes the values of key-value head h // group.

    Wang et al. 2022 (arXiv:2211.00593) compute the value from the state after the first MLP; here it is the value the head
    really has, at its own layer.

    Args:
        model: from `load_model`.
        prompts: prompts with the position `at`.
        at: where the token to be copied stands.
        top: how many tokens count as written.
        negative: reads the negated output, so that 1.0 says the token is among those written against most (copy suppression).

    Raises:
        PromptError: no such position, or a token there that the model cannot predict.
        MechcheckError: an architecture in which no head's output can be read by itself.
    """
    prompts.position(at)
    require_plain_writes(model, "no head alone decides what it writes")
    layers = range(model.cfg.n_layers)

    def value_at(values: Tensor, rows: Rows) -> Tensor:
        return select(values, rows.at(at))

    readers: dict = {layer: (f"blocks.{layer}.attn.hook_v", value_at) for layer in layers}
    recorded = observe(model, prompts, readers)
    tokens = select(prompts.tokens, prompts.position(at))
    if (beyond := tokens >= model.W_U.shape[1]).any():  # a native model can have another vocabulary for its output
        row = int(beyond.int().argmax())
        raise PromptError(
            f"prompt {row} has token {int(tokens[row])} at {at}, and this model predicts tokens 0-{model.W_U.shape[1] - 1}: "
            "it cannot be copied"
        )
    w_o = model.W_O
    scores = []
    for layer in layers:
        values = recorded[layer].repeat_interleave(model.cfg.n_heads // recorded[layer].shape[1], dim=1)
        output = torch.einsum("phd,hdm->phm", values, w_o[layer].to(values.dtype))
        ranks = read_stream(model, -output if negative else output, targets=tokens[:, None]).target_ranks[..., 0]
        scores.append(torch.where(for_exact(output).isfinite().all(-1), exact(ranks < top), torch.nan).T)
    name = f"{'negative ' if negative else ''}copy score at {at}"
    return HeadScores(to_numpy(torch.stack(scores)), prompts.ids, prompts.templates, name, "share of prompts")
