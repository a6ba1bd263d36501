"""Metrics of whole answers: each answer is put behind its prompt, and the interventions are made in that run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.drawn import fit_site, partners
from mechcheck.engine.edits import checked_put
from mechcheck.notation.interventions import Ablate, Intervention, Patch, Put
from mechcheck.notation.metrics import Metric, scores_of_next
from mechcheck.notation.sites import Site
from mechcheck.notation.whole_answers import Scores, Whole, is_token
from mechcheck.prompts.answered import PREDICTED, Answered, answered, followed
from mechcheck.prompts.candidates import What
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Swept = Callable[[PromptSet, list[list[Intervention]], list[Metric]], list[np.ndarray]]
"""(prompts, variants, metrics) -> [variant, prompt], or [variant, prompt, pos], of each metric."""
Token = Callable[[Tensor, Tensor], Tensor]


def sweep_answers(
    model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Intervention]], metrics: Sequence[Metric], swept: Swept
) -> list[Float[np.ndarray, "variant prompt"]]:
    """Metrics of answers of several tokens, or of foils.

    Every answer stands behind its prompt once, so that one run tells all its tokens. Named positions are the prompt's own; at every
    position an intervention also changes what the model makes of the answer's tokens. What is taken from other prompts, these are
    followed by the same answer.

    Args:
        model, prompts, variants: as in `sweep`.
        metrics: such as `of_several_tokens`.
        swept: runs such prompts.

    Raises:
        PromptError: a metric of one token each, or that reads elsewhere than at END; an encoder; END that is not the last token.
        MechcheckError: `Put` at every position, which has nothing for the answers' tokens.
    """
    check_fits_once(model, prompts)
    wholes = [_whole(metric) for metric in metrics]
    asks: tuple[What, ...] = tuple(dict.fromkeys(what for whole in wholes for what in whole.asks))
    tokens = list(dict.fromkeys(whole.token for whole in wholes))
    tables = {(token, what): _Table(prompts, what, len(variants)) for token in tokens for what in asks}
    for number, one in enumerate(answered(prompts, asks)):
        behind = _Behind(model, prompts, one)
        alone = _of_one_token(prompts, asks) if number == 0 else []
        read = [scores_of_next(token, PREDICTED) for token in tokens]
        read += [_at_end(token, what, candidate) for token in tokens for what, candidate in alone]
        found = swept(one.prompts, [[behind.changed(i) for i in variant] for variant in variants], read)
        for token, values in zip(tokens, found, strict=False):
            for row, ((what, candidate), answer) in enumerate(zip(one.by, one.tokens, strict=True)):
                end = int(prompts.position(END)[row])
                tables[token, what].put(row, candidate, values[:, row, end : end + len(answer)])
        places = [(token, *place) for token in tokens for place in alone]
        for (token, what, candidate), values in zip(places, found[len(tokens) :], strict=True):
            for row, own in enumerate(prompts.candidates(what)):
                if candidate < len(own) and len(own[candidate]) == 1:
                    tables[token, what].put(row, candidate, values[:, row, None])
    return [whole.of(*(tables[whole.token, what].scores for what in whole.asks)).numpy() for whole in wholes]


def _whole(metric: Metric) -> Whole:
    """How the metric is read of whole answers."""
    assert metric.whole is not None
    if metric.whole.one_token:
        raise PromptError(
            f"{metric.name!r} is of one token, and some answers of these prompts are several: measure correct, log_odds or log_probability"
        )
    if metric.where != END or metric.each:
        raise PromptError(
            f"{metric.name!r}: answers of several tokens follow the prompt, so they cannot be read over {metric.where}; leave out "
            ".over(...), or give answers of one token"
        )
    return metric.whole


class _Table:
    """The scores of the answers' tokens, filled in as they are found."""

    def __init__(self, prompts: PromptSet, what: What, variants: int):
        self._real = is_token(prompts.candidates(what))
        self._values = np.zeros((variants, *self._real.shape))
        self._known = np.zeros(self._real.shape, dtype=bool)

    def put(self, row: int, candidate: int, values: Float[np.ndarray, "variant token"]) -> None:
        """What the tokens of one prompt's answer score."""
        self._values[:, row, candidate, : values.shape[1]] = values
        self._known[row, candidate, : values.shape[1]] = True

    @property
    def scores(self) -> Scores:
        """All of them."""
        assert (self._known == self._real.numpy()).all(), "an answer was not run"
        return Scores(torch.from_numpy(self._values), self._real)


