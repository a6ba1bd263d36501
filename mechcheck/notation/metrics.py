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
from mechcheck.notation.whole_answers import Over, Whole, best, check_over, log_likelihood, said
from mechcheck.prompts.candidates import What
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
    whole: Whole | None = None
    """How it is read where answers are several tokens, or several are right; None: of one token, or of none."""
    one_token: OneToken | None = None
    """What the metric is of one token's log-probability, where it is that and no more: read at many positions it needs no logits kept."""

    def over(self, where: str = ALL) -> "Metric":
        """The mean over a span's positions, over all (ALL), or the value at another position than END."""
        return self._reading(where, each=False)

    def each_of(self, where: str = ALL) -> "Metric":
        """The value at each of these positions: `sweep` then gives [variant, prompt, pos], with NaN at positions that are not read."""
        return self._reading(where, each=True)

    def _reading(self, where: str, *, each: bool) -> "Metric":
        if not isinstance(where, str):
            raise MechcheckError(f"a metric is read at a position or a span, by its name, not at {where!r:.60}")
        new = replace(self, where=where, each=each)
        return replace(new, name=self.name.removesuffix(self._place) + new._place)

    @property
    def _place(self) -> str:
        """What its name says of where it reads."""
        if self.where == END and not self.each:
            return ""
        return f" {'at each of' if self.each else 'over'} {'all positions' if self.where == ALL else self.where}"

    def of_sets(self, prompts: PromptSet) -> bool:
        """Whether it reads answers (or foils) of these prompts that are several tokens, or of which several are right."""
        return self.whole is not None and prompts.any_sets(self.whole.asks)

    def of_several_tokens(self, prompts: PromptSet) -> bool:
        """Whether some of those are several tokens, which are read one after the other."""
        return self.whole is not None and prompts.longest(self.whole.asks) > 1

    def __call__(self, logits: Logits, prompts: PromptSet, clean: Logits | None = None) -> PerPrompt:
        if self.whole is not None and self.of_sets(prompts):
            if self.of_several_tokens(prompts):
                raise PromptError(
                    f"{self.name!r} of answers or foils of several tokens is no matter of one position's logits: measure it by run or sweep"
                )
            values = self.whole.at_end(for_exact(logits), prompts)
        else:
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


def one_each(metric: Metric | Callable[[Logits, PromptSet], PerPrompt], instead: str) -> Metric:
    """The metric, or the error of one that keeps each position's value, and what to do instead."""
    chosen = as_metric(metric)
    if chosen.each:
        raise MechcheckError(f"{chosen.name!r} has a value for each position: {instead}")
    return chosen


def scores_of_next(token: Callable[[Logits, Tensor], PerPrompt], where: str) -> Metric:
    """What the token that follows scores at each position of a span, by a `Whole.token`."""
    return Metric("score of the next token", "", lambda x, p, _: token(x, p.next_tokens), needs_next=True).each_of(where)


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
    name: str,
    unit: str,
    token: Callable[[PromptSet], Int[Tensor, " prompt"]],
    of: Callable[[PerPrompt], PerPrompt],
    whole: Whole | None = None,
) -> Metric:
    return Metric(name, unit, lambda x, p, _: of(_log_prob(x, token(p))), whole=whole, one_token=OneToken(token, of))


def _kl(logits: Logits, clean: Logits) -> PerPrompt:
    p, q = clean.double().log_softmax(-1), logits.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def _logit_diff(logits: Logits, prompts: PromptSet, _: Any) -> PerPrompt:
    """Of one token each; it is their log-odds."""
    return _at(logits, prompts.asked("answers")) - _at(logits, prompts.asked("foils"))


logit_diff = Metric("logit difference", "logits", _logit_diff, two_columns=True)
"""Logit of the answer minus logit of the foil (Wang et al. 2022)."""


def answer_log_probability(over: Over = "any") -> Metric:
    """Log-probability of the answers, each token given the prompt and the answer's earlier tokens (teacher forcing), summed over them.

    Args:
        over: of several right answers "any", the logarithm of their summed probabilities; "mean", the mean of their log-probabilities;
            "per token", the same with each divided by its tokens, as longer ones are less likely.

    Raises:
        MechcheckError: another `over`.
    """
    check_over(over)
    whole = Whole(("answers",), _log_prob, lambda scores: log_likelihood(scores, over))
    return _of_one_token(f"log p(answer){_HOW[over]}", _unit(over), lambda p: p.asked("answers"), lambda log_prob: log_prob, whole)


def answer_log_odds(over: Over = "any") -> Metric:
    """Log-probability of the answers minus that of the foils, each as in `answer_log_probability`.

    Of one answer and one foil of one token each it is the logit difference.
    """
    check_over(over)
    whole = Whole(("answers", "foils"), _log_prob, lambda right, wrong: log_likelihood(right, over) - log_likelihood(wrong, over))
    return Metric(f"log-odds of answer to foil{_HOW[over]}", _unit(over), _logit_diff, two_columns=True, whole=whole)


_HOW = {"any": "", "mean": ", mean over answers", "per token": ", per token"}


def _unit(over: Over) -> str:
    return "nats per token" if over == "per token" else "nats"


def _probability_of(what: What) -> Whole:
    return Whole((what,), _log_prob, lambda scores: log_likelihood(scores).exp())


log_odds = answer_log_odds()
"""Log-probability of the answer, or of any right one, minus that of the foil (or foils): of one token each the logit difference."""

probability = _of_one_token("p(answer)", "probability", lambda p: p.asked("answers"), torch.exp, _probability_of("answers"))
"""Probability of the answer; of several right ones that of any, of several tokens that of all of them."""

foil_probability = _of_one_token("p(foil)", "probability", lambda p: p.asked("foils"), torch.exp, _probability_of("foils"))
"""Probability of the foil, or of any of several."""

log_probability = answer_log_probability()
"""Natural logarithm of the answer's probability."""

rank = Metric("rank of the answer", "rank", lambda x, p, _: _rank(x, p.asked("answers")), whole=Whole(("answers",), _rank, best, True))
"""How many tokens have a larger logit than the answer (0: the answer is the prediction), or than the best of several."""

kl_divergence = Metric("KL from the untouched run", "nats", lambda x, p, clean: _kl(x, clean), needs_clean=True)
"""KL(untouched || this run) of the next-token distribution."""

correct = Metric("accuracy", "share of prompts", lambda x, p, _: _correct(x, p.asked("answers")), whole=Whole(("answers",), _rank, said))
"""1 where the answer is the prediction, or one of several, or what greedy decoding says token by token; else 0."""

loss = Metric(
    "loss", "nats", lambda x, p, _: _loss(x, p.next_tokens), needs_next=True, one_token=OneToken(lambda p: p.next_tokens, torch.neg)
).over(ALL)
"""Cross-entropy of the token that follows, per token, over all positions but the last; `loss.over("SECOND")` over those of a span."""

next_correct = Metric("accuracy", "share of tokens", lambda x, p, _: _correct(x, p.next_tokens), needs_next=True).over(ALL)
"""Share of positions at which the token that follows is the prediction."""
