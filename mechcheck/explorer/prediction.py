"""What the model predicts, as it is and under an intervention."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.drawing.text import token, visible
from mechcheck.engine.run import logits_at_end, sweep_metrics
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.prompt import asked
from mechcheck.notation.distribution_metrics import entropy, top_probability
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import (
    Metric,
    correct,
    foil_probability,
    kl_divergence,
    log_odds,
    log_probability,
    logit_diff,
    probability,
    rank,
)
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOP = 8
"""Tokens of a table, apart from the answer and the foil."""

rank_of_foil = Metric("rank of the foil", "rank", lambda x, p, _: rank.of(x, _swapped(p), None))
"""How many tokens have a larger logit than the foil."""


def _swapped(prompts: PromptSet) -> PromptSet:
    return replace(prompts, answers=prompts.foils, foils=prompts.answers, answer_sets=prompts.foil_sets, foil_sets=prompts.answer_sets)


def preference(prompts: PromptSet) -> Metric | None:
    """By how much the answer is preferred to the foil: of several tokens by all of them; None where one of the two is lacking."""
    if not (asked(prompts, "answers") and asked(prompts, "foils")):
        return None
    return log_odds if prompts.any_sets() else logit_diff


def metrics_for(prompts: PromptSet) -> list[Metric]:
    """What can be measured: of the whole distribution always, of the answer and the foil where there are these."""
    found, right, wrong = [entropy, top_probability, kl_divergence], asked(prompts, "answers"), asked(prompts, "foils")
    if right:
        found += [rank, probability] if len(right) == 1 else [log_probability, correct, probability]
    if wrong:
        found += [rank_of_foil, foil_probability] if len(wrong) == 1 else [foil_probability]
    first = preference(prompts)
    return found if first is None else [first, *found]


def predicted(model: "TransformerBridge", prompts: PromptSet, done: Sequence[Intervention] | Intervention | None) -> list[Json]:
    """Each metric of one prompt, untouched and under the interventions; only the first where there are none.

    Raises:
        Problem: what is done makes of the logits what are no numbers.
    """
    variants = [[], done] if done else [[]]
    metrics = metrics_for(prompts)
    values = sweep_metrics(model, prompts, variants, metrics)
    check_finite(values)
    return [
        {"name": metric.name, "unit": metric.unit, "values": [float(row[0]) for row in found]}
        for metric, found in zip(metrics, values, strict=True)
    ]


def effects(
    model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Intervention] | Intervention]
) -> tuple[str, list[float]]:
    """What each of these alone does: how far it moves the preference for the answer, or, without one, the distribution.

    Returns:
        the name of that number, and one for each of them.

    Raises:
        Problem: as for `predicted`.
    """
    metric = preference(prompts) or kl_divergence
    found = sweep_metrics(model, prompts, [[], *variants], [metric])
    check_finite(found)
    values = found[0][:, 0]
    return (metric.name if metric is kl_divergence else f"change of the {metric.name}"), [float(x - values[0]) for x in values[1:]]


def check_finite(values: Sequence[np.ndarray]) -> None:
    """Raise where what is done is so large that nothing is predicted."""
    if not all(np.isfinite(found).all() for found in values):
        raise Problem("do", "the model predicts nothing any more: what is done is so large that its logits are no numbers")


def likeliest(model: "TransformerBridge", prompts: PromptSet, done: Sequence[Intervention] = ()) -> list[Json]:
    """The most likely tokens, and the first of the answer's and the foil's where these are not among them."""
    logits = logits_at_end(model, prompts, done)
    shares = logits[0].double().softmax(-1)
    order = shares.argsort(descending=True, stable=True).tolist()
    known = {"answer": asked(prompts, "answers"), "foil": asked(prompts, "foils")}
    shown = [*order[:TOP], *(found[0] for found in known.values() if found and found[0] not in order[:TOP])]
    begun = {one: [name for name, found in known.items() if found[:1] == (one,)] for one in shown}
    return [
        {
            "token": visible(token(model.tokenizer.decode([one]).strip() or model.tokenizer.decode([one]))),
            "p": float(shares[one]),
            "rank": int((logits[0] > logits[0, one]).sum()),
            "is": begun[one][0] if begun[one] else "",
            "of": " and ".join(f"{name}, 1 of {len(known[name])}" if len(known[name]) > 1 else name for name in begun[one]),
        }
        for one in dict.fromkeys(shown)
    ]
