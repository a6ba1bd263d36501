"""Retrieval scores (Wu et al. 2024): how often a head attends most to the very token of the needle that the answer says next."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechcheck.base.device import exact, to_numpy
from mechcheck.base.errors import ModelError, PromptError
from mechcheck.engine.edit import Rows
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import broken_rows_as_nan, pattern_hook
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.limits import require_prediction
from mechcheck.prompts.answered import check_end_is_last, followed
from mechcheck.prompts.candidates import Tokens
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def retrieval_scores(model: "TransformerBridge", prompts: PromptSet, needle: str = "NEEDLE") -> HeadScores:
    """Share of the answer's tokens for which the head's largest attention, where that token is predicted, is on an equal one in the needle.

    The answer stands behind the prompt, and each of its tokens is predicted from those before it (teacher forcing), whatever the model
    itself would have said. Wu et al. 2024 (arXiv:2404.15574) let the model decode greedily, count such tokens of what it said, divide
    by the needle's length, and leave out prompts that it answered wrongly; where a model says the needle word by word the two are one.
    Of keys with equal attention the first is taken.

    Args:
        model: from `load_model`.
        prompts: prompts of a decoder with one right answer each, of one or more tokens, and the position or span `needle`.
        needle: the name of where the answer can be read: a span, as of `retrieval_prompts`.

    Raises:
        ModelError: an encoder.
        PromptError: no such name, no answers, or several right ones; END that is not the last token.
    """
    require_prediction(model)
    check_fits_once(model, prompts)
    if model.cfg.attention_dir != "causal":
        raise ModelError("this model reads both ways, and so predicts no next token: retrieval_scores takes a decoder")
    prompts.position(needle)
    check_end_is_last(prompts)
    answers = _one_each(prompts)
    forced = followed(prompts, answers)
    check_fits_once(model, forced)
    counts = torch.tensor([len(answer) for answer in answers])
    steps = torch.arange(int(counts.max()))
    queries = (forced.position(END)[:, None] + steps).clamp(max=forced.tokens.shape[1] - 1)
    asked = steps < counts[:, None]
    said = torch.tensor([[*answer, *[-1] * (len(steps) - len(answer))] for answer in answers])
    equal = forced.span(needle)[:, None] & (forced.tokens[:, None] == said[:, :, None])  # [prompt, step, key]

    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        row = torch.arange(len(pattern), device=pattern.device)[:, None]
        chosen = exact(broken_rows_as_nan(pattern[row, :, queries[rows.where].to(pattern.device)]))  # [row, step, head, key]
        matching, real, count = (some[rows.where].to(chosen.device) for some in (equal, asked, counts))
        hits = matching.gather(-1, chosen.argmax(-1)).to(chosen.dtype)
        hits = hits.masked_fill(chosen.isnan().any(-1), torch.nan).masked_fill(~real[..., None], 0.0)
        return hits.sum(1) / count[:, None]

    readers: dict = {layer: (pattern_hook(layer), keep) for layer in range(model.cfg.n_layers)}
    recorded = observe(model, forced, readers)
    values = torch.stack([recorded[layer].T for layer in range(model.cfg.n_layers)])
    return HeadScores(to_numpy(values), prompts.ids, prompts.templates, "retrieval score", "share of tokens")


def _one_each(prompts: PromptSet) -> tuple[Tokens, ...]:
    """The tokens of each prompt's answer.

    Raises:
        PromptError: a prompt with several.
    """
    found = prompts.candidates("answers")
    for row, every in enumerate(found):
        if len(every) > 1:
            raise PromptError(f"prompt {row} has {len(every)} right answers, and a retrieval score is of one: give one each")
    return tuple(every[0] for every in found)
