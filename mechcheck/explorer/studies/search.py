"""Searches for heads, or other sites: those that move the prediction most, and the fewest that make a chosen token win."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.greedy_search import SearchResult, SearchStep, generic_search, targeted_search, trace_figure
from mechcheck.engine.run import sweep_metrics
from mechcheck.explorer.bodies import DEFAULTS, Json, Problem
from mechcheck.explorer.change import cells, changes, chosen_heads
from mechcheck.explorer.figures import html
from mechcheck.explorer.prompt import Prepared, tokens_said
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
"""Sites that a search may choose from, at most."""
BUDGET = 10_000
"""Sets that a search measures, at most."""
_STAGES = {"single": "each alone", "pair": "pairs of the best", "greedy": "one more", "prune": "one less"}
_STOPPED = {
    "size": "as many sites as were allowed",
    "no gain": "no further site brings more",
    "budget": f"{BUDGET} sets were measured, and no more are",
}


class _Search:
    """A search under way: what it may choose from, and what the page is told of each step."""

    def __init__(self, bench: Workbench, body: Json, turn: Turn):
        """Of the heads, or other sites, at the chosen positions, under what is done.

        Raises:
            Problem: nothing is done, or too many sites.
        """
        self.model, self.prepared, self._turn = bench.model, bench.prepared(body), turn
        self.body = _with_something_done(body, self.prepared)
        self._of: str = (DEFAULTS | body)["of"]
        self.steps: list[SearchStep] = []
        self._numbers: list[dict[str, float]] = []
        names = cells(self.model, self._of)
        if not names:
            raise Problem(
                "study", f"there are too many {self._of} to search: choose heads, or another kind of site that the page has cells for"
            )
        self.candidates = chosen_heads(self.model, self.body | {"heads": " ".join(names)})
        if len(self.candidates) > CANDIDATES:
            told = (
                f"{len(self.candidates)} {self._of} at positions are too many to search, {CANDIDATES} at most: choose fewer positions in Do"
            )
            raise Problem("study", told)
        changes(self.candidates, self.prepared, self.body)  # what has to be seen of them is seen in one run
        self.follow(self.prepared.prompts, "KL", "What moves the prediction most")

    def follow(self, prompts: PromptSet, score: str, title: str) -> None:
        """The prompt, with the token that is followed as its answer, if there is one; what the search makes large; what it is called."""
        self._followed, self._score, self._title = prompts, score, title
        known = len(prompts.answers) > 0
        self._metrics = [kl_divergence, *((probability, rank) if known else ())]
        self._names = ["KL", *((f"p({self.word})", f"rank of {self.word}") if known else ())]
        self._untouched = self._measured([])

    @property
    def word(self) -> str:
        """The token that is followed."""
        return tokens_said(self._followed, "answers") or ""

    def done_to(self, sites: Sites) -> list[Intervention]:
        """What is done to a set."""
        return changes(sites, self.prepared, self.body)

    def _measured(self, done: list[Intervention]) -> dict[str, float]:
        values = sweep_metrics(self.model, self._followed, [done], self._metrics)
        return {name: float(value[0, 0]) for name, value in zip(self._names, values, strict=True)}

    def seen(self, step: SearchStep) -> None:
        """Tell the page of a step."""
        before = self.steps[-1].sites if self.steps else Sites()
        numbers = self._measured(self.done_to(step.sites)) | {self._score: step.score}
        self.steps.append(step)
        self._numbers.append(numbers)
        told = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        self._turn.tell(
            "trace",
            {
                "step": len(self.steps),
                "stage": step.stage,
                "heads": step.sites.places,
                "added": [str(one) for one in step.sites - before],
                "removed": [str(one) for one in before - step.sites],
                "evaluated": step.evaluated,
                "numbers": numbers,
                "said": f"{_STAGES[step.stage]}: {step.sites.places}, {told}",
                "figure": self._figure,
            },
        )

    @property
    def _figure(self) -> str:
        """The trace so far."""
        drawn = trace_figure(self._title, self.steps, self._untouched[self._score], self._score)
        details: dict[str, list[str | float]] = {
            "stage": [_STAGES[step.stage] for step in self.steps],
            "sets measured": [step.evaluated for step in self.steps],
        }
        details |= {name: [one[name] for one in self._numbers] for name in self._names if name != self._score}
        return html(replace(drawn, details=details))

    def end(self, found: SearchResult, said: str) -> Json:
        """What the page is told at the end."""
        numbers = self._measured(self.done_to(found.sites)) if found.sites else self._untouched
        return {
            "figures": [self._figure] if self.steps else [],
            "heads": found.sites.places,
            "of": self._of,
            "do": self.body["do"],
            "stopped": found.stopped,
            "evaluated": found.evaluated,
            "numbers": numbers | {self._score: found.score},
            "said": f"{said} {found.evaluated} sets were measured.",
        }


def targeted(bench: Workbench, body: Json, turn: Turn) -> Json:
    """Few heads that make the target, or the foil, the prediction.

    Raises:
        Problem: no target, nothing that is done, too many heads.
    """
    search = _Search(bench, body, turn)
    prompts = search.prepared.prompts
    target = _target(bench.model, prompts, body["target"])
    vocabulary = {int(target[0]): bench.model.tokenizer.decode(target[:1])}
    followed = replace(prompts, answers=target, foils=target[:0], answer_sets=(), foil_sets=(), vocabulary=vocabulary)
    word = tokens_said(followed, "answers")
    search.follow(followed, f"p({word})", f"Until {word} is the prediction")
    found = targeted_search(
        bench.model, prompts, targets=target.tolist(), share=1, size=body["size"], candidates=search.candidates,
        intervention=search.done_to, budget=BUDGET, seen=search.seen,
    )  # fmt: skip
    if found.stopped != "target":
        return search.end(found, f"{word} is not the prediction: {_STOPPED[found.stopped]}. The nearest is {found.sites.places}.")
    return search.end(
        found, f"{word} is the prediction " + (f"with {found.sites.places}." if found.sites else "already, with nothing done.")
    )


def generic(bench: Workbench, body: Json, turn: Turn) -> Json:
    """The heads that move the distribution over the next token most.

    Raises:
        Problem: nothing that is done, too many heads.
    """
    search = _Search(bench, body, turn)
    found = generic_search(
        bench.model, search.prepared.prompts, size=body["size"], candidates=search.candidates, intervention=search.done_to,
        objective=kl_divergence, budget=BUDGET, seen=search.seen,
    )  # fmt: skip
    return search.end(found, f"{found.sites.places} moves the prediction most: {_STOPPED[found.stopped]}.")


def _with_something_done(body: Json, prepared: Prepared) -> Json:
    """A body in which something is done to heads: a patch, where nothing was chosen and there is a counterfactual."""
    if body["do"] != "none":
        return body
    if prepared.prompts.counterfactual is None:
        raise Problem("study", "choose in Do what is done to the heads, or write a counterfactual, from which they are patched then")
    return body | {"do": "patch"}


def _target(model: "TransformerBridge", prompts: PromptSet, word: str) -> Int[Tensor, " prompt"]:
    if word.strip():
        try:
            return torch.tensor(Reader(model).singles([word], after_space=True))
        except MechcheckError as error:
            raise Problem("study", error) from error
    try:
        return prompts.asked("foils")
    except MechcheckError:
        raise Problem("study", "which token is to win? Write it, or a foil of one token for the prompt") from None
