"""Greedy searches for sites: the set that moves the prediction most, and the fewest that make the model say something else.

Both searches rank sites by what changing each does alone, keep the best, try all pairs of those, and add further ones greedily.
Every set is measured by real forward passes on all prompts. Nothing is drawn at random, and of equals the earlier site is taken.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import sweep_metrics
from mechcheck.measures.causal.ablation import Change, all_heads, mean_ablation
from mechcheck.measures.figures.model import SearchTrace
from mechcheck.notation.distribution_metrics import distribution_shift
from mechcheck.notation.metrics import Metric, correct, probability
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Stage = Literal["single", "pair", "greedy", "prune"]
Stopped = Literal["target", "size", "no gain", "budget"]

# Differences of the score that a float32 forward pass makes up by itself are no gain.
_NOISE = 1e-6


@dataclass(frozen=True)
class SearchStep:
    """One step of a search: the sets that were tried, and the best of them."""

    stage: Stage
    sites: Sites
    """The best set of this step."""
    score: float
    """Its score, as the mean over the prompts."""
    reached: float | None
    """Share of the prompts on which the set makes the target the prediction; None in a search without a target."""
    evaluated: int
    """How many sets were measured in this step."""


Seen = Callable[[SearchStep], None]


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and how."""

    sites: Sites
    """The set it ended with."""
    score: float
    """Its score, as the mean over the prompts."""
    untouched: float
    """The score when nothing is changed."""
    singles: tuple[tuple[Site, float], ...]
    """Every candidate with its score alone, the highest first."""
    steps: tuple[SearchStep, ...]
    """In order; a step that brought no gain is the last, and not what the search ended with."""
    stopped: Stopped
    """"target": the prediction is the target often enough; "size": the set is as large as allowed; "no gain": nothing that
    was tried scores higher; "budget": no more sets may be measured."""

    @property
    def evaluated(self) -> int:
        """How many sets were measured in all."""
        return sum(step.evaluated for step in self.steps)

    def figure(self, title: str, score_label: str = "score") -> SearchTrace:
        """Each step's best set with its score, as the report draws it."""
        return trace_figure(title, self.steps, self.untouched, score_label)

    def _repr_html_(self) -> str:
        return self.figure("Search")._repr_html_()


def trace_figure(title: str, steps: Sequence[SearchStep], untouched: float, score_label: str = "score") -> SearchTrace:
    """The steps of a search, of one that is still under way too.

    Args:
        title: above the figure.
        steps: in order.
        untouched: the score when nothing is changed.
        score_label: what the score is.
    """
    details: dict[str, list] = {"stage": [step.stage for step in steps], "sets measured": [step.evaluated for step in steps]}
    if any(step.reached is not None for step in steps):
        details["prompts at the target"] = [step.reached for step in steps]
    sets = [Sites(), *(step.sites for step in steps)]
    changes = [([*map(str, now - before)], [*map(str, before - now)]) for before, now in itertools.pairwise(sets)]
    drawn = [(str(step.sites), step.score) for step in steps]
    return SearchTrace(title, drawn, score_label, untouched, details=details, changes=changes)


def generic_search(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    size: int,
    candidates: Sites | None = None,
    intervention: Change = mean_ablation,
    objective: Metric = distribution_shift,
    keep: float = 0.2,
    pairs: bool = True,
    budget: int | None = None,
    seen: Seen | None = None,
    executor: Executor | None = None,
) -> SearchResult:
    """The set of sites whose change moves the prediction most.

    All candidates are changed one at a time; the best `keep` of them go on; the best of all their pairs is grown by the site
    that raises the objective most, until the set has `size` sites or nothing raises it.

    Args:
        model: from `load_model`.
        prompts: the prompts to search on; verify what is found on others.
        size: how many sites the set may have.
        candidates: the sites to choose from; all heads at every position by default.
        intervention: what is done to the sites.
        objective: what is to be large, as the mean over the prompts.
        keep: share of the candidates that go on from the first step (but at least `size` of them, and two).
        pairs: try all pairs of those. Without them the search is purely greedy, and blind to sites that stand in for each other.
        budget: how many sets may be measured at most. Of too many pairs only those of the best sites are tried.
        seen: is given each step as soon as it is done; what it raises ends the search.
        executor: shares the batches of each step out, as in `sweep`.

    Raises:
        MechcheckError: a size, share or budget that leaves nothing to search, or an objective that is not finite.
    """
    bench = _Bench(model, prompts, intervention, objective, None, budget, seen, executor)
    return _search(bench, all_heads(model) if candidates is None else candidates, size, keep, pairs)