def _of_one_token(prompts: PromptSet, asks: Sequence[What]) -> list[tuple[What, int]]:
    """Which answers are one token in some prompts: they are read at END, whatever follows."""
    given = {what: prompts.candidates(what) for what in asks}
    numbers = {what: range(max(map(len, rows))) for what, rows in given.items()}
    return [
        (what, number)
        for what, rows in given.items()
        for number in numbers[what]
        if any(number < len(row) and len(row[number]) == 1 for row in rows)
    ]


def _at_end(token: Token, what: What, candidate: int) -> Metric:
    """The score, at END, of the first token of an answer, or of the last one where there are fewer."""

    def of(logits: Tensor, prompts: PromptSet, _: object) -> Tensor:
        rows = prompts.candidates(what)
        return token(logits, torch.tensor([row[min(candidate, len(row) - 1)][0] for row in rows]))

    return Metric("score of a token at END", "", of)


@dataclass
class _Behind:
    """Interventions, made in a run in which answers stand behind the prompts."""

    model: "TransformerBridge"
    prompts: PromptSet
    answered: Answered
    known: dict[int, PromptSet] = field(default_factory=dict)
    """Seed -> each prompt's partner of the same template, followed by the prompt's answer."""

    def changed(self, intervention: Intervention) -> Intervention:
        """The same intervention there."""
        match intervention:
            case Patch() if intervention.source is not None:
                return replace(intervention, source=self._followed(intervention.source))
            case Ablate(method="resample"):
                if intervention.reference is not None:
                    return replace(intervention, reference=self._followed(intervention.reference))
                if self.prompts.reference is None:
                    return replace(intervention, reference=self._partners(intervention.seed))
            case Ablate(method="mean") if intervention.reference is not None:
                return replace(intervention, reference=self._averaged(intervention, intervention.reference))
            case Put():
                return Put({site: self._put(intervention, site) for site in intervention.sites})
        return intervention

    def _followed(self, source: PromptSet) -> PromptSet:
        """Other prompts, each followed by the answer of the one it is aligned with; those that are not aligned are refused later."""
        return followed(source, self.answered.tokens) if len(source) == len(self.prompts) else source

    def _averaged(self, ablate: Ablate, reference: PromptSet) -> PromptSet:
        everywhere = [site for site in ablate.sites if site.at is None]
        if everywhere and len(reference) != len(self.prompts):
            raise PromptError(
                f"mean ablation of {everywhere[0].named} at every position is also one at the tokens of the answers: the reference has "
                f"{len(reference)} prompts for {len(self.prompts)}, and needs one for each, to be followed by the same answer; or name "
                "positions (@END)"
            )
        return self._followed(reference)

    def _partners(self, seed: int) -> PromptSet:
        if seed not in self.known:
            others = replace(self.prompts[partners(self.prompts, seed)], counterfactual=None, reference=None)
            self.known[seed] = followed(others, self.answered.tokens)
        return self.known[seed]

    def _put(self, put: Put, site: Site) -> Tensor:
        if site.at is None:
            raise MechcheckError(
                f"Put at {site.named} has activations for the prompts' own positions, and none for the answers' tokens, which follow: name "
                "positions (@END), or give answers of one token"
            )
        return fit_site(checked_put(put.values[site], self.model, site, self.prompts), site, self.answered.prompts)
