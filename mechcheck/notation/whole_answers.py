"""Whole answers, of several tokens or several right ones: what their tokens say, one after the other, and one number per prompt from it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcheck.base.errors import MechcheckError
from mechcheck.prompts.candidates import Candidates, What
from mechcheck.prompts.prompt_set import PromptSet

Over = Literal["any", "mean", "per token"]
"""Of several right answers: the probability that it is any of them; the mean of their log-probabilities; the same per token of each."""


class Scores(NamedTuple):
    """Of each token of each answer (or foil) one number, given the prompt and the answer's earlier tokens."""

    values: Float[Tensor, "*variant prompt candidate token"]
    """0 where there is no token."""
    real: Bool[Tensor, "prompt candidate token"]
    """Where there is one."""

    @property
    def there(self) -> Bool[Tensor, "prompt candidate"]:
        """Where there is an answer; some prompts have fewer."""
        return self.real.any(-1)

    @property
    def sums(self) -> Float[Tensor, "*variant prompt candidate"]:
        """Over each answer's tokens."""
        return self.values.sum(-1)


class Whole(NamedTuple):
    """How a metric is read of whole answers, and not of the one token that is the answer."""

    asks: tuple[What, ...]
    """Whose tokens it reads."""
    token: Callable[[Tensor, Tensor], Tensor]
    """(logits[prompt, d_vocab], tokens[prompt]) -> the score of each."""
    of: Callable[..., Tensor]
    """`Scores` of each that it asks for -> one value per prompt."""
    one_token: bool = False
    """It has no meaning for an answer of several tokens."""

    def at_end(self, logits: Float[Tensor, "prompt d_vocab"], prompts: PromptSet) -> Float[Tensor, " prompt"]:
        """The value from the logits at END, of answers that are one token each, however many of them are right."""
        return self.of(*(self._of_single_tokens(logits, prompts.candidates(what)) for what in self.asks))

    def _of_single_tokens(self, logits: Tensor, candidates: Candidates) -> Scores:
        real = is_token(candidates)
        columns = [
            self.token(logits, torch.tensor([row[min(number, len(row) - 1)][0] for row in candidates])) for number in range(real.shape[1])
        ]
        values = torch.stack(columns, dim=-1)[..., None]
        real = real.to(values.device)
        return Scores(values.masked_fill(~real, 0.0), real)


def is_token(candidates: Candidates) -> Bool[Tensor, "prompt candidate token"]:
    """Where each prompt's answers have a token."""
    most, longest = max(map(len, candidates)), max(len(one) for row in candidates for one in row)
    counts = torch.tensor([[len(one) for one in row] + [0] * (most - len(row)) for row in candidates])
    return torch.arange(longest) < counts[..., None]


def log_likelihood(scores: Scores, over: Over = "any") -> Float[Tensor, "*variant prompt"]:
    """From log-probabilities of tokens to that of the answers, in nats."""
    there = scores.there
    if over == "any":
        return scores.sums.masked_fill(~there, -torch.inf).logsumexp(-1)
    each = scores.sums if over == "mean" else scores.sums / scores.real.sum(-1).clamp(min=1)
    return each.sum(-1) / there.sum(-1)  # 0 where there is none


def said(ranks: Scores) -> Float[Tensor, "*variant prompt"]:
    """From ranks of tokens: 1 where the most likely tokens, one after the other, are those of a right answer, else 0."""
    whole = ((ranks.values == 0) | ~ranks.real).all(-1) & ranks.there
    return torch.where(ranks.values.isnan().any(-1).any(-1), torch.nan, whole.any(-1).double())


def best(ranks: Scores) -> Float[Tensor, "*variant prompt"]:
    """From ranks of tokens: that of the best right answer, which must be one token."""
    least = ranks.sums.masked_fill(~ranks.there, torch.inf).amin(-1)
    return torch.where(ranks.values.isnan().any(-1).any(-1), torch.nan, least)


def check_over(over: str) -> None:
    """Raise `MechcheckError` for what is no `Over`."""
    if over not in ("any", "mean", "per token"):
        raise MechcheckError(f'unknown over={over!r}; choose "any", "mean" or "per token"')
