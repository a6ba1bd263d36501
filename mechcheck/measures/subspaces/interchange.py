"""Interchange interventions: what becomes of the answer when a subspace is taken from another prompt.

Geiger et al. 2021 (arXiv:2106.02997); within a subspace, Geiger et al. 2023 (arXiv:2303.02536).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mechcheck.engine.run import run, sweep
from mechcheck.measures.subspaces.pairs import Pairs, Tokens, check_unseen, pairs_of
from mechcheck.notation.interventions import UNTOUCHED, Intervention, Patch
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.operands import Operand, subtracted

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Interchange:
    """What exchanging some sites, or what lies in a subspace there, between two prompts does."""

    accuracy: Measurement
    """Yes and no per prompt: the token that was expected has a larger logit than its rival, which the base says."""
    shift: Measurement
    """By how much the exchange moves the logit difference towards the expected token, in logits."""
    whole_accuracy: Measurement
    """The accuracy where the sites' whole activations are exchanged."""
    whole_shift: Measurement
    """And the shift then."""
    untouched_accuracy: Measurement
    """And where nothing is exchanged: what the accuracies are to be held against."""
    source_accuracy: Measurement
    """Yes and no: the model prefers the expected token on the source itself; where it does not, there is nothing to bring over."""

    @property
    def share(self) -> Measurement:
        """The shift as a share of that of the whole activations: a ratio of means. It may exceed 1 (Makelov et al. 2023)."""
        return (self.shift / self.whole_shift).named("share of the whole patch's shift", "share")


def interchange(
    model: "TransformerBridge", prompts: PromptSet, sites: Sites, *, source: PromptSet | None = None, expected: Tokens | None = None
) -> Interchange:
    """Run the prompts with the sites, or what lies in their subspaces, as they are on the source, and ask who is answered.

    Args:
        model: from `load_model`.
        prompts: the bases, none of which a subspace was fitted on.
        sites: `site.within(subspace)`, or the sites of what a fit returned; exchanged all at once.
        source: aligned prompts; the prompts' counterfactual by default.
        expected: the token that each base is expected to say then, compared with its answer (with its foil where the answer itself is
            expected: the sources that leave it as it is). By default the source's answers where they differ from the prompts', else the
            foils: those of a counterfactual that turns one into the other.

    Raises:
        PromptError: prompts or sources that a subspace was fitted on; no source; nothing to compare with.
    """
    pairs = pairs_of(prompts, source, expected)
    check_unseen(sites, *pairs)
    return interchanges(model, pairs, [[Patch(sites, pairs.source)]], whole_of(sites))[0]


def interchanges(model: "TransformerBridge", pairs: Pairs, changes: Sequence[Sequence[Intervention]], whole: Sites) -> list[Interchange]:
    """What each of several changes does, beside the exchange of whole sites; all of the same prompts, in one sweep."""
    base, source = pairs
    clean, full, *found = sweep(model, base, [[], [Patch(whole, source)], *changes], logit_diff)
    brought = run(model, source, (), logit_diff).values
    beside = {
        "whole_accuracy": _preferred(full, base, "whole sites"),
        "whole_shift": _shift(clean, full, base, "whole sites"),
        "untouched_accuracy": _preferred(clean, base, "nothing exchanged"),
        "source_accuracy": _preferred(brought, base, "the source itself"),
    }
    return [Interchange(_preferred(some, base, "interchange"), _shift(clean, some, base, "interchange"), **beside) for some in found]


def whole_of(sites: Sites) -> Sites:
    """The sites without their subspaces."""
    return Sites(replace(site, code=None) for site in sites)


def _shift(clean: np.ndarray, changed: np.ndarray, base: PromptSet, what: str) -> Measurement:
    whole = Operand(f"logit difference, {UNTOUCHED}", "logits", clean, 1), Operand(f"logit difference, {what}", "logits", changed, -1)
    name = f"shift to the expected token ({what})"
    return Measurement(clean - changed, base.ids, base.templates, name, "logits", operands=subtracted(*whole))


def _preferred(differences: np.ndarray, base: PromptSet, what: str) -> Measurement:
    measured = Measurement(differences, base.ids, base.templates, "logit difference", "logits", under=what)
    return (measured < 0).named(f"accuracy ({what})")