def targeted_search(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    targets: Sequence[int] | None = None,
    share: float = 0.5,
    size: int = 4,
    candidates: Sites | None = None,
    intervention: Change = mean_ablation,
    keep: float = 0.2,
    pairs: bool = True,
    budget: int | None = None,
    seen: Seen | None = None,
    executor: Executor | None = None,
) -> SearchResult:
    """A small set of sites whose change makes a chosen token the prediction.

    As `generic_search`, with the probability of the target as the objective, until the target is the most likely token on the
    stated share of the prompts. A set that gets there is pruned: no site can be dropped from it without falling short. That is
    minimal, and not always smallest: where only larger sets than pairs will do, a set may exist that greedy steps do not find.

    Args:
        targets: a token for each prompt; the foils by default (for IOI: the subject).
        share: on how many of the prompts the target has to be the prediction.
        size: how many sites the set may have.
        model, prompts, candidates, intervention, keep, pairs, budget, seen, executor: as in `generic_search`. Pruning is within the budget.

    Raises:
        PromptError: not one target for each prompt.
        MechcheckError: as in `generic_search`, or a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise MechcheckError(f"share={share}: choose on which share of the prompts the target has to be the prediction, above 0, at most 1")
    wanted = prompts.asked("foils") if targets is None else torch.as_tensor(targets)
    if wanted.shape != (len(prompts),):
        raise PromptError(f"targets of shape {tuple(wanted.shape)} for {len(prompts)} prompts; give one token for each")
    bench = _Bench(model, replace(prompts, answers=wanted), intervention, probability, share, budget, seen, executor)
    return _search(bench, all_heads(model) if candidates is None else candidates, size, keep, pairs)


class _Trial(NamedTuple):
    sites: Sites
    score: float
    reached: float | None


class _Bench:
    """Measures sets of sites within the budget, and keeps the record of it."""

    def __init__(
        self,
        model: "TransformerBridge",
        prompts: PromptSet,
        intervention: Change,
        objective: Metric,
        share: float | None,
        budget: int | None,
        seen: Seen | None,
        executor: Executor | None,
    ):
        self._model, self._prompts, self._intervention = model, prompts, intervention
        self._objective, self._share, self._seen = objective, share, seen
        self._executor = executor
        self.left = math.inf if budget is None else budget
        self.steps: list[SearchStep] = []
        self.untouched = self._measure([Sites()])[0]

    def try_all(self, stage: Stage, sets: Sequence[Sites]) -> list[_Trial]:
        """Measure as many of the sets as the budget allows, and note the best of them as a step."""
        affordable = sets[: int(min(self.left, len(sets)))]
        self.left -= len(affordable)
        trials = self._measure(affordable)
        self.steps.append(SearchStep(stage, *self.best(trials), len(trials)))
        if self._seen is not None:
            self._seen(self.steps[-1])
        return trials

    def arrived(self, trial: _Trial) -> bool:
        """Whether a set makes the target the prediction often enough."""
        return self._share is not None and trial.reached is not None and trial.reached >= self._share

    def best(self, trials: Sequence[_Trial]) -> _Trial:
        """The highest score among those that arrived, or, where none did, among all."""
        return max([t for t in trials if self.arrived(t)] or trials, key=lambda t: t.score)

    def _measure(self, sets: Sequence[Sites]) -> list[_Trial]:
        variants = [self._intervention(sites) if sites else [] for sites in sets]
        wanted = [self._objective] if self._share is None else [self._objective, correct]
        scores, *shares = (found.mean(1) for found in sweep_metrics(self._model, self._prompts, variants, wanted, executor=self._executor))
        if not np.isfinite(scores).all():
            changed = sets[int(np.argmin(np.isfinite(scores)))]
            raise MechcheckError(f"{self._objective.name} is not finite with {changed or 'nothing'} changed, so sets cannot be compared")
        reached = map(float, shares[0]) if shares else [None] * len(sets)
        return [_Trial(*trial) for trial in zip(sets, map(float, scores), reached, strict=True)]


def _search(bench: _Bench, candidates: Sites, size: int, keep: float, pairs: bool) -> SearchResult:
    if not len(candidates):
        raise SiteError("no candidates: give the sites that the search may choose from")
    if size < 1 or not 0 < keep <= 1:
        raise MechcheckError(f"size={size}, keep={keep}: a set has 1 site or more, and a share above 0, at most 1, goes on")
    if bench.left < len(candidates):
        raise MechcheckError(f"a budget of {bench.left} sets does not cover the {len(candidates)} candidates, one at a time")
    if bench.arrived(bench.untouched):
        return SearchResult(Sites(), bench.untouched.score, bench.untouched.score, (), (), "target")
    ranked = sorted(bench.try_all("single", [Sites([site]) for site in candidates]), key=lambda t: -t.score)
    kept = [site for trial in ranked[: max(math.ceil(keep * len(ranked)), size, 2)] for site in trial.sites]
    best, stopped = _grow(bench, bench.best(ranked), kept, size, pairs)
    if stopped == "target":
        best = _prune(bench, best)
    singles = tuple((site, trial.score) for trial in ranked for site in trial.sites)
    return SearchResult(best.sites, best.score, bench.untouched.score, singles, tuple(bench.steps), stopped)


def _grow(bench: _Bench, best: _Trial, kept: Sequence[Site], size: int, pairs: bool) -> tuple[_Trial, Stopped]:
    """Make the best set larger, until the target is reached or a reason to stop is."""
    while not bench.arrived(best):
        if len(best.sites) >= min(size, len(kept)):
            return best, "size"
        if not bench.left:
            return best, "budget"
        if pairs and len(best.sites) == 1:
            found = bench.best(bench.try_all("pair", _pairs(kept, bench.left)))
        else:
            found = bench.best(bench.try_all("greedy", [best.sites | Sites([site]) for site in kept if site not in best.sites]))
        if not bench.arrived(found) and found.score <= best.score + _NOISE:
            return best, "no gain" if bench.left else "budget"
        best = found
    return best, "target"


def _pairs(kept: Sequence[Site], budget: float) -> list[Sites]:
    """All pairs of the best sites, of as many of these as the budget has pairs for."""
    many = max(m for m in range(2, len(kept) + 1) if m == 2 or math.comb(m, 2) <= budget)
    return [Sites(pair) for pair in itertools.combinations(kept[:many], 2)]


def _prune(bench: _Bench, best: _Trial) -> _Trial:
    """Drop sites for as long as the target stays the prediction often enough."""
    while len(best.sites) > 1 and bench.left:
        smaller = bench.best(bench.try_all("prune", [best.sites - Sites([site]) for site in best.sites]))
        if not bench.arrived(smaller):
            return best
        best = smaller
    return best
