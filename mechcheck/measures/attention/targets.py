"""One number per head and prompt, and the scores that read it off attention patterns: induction, duplicates, previous token."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

from mechcheck.base.device import exact, to_numpy
from mechcheck.base.errors import PromptError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Rows, is_token
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import broken_rows_as_nan, pattern_hook
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Intervention
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Targets = Bool[Tensor, "prompt q k"]
"""True where a query has a target key."""


def target_scores(
    model: "TransformerBridge",
    prompts: PromptSet,
    targets: Targets,
    *,
    name: str = "attention to targets",
    interventions: Sequence[Intervention] | Intervention = (),
) -> HeadScores:
    """Attention that each head puts on target keys: summed over a query's targets, averaged over the queries that have any.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        targets: [prompt, q, k]. Queries without a target do not count; padding is never a query or a target.
        name: what the score is called.
        interventions: applied in the same forward pass.

    Returns:
        Shares of attention between 0 and 1.

    Raises:
        PromptError: a prompt without any target.
    """
    width = prompts.tokens.shape[1]
    if targets.shape != (len(prompts), width, width):
        raise PromptError(f"targets of shape {tuple(targets.shape)}; expected [prompt, q, k] = {(len(prompts), width, width)}")
    real = is_token(Rows(prompts, slice(None)))
    targets = targets.bool().cpu() & real[:, :, None] & real[:, None, :]
    queries = targets.any(-1).sum(-1)
    if not queries.all():
        prompt = int((queries == 0).nonzero()[0])
        raise PromptError(f"prompt {prompt} has no target, so it has no score for {name}; leave such prompts out")

    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        mass = exact(broken_rows_as_nan(pattern))
        wanted, count = targets[rows.where].to(mass.device), queries[rows.where].to(mass.device)
        mass = mass.masked_fill(~wanted[:, None], 0.0)
        return mass.sum((-2, -1)) / count[:, None]

    check_loaded(model)
    readers: dict = {layer: (pattern_hook(layer), keep) for layer in range(model.cfg.n_layers)}
    recorded = observe(model, prompts, readers, interventions)
    values = torch.stack([recorded[layer].T for layer in range(model.cfg.n_layers)])
    return HeadScores(to_numpy(values), prompts.ids, prompts.templates, name, "share of attention")


def previous_token_scores(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> HeadScores:
    """Mean attention from each token to the one before it; the first token has none, so it is no query."""
    return target_scores(model, prompts, _each(prompts, _previous), name="previous-token score", interventions=interventions)


def duplicate_token_scores(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> HeadScores:
    """Mean attention from each repeated token to all its earlier occurrences (Wang et al. 2022)."""
    return target_scores(model, prompts, _each(prompts, _duplicates), name="duplicate-token score", interventions=interventions)


def induction_scores(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> HeadScores:
    """Mean attention from each repeated token to the token that followed its last earlier occurrence (Olsson et al. 2022).

    Where the last earlier occurrence is the token just before, what followed it is the query itself; that is no target.
    """
    return target_scores(model, prompts, induction_targets(prompts), name="induction score", interventions=interventions)


def induction_targets(prompts: PromptSet) -> Targets:
    """The token that followed each repeated token's last earlier occurrence: what the induction score counts."""
    return _each(prompts, _after_last)


def prefix_matching_scores(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> HeadScores:
    """Mean attention from each repeated token to the tokens that followed any of its earlier occurrences (Olsson et al. 2022)."""
    return target_scores(model, prompts, _each(prompts, _after_any), name="prefix-matching score", interventions=interventions)


def _each(prompts: PromptSet, targets_of: Callable[[Tensor], Tensor]) -> Targets:
    """The targets of every prompt, from its tokens: [pos] -> [q, k], True only where k < q."""
    earlier = torch.ones(prompts.tokens.shape[1], prompts.tokens.shape[1], dtype=torch.bool).tril(-1)
    return torch.stack([targets_of(tokens) & earlier for tokens in prompts.tokens.cpu()])


def _previous(tokens: Tensor) -> Tensor:
    return torch.eye(len(tokens), dtype=torch.bool).roll(-1, dims=1)


def _duplicates(tokens: Tensor) -> Tensor:
    return (tokens[:, None] == tokens[None, :]).tril(-1)


def _after_any(tokens: Tensor) -> Tensor:
    return _duplicates(tokens).roll(1, dims=1)


def _after_last(tokens: Tensor) -> Tensor:
    same = _duplicates(tokens)
    later = same.flip(1).cumsum(1).flip(1) - same.long()  # occurrences between this one and the query
    return (same & (later == 0)).roll(1, dims=1)
