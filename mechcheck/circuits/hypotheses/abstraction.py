"""Causal abstraction: does a model do what a short Python function does, variable by variable?

Geiger et al. 2021 (arXiv:2106.02997) and 2023 (arXiv:2301.04709); what no variable is aligned with is perturbed too (arXiv:2607.00267).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.hypotheses.abstraction_runs import Alignment, Commutes, Runs
from mechcheck.circuits.hypotheses.high_level import HighLevel
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Variables = tuple[str, ...]


class Permuted(NamedTuple):
    """A decoy: the same function, its variables aligned with each other's sites."""

    alignment: Mapping[str, Sites]
    accuracy: Measurement
    """Yes and no per prompt: every interchange from above gives what the function says."""


@dataclass(frozen=True, eq=False)
class Abstraction:
    """Whether interventions on a model and on a function commute."""

    clean: Commutes
    """Nothing is intervened on: the model says what the function says."""
    above: Mapping[Variables, Commutes]
    """Variables set to what they are on a source each: every one alone, every pair, and all."""
    below: Mapping[tuple[str, str], Commutes]
    """A variable set, and another that follows from it read where it is aligned, then put into another prompt."""
    unmapped: Mapping[Variables, Commutes]
    """The same as `above`, and for () nothing set, with everything that is not aligned taken from another prompt."""
    singly: Mapping[Site, Commutes]
    """Nothing set, and one component that is not aligned from another prompt."""
    decoys: tuple[Permuted, ...]
    """None where there is one variable."""

    @property
    def interchange_accuracy(self) -> Measurement:
        """Yes and no per prompt: every interchange, from above and from below, gives what the function says."""
        return _all([*self.above.values(), *self.below.values()]).named("accuracy of interchanges")

    @property
    def unmapped_accuracy(self) -> Measurement:
        """Yes and no per prompt: so does every one with what is not aligned taken from elsewhere, all of it or one component."""
        return _all([*self.unmapped.values(), *self.singly.values()]).named("accuracy with the unmapped perturbed")

    @property
    def accuracy(self) -> Measurement:
        """Yes and no per prompt: all of this holds, and the untouched model says what the function says."""
        return _all(self.every).named("accuracy of the abstraction")

    @property
    def error(self) -> Measurement:
        """The abstraction error: the largest distance of the model's distribution from what the function says, over all interventions."""
        most = np.max([one.error.values for one in self.every], axis=0)
        first = self.clean.error
        return Measurement(most, first.ids, first.templates, "abstraction error", "total variation")

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The three accuracies and the error with their 95% intervals, clustered by template."""
        measured = {
            "accuracy": self.accuracy, "interchange accuracy": self.interchange_accuracy,
            "unmapped accuracy": self.unmapped_accuracy, "error": self.error,
        }  # fmt: skip
        return {name: estimate_mean(one, Confidence()).estimate for name, one in measured.items()}

    @property
    def every(self) -> list[Commutes]:
        """All interventions, the untouched model first."""
        parts = (self.above, self.below, self.unmapped, self.singly)
        return [self.clean, *(one for part in parts for one in part.values())]

    @property
    def worst(self) -> Commutes:
        """The intervention that gives what the function says most seldom; of several the first."""
        return min(self.every, key=lambda one: one.accuracy.mean)

    def __str__(self) -> str:
        decoys = f"; decoys at most {max(one.accuracy.mean for one in self.decoys):.2f}" if self.decoys else ""
        own, interchanged, perturbed, error = (f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in self.estimates.values())
        parts = f"interchanges {interchanged}, with the unmapped perturbed {perturbed}"
        return f"accuracy {own} ({parts}), error {error}; worst: {self.worst}{decoys}"


def _all(parts: list[Commutes]) -> Measurement:
    """Where all of them hold."""
    first = parts[0].accuracy
    held = reduce(np.minimum, [one.accuracy.values for one in parts])
    return Measurement(held, first.ids, first.templates, "accuracy", "share of prompts")


@usual_torch()
def causal_abstraction(
    model: "TransformerBridge", prompts: PromptSet, function: HighLevel, alignment: Mapping[str, Sites], *, decoys: int = 5, seed: int = 0
) -> Abstraction:
    """Whether a model does what a function does, each of its variables where it is aligned.

    The function takes a prompt and `let`, names its variables by it, and returns the token that the model is to say::

        def gives(prompt, let):
            giver = let("giver", prompt["S2"])
            return let("answer", prompt["IO"] if giver == prompt["S1"] else prompt["S1"])

    - From above: variables are set to what they are on source prompts, in the function; their sites are put in from these sources, in
      the model. Both must say the same. Several variables have a source each.
    - From below: a variable's site is put in from a source; what then stands at the site of a variable that follows from it is put into
      a third prompt, which must say what the function says with that variable set.
    - The unmapped: the same with every head and MLP that no variable is aligned with taken from yet another prompt, all together, and,
      with nothing set, each by itself. What is aligned keeps what it has without that. So whatever matters must be aligned: a part that
      carries something on behind the last variable is found out here, and by nothing else.

    Sources and other prompts are of the same template and length, counterfactuals among them. Token embeddings stay the prompt's own:
    these are what the function reads. What the model says is the one token with the largest logit at END; of several it says none.

    Args:
        model, prompts: as in `run`; prompts on which no subspace of the alignment was fitted.
        function: the hypothesis.
        alignment: variable -> where it is: sites, or `sites.within(subspace)`.
        decoys: how many permuted alignments, drawn where there are more.
        seed: of all draws, which do not depend on the order of the prompts.

    Raises:
        CircuitError: a function that fails, names other variables than are aligned, or gives no token; sites of two variables that overlap.
        PromptError: a template with one prompt only, or prompts that a subspace was fitted on.
        SiteError: sites that the model does not have, edges, or a model whose parts cannot be taken from another prompt.
    """
    if decoys < 0:
        raise MechcheckError(f"decoys={decoys}: none or more")
    runs = Runs(model, prompts, function, Alignment(model, alignment), seed)
    permuted = runs.alignment.permutations(decoys, seed)
    untouched, away, singly = runs.nothing_set()
    found = {some: runs.set(some, permuted) for some in runs.alignment.subsets}
    return Abstraction(
        untouched,
        {some: own for some, (own, _, _) in found.items()},
        {pair: runs.below(*pair) for pair in runs.pairs()},
        {(): away} | {some: whole for some, (_, whole, _) in found.items()},
        singly,
        tuple(
            Permuted(other.sites, _all([others[number] for _, _, others in found.values()]).named("accuracy of interchanges"))
            for number, other in enumerate(permuted)
        ),
    )
