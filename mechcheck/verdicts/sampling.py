"""Sequential sampling: a claim draws part of its prompts, and more until it is decided or its budget is spent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from mechcheck.verdicts.rank import rank_p
from mechcheck.verdicts.settling import beyond_prompts
from mechcheck.verdicts.verdict import Expectation, Verdict

if TYPE_CHECKING:
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.stats.estimates import Confidence
    from mechcheck.verdicts.check import Check

PARTS = (0.25, 0.5, 0.75, 1.0)
"""Of the budget, drawn by the time of each look."""
FEWEST = 16
"""Prompts at which the first look may be taken."""
Stopped = Literal["decided", "spent", "futile"]
"""Why no more was drawn: futile where what is missing is not prompts."""

_parts: "WeakKeyDictionary[PromptSet, dict[int, PromptSet]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Look:
    """What a claim came to on part of its prompts."""

    prompts: int
    templates: int
    alpha_spent: float
    """One-sided, by this look and those before it."""
    verdict: Verdict
    """Errored where the prompts were too few for its body."""


@dataclass(frozen=True)
class Sampling:
    """How a claim drew its prompts."""

    budget: int
    planned: int
    """Looks that there would have been."""
    looks: tuple[Look, ...]
    stopped: Stopped | None
    """None where an error ended it."""

    @property
    def text(self) -> str:
        """What a reader is told."""
        how = {"decided": "decided", "spent": "not decided", "futile": "not decided, and more would not help,", None: "ended by an error"}
        last = self.looks[-1]
        return f"{how[self.stopped]} after {last.prompts} of {self.budget} prompts (look {len(self.looks)} of {self.planned})"


@dataclass
class Draw:
    """How much of its prompts a claim has drawn, for whatever asks for them while its body runs."""

    budget: int
    confidence: "Confidence"
    """Over all looks."""
    number: int = 0
    """Of the look, from 0."""
    looks: list[Look] = field(default_factory=list)
    ranks: dict[int, float] = field(default_factory=dict)
    """Place of an expectation among its claim's -> the worst rank p-value that it has had at any look."""

    @property
    def parts(self) -> tuple[float, ...]:
        """Of the budget, at each look; a first look at hardly anything is none."""
        return tuple(part for part in PARTS if part == 1 or part * self.budget >= FEWEST)

    @property
    def at_look(self) -> "Confidence":
        """How sure a decision must be at this look."""
        from mechcheck.stats.sequential import at_look

        return at_look(self.confidence, self.parts, self.number)

    def drawn(self, prompts: "PromptSet") -> "PromptSet":
        """Those of all prompts that this look is at: the first two of each template, the next two, ...; the same object each time."""
        n = math.ceil(self.parts[self.number] * len(prompts) - 1e-9)
        if n >= len(prompts):
            return prompts
        known = _parts.setdefault(prompts, {})
        if n not in known:
            known[n] = prompts[sorted(in_pairs(prompts.templates)[:n])]
        return known[n]

    @property
    def is_last(self) -> bool:
        """Whether everything has been drawn."""
        return self.number + 1 == len(self.parts)

    def pass_over(self, prompts: "PromptSet") -> None:
        """Remember that these prompts were too few for the claim's body: nothing was looked at."""
        self._remember("errored", prompts)

    def look(self, verdict: Verdict, expectations: Sequence[Expectation], prompts: "PromptSet") -> Sampling:
        """Remember what the claim came to at this look, on these prompts; returns all the looks up to it."""
        self._remember(verdict, prompts)
        return Sampling(self.budget, len(self.parts), tuple(self.looks), self._stopped(verdict, expectations))

    def _remember(self, verdict: Verdict, prompts: "PromptSet") -> None:
        from mechcheck.stats.sequential import spent

        alpha = round(spent(self.confidence.alpha, self.parts[self.number]), 9)
        self.looks.append(Look(len(prompts), len(set(prompts.templates)), alpha, verdict))

    def _stopped(self, verdict: Verdict, expectations: Sequence[Expectation]) -> Stopped | None:
        unmet = any(e.role == "precondition" and e.verdict == "refuted" for e in expectations)
        if verdict in ("supported", "refuted") or unmet:
            return "decided"
        if self.is_last:
            return "spent"
        left = [e for e in expectations if e.verdict != "supported"]
        return "futile" if all(e.verdict == "inconclusive" and beyond_prompts(e, self.at_look) for e in left) else None

    def hold_ranks(self, check: "Check") -> None:
        """Let the rank of a claim's sites among random ones count as it was at the worst look.

        Then looking at it again gives no second chance: it is small enough at all looks no more often than at the first.
        """
        for place, e in enumerate(check.expectations):
            if e.control is None:
                continue
            rank = self.ranks[place] = max(self.ranks.get(place, 0.0), rank_p(e.control))
            e = replace(e, p=None if e.p is None else max(e.p, rank))
            if e.verdict == "supported" and rank > check.confidence.overall:
                why = f"at an earlier look its rank among the controls was too low (p = {rank:.2g})"
                caveat = "; ".join(filter(None, [e.estimate.caveat, why]))
                e = replace(e, verdict="inconclusive", estimate=replace(e.estimate, caveat=caveat))
            check.expectations[place] = e


def in_pairs(templates: tuple[str, ...]) -> list[int]:
    """Rows, two of each template, then two more of each, and so on.

    Pairs, because one prompt alone tells nothing of how much a template's prompts agree, and leaves none to take a mean with.
    """
    order = {template: i for i, template in enumerate(dict.fromkeys(templates))}
    seen = dict.fromkeys(templates, 0)
    places = []
    for row, template in enumerate(templates):
        places.append((seen[template] // 2, order[template], row))
        seen[template] += 1
    return [row for _, _, row in sorted(places)]
