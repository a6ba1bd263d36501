"""Caveats of what was put in the place of activations: noise, those of prompts of another length, means over a few."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mechcheck.evidence.caveats.known import MILLER, ZHANG
from mechcheck.notation.interventions import Ablate, Noise

if TYPE_CHECKING:
    from mechcheck.notation.interventions import Intervention
    from mechcheck.prompts.prompt_set import PromptSet

FEWEST = 10
"""Prompts that a mean should be over. The standard error of a mean over n is 1/sqrt(n) of the activations' spread, and where prompts are
their own reference 1/n of what makes a prompt differ stays in: below ten these are a third, and a tenth, or more."""


class _Mean(NamedTuple):
    """The smallest group of prompts that some mean was over."""

    n: int
    over: str
    """What the group has in common."""


@dataclass
class Drawn:
    """What ablations and noise drew on."""

    noised_beside: bool = False
    """Whether prompts to whose runs noise was added have a counterfactual."""
    fewest: _Mean | None = None
    _known: dict[tuple[int, int, bool], "tuple[PromptSet, PromptSet]"] = field(default_factory=dict)
    """What has been counted, kept so that no id is given to another set."""

    def add(self, intervention: "Intervention", prompts: "PromptSet") -> None:
        """One intervention in a run of these prompts."""
        if isinstance(intervention, Noise):
            self.noised_beside |= prompts.counterfactual is not None
        if not isinstance(intervention, Ablate) or intervention.method != "mean":
            return
        source = intervention.reference or prompts.reference or prompts
        for grouped in {prompts.several(site.at) or site.kind == "pattern" for site in intervention.sites}:
            key = id(prompts), id(source), grouped
            if key in self._known:
                continue
            self._known[key] = prompts, source
            found = _smallest(prompts, source) if grouped else _Mean(len(source), "all of them")
            if self.fewest is None or found.n < self.fewest.n:
                self.fewest = found


def _smallest(prompts: "PromptSet", source: "PromptSet") -> _Mean:
    """The smallest group that a mean at every position is over: as the engine makes them, of a template and a length."""
    sizes = Counter(zip(source.templates, source.own_lengths.tolist(), strict=True))
    used = {*zip(prompts.templates, prompts.own_lengths.tolist(), strict=True)}
    return _Mean(min(sizes[key] for key in used), "those of one template and length")


def few_references(drawn: Drawn) -> Iterator[str]:
    """Mean ablation by means over fewer than `FEWEST` prompts."""
    if drawn.fewest is not None and drawn.fewest.n < FEWEST:
        n, over = drawn.fewest
        yield (
            f"mean ablation by means over {n} prompts ({over}), whose standard error is {n**-0.5:.0%} of the activations' spread: another "
            f"reference gives another mean, and effects depend on which ({MILLER}); give at least {FEWEST}, or name a position"
        )


def gaussian_noise(interventions: Sequence[Mapping[str, Any]], drawn: Drawn) -> Iterator[str]:
    """Noise, and nothing else, where tokens could be exchanged."""
    exchanged = any(one["source"] and one["source"]["from"] in ("counterfactual", "original") for one in interventions)
    if drawn.noised_beside and not exchanged:
        yield (
            "corrupted by Gaussian noise alone, though these prompts have a counterfactual: noise takes a model off its usual inputs, "
            f"and exchanging tokens is the better corruption ({ZHANG})"
        )


def other_lengths(interventions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Activations from longer or shorter prompts; means at every position are over prompts of one length anyway."""
    uneven = [source["replaced"] for one in interventions if (source := one["source"]) and source["replaced"]]
    most = max(uneven, key=lambda replaced: replaced["other_length"], default={"other_length": 0})
    if most["other_length"]:
        yield (
            f"{most['other_length']} of {most['prompts']} prompts take activations from one of another length: what is exchanged "
            f"should be as many tokens ({ZHANG})"
        )
