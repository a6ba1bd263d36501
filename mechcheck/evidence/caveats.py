"""What best practice warns of in how a claim was measured: no verdict depends on it, and a reader should know it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechcheck.engine.watch import Ran
    from mechcheck.notation.metrics import Metric
    from mechcheck.prompts.prompt_set import PromptSet

Json = dict[str, Any]

ZHANG = "Zhang and Nanda 2024, arXiv:2309.16042"
HEIMERSHEIM = "Heimersheim and Nanda 2024, arXiv:2404.15255"
BRIEFLY = {
    "gaussian_noise": f"Gaussian noise where there is a counterfactual that exchanges tokens ({ZHANG})",
    "other_lengths": f"activations from prompts of another length ({ZHANG})",
    "bounded_metric": f"effects read as probabilities or accuracies alone ({ZHANG}; {HEIMERSHEIM})",
    "saturated_metric": f"probabilities that are nearly 0 or 1 on most prompts ({HEIMERSHEIM})",
}
"""What a caveat is about -> what a run's summary says of the claims that have it."""

_BOUNDED = ("probability", "share of prompts", "share of tokens")
"""Units of what cannot grow with the logits."""
_FULL = 0.01
"""So near to 0 or to 1 a probability is saturated."""


@dataclass
class Readings:
    """How runs were read."""

    changed: dict[str, str] = field(default_factory=dict)
    """Metric -> unit, of runs in which something was changed."""
    full: Counter[str] = field(default_factory=Counter)
    """Probability -> values that are nearly 0 or 1, in any run."""
    all: Counter[str] = field(default_factory=Counter)
    """Probability -> values."""
    signed: set[str] = field(default_factory=set)
    """What is a probability by its unit, and a difference of two by its values, some of which are negative."""
    noised_beside: bool = False
    """Whether prompts to whose runs noise was added have a counterfactual."""

    def add(self, ran: "Ran") -> None:
        """What one run gave."""
        import numpy as np

        for metric, values in zip(ran.metrics, ran.values, strict=True):
            if any(ran.variants):
                self.changed[metric.name] = metric.unit
            if _is_probability(metric):
                real = values[~np.isnan(values)]
                self.signed |= {metric.name} if (real < 0).any() else set()
                self.all[metric.name] += real.size
                self.full[metric.name] += int(((real < _FULL) | (real > 1 - _FULL)).sum())

    def noised(self, prompts: "PromptSet") -> None:
        """Noise was added to a run of these prompts."""
        self.noised_beside |= prompts.counterfactual is not None


def caveat_lines(claims: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each kind of caveat in a run: what it is about, and how many claims have it."""
    found = Counter(about for claim in claims for about in {caveat["about"] for caveat in claim.get("caveats", ())})
    for about, n in sorted(found.items()):
        yield f"{n} claim{'s' * (n != 1)}: {BRIEFLY.get(about, about)}"


def caveats_of(interventions: Sequence[Mapping[str, Any]], readings: Readings) -> list[Json]:
    """What there is to know of runs with these interventions (as the evidence has them), read in this way."""
    found = [
        *(("gaussian_noise", text) for text in _gaussian_noise(interventions, readings)),
        *(("other_lengths", text) for text in _other_lengths(interventions)),
        *(("bounded_metric", text) for text in _bounded_metric(readings)),
        *(("saturated_metric", text) for text in _saturated_metric(readings)),
    ]
    return [{"about": about, "text": text} for about, text in found]


def _gaussian_noise(interventions: Sequence[Mapping[str, Any]], readings: Readings) -> Iterator[str]:
    exchanged = any(one["source"] and one["source"]["from"] in ("counterfactual", "original") for one in interventions)
    if readings.noised_beside and not exchanged:
        yield (
            "corrupted by Gaussian noise alone, though these prompts have a counterfactual: noise takes a model off its usual inputs, "
            f"and exchanging tokens is the better corruption ({ZHANG})"
        )


def _other_lengths(interventions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    uneven = [source["replaced"] for one in interventions if (source := one["source"]) and source["replaced"]]
    most = max(uneven, key=lambda replaced: replaced["other_length"], default={"other_length": 0})
    if most["other_length"]:
        yield (
            f"{most['other_length']} of {most['prompts']} prompts take activations from one of another length: what is exchanged "
            f"should be as many tokens ({ZHANG})"
        )


def _bounded_metric(readings: Readings) -> Iterator[str]:
    if readings.changed and all(unit in _BOUNDED for unit in readings.changed.values()):
        yield (
            f"the effect is read as {', '.join(sorted(readings.changed))} alone, which is not linear in the logits and can miss what "
            f"works against the answer: let a logit difference or a log probability stand beside it ({ZHANG}; {HEIMERSHEIM})"
        )


def _saturated_metric(readings: Readings) -> Iterator[str]:
    for name in sorted(readings.changed.keys() & (readings.all.keys() - readings.signed)):
        share = readings.full[name] / max(1, readings.all[name])
        if share > 0.5:
            yield (
                f"{name} is below {_FULL:g} or above {1 - _FULL:g} in {share:.0%} of its values, where a change hardly shows: a logit "
                f"difference does not saturate ({HEIMERSHEIM})"
            )


def _is_probability(metric: "Metric") -> bool:
    """A probability itself, and no difference of two."""
    return metric.unit == "probability" and not metric.needs_clean
