"""Searches for heads: those that move the prediction most, and the fewest that make a chosen token win."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.greedy_search import SearchResult, SearchStep, generic_search, targeted_search, trace_figure
from mechcheck.engine.run import sweep_metrics
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.change import change, chosen_heads
from mechcheck.explorer.prompt import Prepared
from mechcheck.explorer.studies.figures import html
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import Workbench
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import kl_divergence, probability, rank
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CANDIDATES = 2048
"""Heads at positions that a search may choose from, at most."""
BUDGET = 10_000
"""Sets that a search measures, at most."""
_STAGES = {"single": "each head alone", "pair": "all pairs of the best", "greedy": "one more head", "prune": "one head less"}
_STOPPED = {
    "size": "as many heads as were allowed",
    "no gain": "no further head brings more",
    "budget": f"{BUDGET} sets were measured, and no more are",
}


@dataclass
class _Search:
    """What a search is of, and how far it is."""

    model: "TransformerBridge"
    prepared: Prepared
    body: Json
    """In which something is done."""
    followed: PromptSet
    """The prompt, with the token that is followed as its answer; without one where none is known."""
    turn: Turn
    title: str
    score: str
    """What the search makes large."""

    def __post_init__(self) -> None:
        self.steps: list[SearchStep] = []

    @cached_property
    def candidates(self) -> Sites:
        """Each head of the model, at each chosen position."""
        config = self.model.cfg
        every = " ".join(f"{layer}.{head}" for layer in range(config.n_layers) for head in range(config.n_heads))
        found = chosen_heads(self.model, self.body | {"heads": every})
        if len(found) > CANDIDATES:
            told = f"{len(found)} heads at positions are too many to search, {CANDIDATES} at most: choose fewer positions in Do"
            raise Problem("study", told)
        return found

    def done_to(self, sites: Sites) -> Intervention:
        """What is done to a set."""
        done = change(sites, self.prepared, self.body)
        assert done is not None
        return done

    @cached_property
    def untouched(self) -> dict[str, float]:
        """What is followed, where nothing is done."""
        return self._numbers(None)

    def _numbers(self, sites: Sites | None) -> dict[str, float]:
        known = len(self.followed.answers) > 0
        metrics = [kl_divergence, *((probability, rank) if known else ())]
        values = sweep_metrics(self.model, self.followed, [[] if sites is None else [self.done_to(sites)]], metrics)
        names = ["KL", *((f"p({self.word})", f"rank of {self.word}") if known else ())]
        return {name: float(value[0, 0]) for name, value in zip(names, values, strict=True)}

    @property
    def word(self) -> str:
        """The token that is followed."""
        return self.model.tokenizer.decode([int(self.followed.answers[0])]).strip()

    def seen(self, step: SearchStep) -> None:
        """Tell the page of a step."""
        self.steps.append(step)
        before = self.steps[-2].sites if len(self.steps) > 1 else Sites()
        numbers = self._numbers(step.sites) | {self.score: step.score}
        self.numbers.append(numbers)
        self.turn.tell(
            "trace",
            {
                "step": len(self.steps), "stage": step.stage, "heads": step.sites.places, "added": [str(one) for one in step.sites - before],
                "removed": [str(one) for one in before - step.sites], "evaluated": step.evaluated, "numbers": numbers,
                "said": f"{_STAGES[step.stage]}: {step.sites.places}, {_numbers_said(numbers)}", "figure": self.figure,
            },
        )  # fmt: skip

    @cached_property
    def numbers(self) -> list[dict[str, float]]:
        """Of each step's best set."""
        return []

    @property
    def figure(self) -> str:
        """The trace so far."""
        drawn = trace_figure(self.title, self.steps, self.untouched[self.score], self.score)
        details = {"stage": [_STAGES[step.stage] for step in self.steps], "sets measured": [step.evaluated for step in self.steps]}
        followed = {name: [one[name] for one in self.numbers] for name in self.untouched if name != self.score}
        return html(replace(drawn, details={**details, **followed}))

    def end(self, found: SearchResult, said: str) -> Json:
        """What the page is told at the end."""
        return {
            "figures": [self.figure] if self.steps else [], "heads": found.sites.places, "do": self.body["do"], "stopped": found.stopped,
            "evaluated": found.evaluated, "numbers": (self._numbers(found.sites) if found.sites else self.untouched) | {self.score: found.score}, "said": said,
        }  # fmt: skip


def targeted(bench: Workbench, body: Json, turn: Turn) -> Json:
    """Few heads that make the target, or the foil, the prediction.

    Raises:
        Problem: no target, nothing that is done.
    """
    prepared, body = bench.prepared(body), _with_something_done(bench, body)
    prompts = prepared.prompts
    target = _target(bench.model, prompts, body["target"])
    followed = replace(prompts, answers=target, foils=prompts.answers[:0], answer_sets=(), foil_sets=())
    search = _Search(bench.model, prepared, body, followed, turn, "", "")
    search.score = f"p({search.word})"
    search.title = f"Until {search.word} is the prediction"
    found = targeted_search(
        bench.model, prompts, targets=target.tolist(), share=1, size=body["size"], candidates=search.candidates,
        intervention=search.done_to, budget=BUDGET, seen=search.seen,
    )  # fmt: skip
    if found.stopped != "target":
        said = f"{search.word} is not the prediction: {_STOPPED[found.stopped]}. The nearest is {found.sites.places}."
    elif not len(found.sites):
        said = f"{search.word} is the prediction already, with nothing done."
    else:
        said = f"{search.word} is the prediction with {found.sites.places}."
    return search.end(found, f"{said} {found.evaluated} sets were measured.")


def generic(bench: Workbench, body: Json, turn: Turn) -> Json:
    """The heads that move the distribution over the next token most.

    Raises:
        Problem: nothing that is done.
    """
    prepared, body = bench.prepared(body), _with_something_done(bench, body)
    search = _Search(bench.model, prepared, body, prepared.prompts, turn, "What moves the prediction most", "KL")
    found = generic_search(
        bench.model, prepared.prompts, size=body["size"], candidates=search.candidates, intervention=search.done_to,
        objective=kl_divergence, budget=BUDGET, seen=search.seen,
    )  # fmt: skip
    said = f"{found.sites.places} moves the prediction most: {_STOPPED[found.stopped]}. {found.evaluated} sets were measured."
    return search.end(found, said)


def _with_something_done(bench: Workbench, body: Json) -> Json:
    """A body in which something is done to heads: a patch, where nothing was chosen and there is a counterfactual."""
    if body["do"] != "none":
        return body
    if bench.prepared(body).prompts.counterfactual is None:
        raise Problem("study", "choose in Do what is done to the heads, or write a counterfactual, from which they are patched then")
    return body | {"do": "patch"}


def _target(model: "TransformerBridge", prompts: PromptSet, word: str) -> torch.Tensor:
    if word.strip():
        try:
            return torch.tensor(Reader(model).singles([word], after_space=True))
        except MechcheckError as error:
            raise Problem("study", error) from error
    try:
        return prompts.asked("foils")
    except MechcheckError:
        raise Problem("study", "which token is to win? Write it, or a foil of one token for the prompt") from None


def _numbers_said(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())

