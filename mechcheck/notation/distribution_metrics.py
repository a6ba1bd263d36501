"""Metrics of the whole next-token distribution: how sharp it is, and how far it moved from that of the untouched run."""

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.metrics import Logits, Metric, PerPrompt, kl_divergence
from mechcheck.prompts.prompt_set import PromptSet


def _probabilities(logits: Logits) -> Float[Tensor, "prompt d_vocab"]:
    return logits.double().softmax(-1)


def _top(logits: Logits) -> PerPrompt:
    return _probabilities(logits).amax(-1)


def _shift(logits: Logits, prompts: PromptSet, clean: Logits) -> PerPrompt:
    return kl_divergence(logits, prompts, clean) + _top(clean) - _top(logits)


def _overlap(logits: Logits, clean: Logits, k: int) -> PerPrompt:
    if not 1 <= k <= logits.shape[-1]:
        raise MechcheckError(f"top_overlap({k}): the vocabulary has {logits.shape[-1]} tokens; choose 1 to {logits.shape[-1]}")
    # A stable sort, not topk: of equal logits the lower token counts as larger, so that a run overlaps fully with itself.
    first, second = (x.argsort(dim=-1, descending=True, stable=True)[:, :k] for x in (logits, clean))
    shared = (first[:, :, None] == second[:, None, :]).sum((-2, -1)).double() / k
    return torch.where((logits + clean).isnan().any(-1), torch.nan, shared)


def top_overlap(k: int = 5) -> Metric:
    """Share of the untouched run's `k` most likely tokens that are among this run's `k` most likely."""
    return Metric(f"top-{k} overlap", "share of tokens", lambda x, p, clean: _overlap(x, clean, k), needs_clean=True)


entropy = Metric("entropy", "nats", lambda x, p, _: torch.special.entr(_probabilities(x)).sum(-1))
"""Entropy of the next-token distribution."""

top_probability = Metric("top probability", "probability", lambda x, p, _: _top(x))
"""Probability of the most likely token, whichever it is."""

top_probability_change = Metric("change of the top probability", "probability", lambda x, p, clean: _top(x) - _top(clean), needs_clean=True)
"""Top probability of this run minus that of the untouched run."""

distribution_shift = Metric("shift of the distribution", "nats + probability", _shift, needs_clean=True)
"""KL(untouched || this run) plus the fall of the top probability: large where the prediction moved and became unsure."""
