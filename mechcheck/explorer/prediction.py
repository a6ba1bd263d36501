"""What the model predicts, as it is and under an intervention."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.drawing.text import token, visible
from mechcheck.engine.run import logits_at_end, sweep_metrics
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.notation.distribution_metrics import entropy, top_probability
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import Metric, foil_probability, kl_divergence, logit_diff, probability, rank
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOP = 8
"""Tokens of a table, apart from the answer and the foil."""

rank_of_foil = Metric("rank of the foil", "rank", lambda x, p, _: rank.of(x, replace(p, answers=p.foils, foils=p.answers), None))
"""How many tokens have a larger logit than the foil."""


def metrics_for(prompts: PromptSet) -> list[Metric]:
    """What can be measured: of the whole distribution always, of the answer and the foil where there are these."""
    found = [entropy, top_probability, kl_divergence]
    if len(prompts.answers):
        found += [rank, probability]
    if len(prompts.foils):
        found += [rank_of_foil, foil_probability]
    return [logit_diff, *found] if len(prompts.answers) and len(prompts.foils) else found


def predicted(model: "TransformerBridge", prompts: PromptSet, done: Sequence[Intervention] | Intervention | None) -> list[Json]:
    """Each metric of one prompt, untouched and under the interventions; only the first where there are none.

    Raises:
        Problem: what is done makes of the logits what are no numbers.
    """
    variants = [[], done] if done else [[]]
    metrics = metrics_for(prompts)
    values = sweep_metrics(model, prompts, variants, metrics)
    _check_finite(values)
    return [
        {"name": metric.name, "unit": metric.unit, "values": [float(row[0]) for row in found]}
        for metric, found in zip(metrics, values, strict=True)
    ]


def effects(
    model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Intervention] | Intervention]
) -> tuple[str, list[float]]:
    """What each of these alone does: how far it moves the logit difference, or, without one to move, the distribution.

    Returns:
        the name of that number, and one for each of them.

    Raises:
        Problem: as for `predicted`.
    """
    metric = logit_diff if logit_diff in metrics_for(prompts) else kl_divergence
    found = sweep_metrics(model, prompts, [[], *variants], [metric])
    _check_finite(found)
    values = found[0][:, 0]
    return (f"change of the {metric.name}" if metric is logit_diff else metric.name), [float(x - values[0]) for x in values[1:]]


def _check_finite(values: Sequence[np.ndarray]) -> None:
    if not all(np.isfinite(found).all() for found in values):
        raise Problem("do", "the model predicts nothing any more: what is done is so large that its logits are no numbers")


def likeliest(model: "TransformerBridge", prompts: PromptSet, done: Sequence[Intervention] = ()) -> list[Json]:
    """The most likely tokens, and the answer and the foil where these are not among them."""
    logits = logits_at_end(model, prompts, done)
    shares = logits[0].double().softmax(-1)
    order = shares.argsort(descending=True, stable=True).tolist()
    asked = {int(found[0]): name for name, found in (("answer", prompts.answers), ("foil", prompts.foils)) if len(found)}
    shown = [*order[:TOP], *(one for one in asked if one not in order[:TOP])]
    return [
        {
            "token": visible(token(model.tokenizer.decode([one]).strip() or model.tokenizer.decode([one]))),
            "p": float(shares[one]),
            "rank": int((logits[0] > logits[0, one]).sum()),
            "is": asked.get(one, ""),
        }
        for one in shown
    ]
