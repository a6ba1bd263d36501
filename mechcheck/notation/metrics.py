"""Metrics: from the logits at END, or wherever else they are read, to one number per prompt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechcheck.base.device import for_exact
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.prompts.spans import ALL

Logits = Float[Tensor, "prompt d_vocab"]
PerPrompt = Float[Tensor, " prompt"]


class OneToken(NamedTuple):
    """A metric that follows from the log-probability of one token: all that it needs of the other logits is their sum."""

    token: Callable[[PromptSet], Int[Tensor, " prompt"]]
    """Which token that is in each prompt."""
    of: Callable[[PerPrompt], PerPrompt]
    """From its log-probability in nats to the metric."""


@dataclass(frozen=True)
class Metric:
    """A named reduction of logits: at END, or, as `metric.over("S2")` or `metric.over(ALL)`, at other places.

    Where a prompt is read at several positions each of them is to the metric a prompt that ends there.
    """

    name: str
    unit: str
    of: Callable[[Logits, PromptSet, Any], PerPrompt]
    """(logits, prompts, logits of the untouched run or None) -> one value per prompt."""
    needs_clean: bool = False
    two_columns: bool = False
    """It reads no other logits than the answer's and the foil's, so that no others need be computed."""
    where: str = END
    """A position, a span, or ALL."""
    each: bool = False
    """Keep every position's value, in place of their mean."""
    needs_next: bool = False
    """It compares with the token that follows, so that a prompt's last position cannot be read."""
    one_token: OneToken | None = None
    """What the metric is of one token's log-probability, where it is that and no more: read at many positions it needs no logits kept."""

    def over(self, where: str = ALL) -> "Metric":
        """The mean over a span's positions, over all (ALL), or the value at another position than END."""
        return self._reading(where, each=False)

    def each_of(self, where: str = ALL) -> "Metric":
        """The value at each of these positions: `sweep` then gives [variant, prompt, pos], with NaN at positions that are not read."""
        return self._reading(where, each=True)

    def _reading(self, where: str, *, each: bool) -> "Metric":
        new = replace(self, where=where, each=each)
        return replace(new, name=self.name.removesuffix(self._place) + new._place)

    @property
    def _place(self) -> str:
        """What its name says of where it reads."""
        if self.where == END and not self.each:
            return ""
        return f" {'at each of' if self.each else 'over'} {'all positions' if self.where == ALL else self.where}"

    def __call__(self, logits: Logits, prompts: PromptSet, clean: Logits | None = None) -> PerPrompt:
        values = _as_tensor(self.name, self.of(for_exact(logits), prompts, None if clean is None else for_exact(clean)))
        if values.shape != (len(prompts),):
            raise PromptError(
                f"metric {self.name!r} gave shape {tuple(values.shape)}, expected one value for each of {len(prompts)} prompts"
            )
        return values


def _as_tensor(name: str, values: Any) -> Tensor:
    """A metric's values, of whichever kind of array."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MechcheckError(
            f"metric {name!r} gave {type(values).__name__}, expected one number for each prompt: a tensor, an array or a list"
        ) from error


def as_metric(metric: Metric | Callable[[Logits, PromptSet], PerPrompt]) -> Metric:
    """A metric from a plain function of (logits[prompt, d_vocab] at END, prompts)."""
    if isinstance(metric, Metric):
        return metric
    if not callable(metric):
        raise MechcheckError(f"expected a metric (logit_diff, kl_divergence, ...) or a function of (logits, prompts), got {metric!r:.60}")
    return Metric(getattr(metric, "__name__", "metric"), "", lambda logits, prompts, _: metric(logits, prompts))


def _at(logits: Logits, tokens: Tensor) -> PerPrompt:
    return logits.gather(-1, tokens.to(logits.device)[:, None])[:, 0].double()


def _log_prob(logits: Logits, tokens: Tensor) -> PerPrompt:
    return _at(logits.double().log_softmax(-1), tokens)


def _rank(logits: Logits, tokens: Tensor) -> PerPrompt:
    larger = (logits > logits.gather(-1, tokens.to(logits.device)[:, None])).sum(-1).double()
    return torch.where(logits.isnan().any(-1), torch.nan, larger)  # every comparison with NaN is False: that is no rank 0


def _correct(logits: Logits, tokens: Tensor) -> PerPrompt:
    ranks = _rank(logits, tokens)
    return torch.where(ranks.isnan(), torch.nan, (ranks == 0).double())


def _loss(logits: Logits, tokens: Tensor) -> PerPrompt:
    return cross_entropy(logits, tokens.to(logits.device), reduction="none").double()


def _of_one_token(
    name: str, unit: str, token: Callable[[PromptSet], Int[Tensor, " prompt"]], of: Callable[[PerPrompt], PerPrompt]
) -> Metric:
    return Metric(name, unit, lambda x, p, _: of(_log_prob(x, token(p))), one_token=OneToken(token, of))


def _kl(logits: Logits, clean: Logits) -> PerPrompt:
    p, q = clean.double().log_softmax(-1), logits.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


logit_diff = Metric("logit difference", "logits", lambda x, p, _: _at(x, p.asked("answers")) - _at(x, p.asked("foils")), two_columns=True)
"""Logit of the answer minus logit of the foil (Wang et al. 2022)."""

probability = _of_one_token("p(answer)", "probability", lambda p: p.asked("answers"), torch.exp)
"""Probability of the answer."""

foil_probability = _of_one_token("p(foil)", "probability", lambda p: p.asked("foils"), torch.exp)
"""Probability of the foil."""

log_probability = _of_one_token("log p(answer)", "nats", lambda p: p.asked("answers"), lambda log_prob: log_prob)
"""Natural logarithm of the answer's probability."""

rank = Metric("rank of the answer", "rank", lambda x, p, _: _rank(x, p.asked("answers")))
"""How many tokens have a larger logit than the answer (0: the answer is the prediction)."""

kl_divergence = Metric("KL from the untouched run", "nats", lambda x, p, clean: _kl(x, clean), needs_clean=True)
"""KL(untouched || this run) of the next-token distribution."""

correct = Metric("accuracy", "share of prompts", lambda x, p, _: _correct(x, p.asked("answers")))
"""1 where the answer is the prediction, else 0."""

loss = Metric(
    "loss", "nats", lambda x, p, _: _loss(x, p.next_tokens), needs_next=True, one_token=OneToken(lambda p: p.next_tokens, torch.neg)
).over(ALL)
"""Cross-entropy of the token that follows, per token, over all positions but the last; `loss.over("SECOND")` over those of a span."""

next_correct = Metric("accuracy", "share of tokens", lambda x, p, _: _correct(x, p.next_tokens), needs_next=True).over(ALL)
"""Share of positions at which the token that follows is the prediction."""
