"""What else would do what a found subspace does: its controls, measured on the same prompts."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.base.seeds import seed_from
from mechcheck.engine.run import capture
from mechcheck.measures.subspaces.fitting import FittedSubspace
from mechcheck.measures.subspaces.interchange import Interchange, interchanges, whole_of
from mechcheck.measures.subspaces.pairs import Pairs, Tokens, check_unseen, pairs_of
from mechcheck.notation.codes import Code, Linear, RandomSubspace, subspace
from mechcheck.notation.interventions import Intervention, Patch, Put
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class SubspaceControls:
    """A found subspace and its controls, each exchanged between the same pairs of prompts.

    They answer different questions, and the first four are of any subspace of its dimension; the last two are fitted as it was.
    """

    found: Interchange
    """The subspace itself."""
    norm_matched: tuple[Interchange, ...]
    """Moves as far as the subspace's, in random subspaces: is it enough to push the activation that far?"""
    random: tuple[Interchange, ...]
    """Uniformly drawn subspaces. The weakest control: of a difference between activations one in d dimensions holds the share 1 / d."""
    among_activations: tuple[Interchange, ...]
    """Random mixtures of the activations that it was found on. Stronger: these lie where prompts differ, and hold the share
    tr(C^2) / tr(C)^2 of a difference, C being the covariance. None where the activations leave no choice of a subspace."""
    neurons: tuple[Interchange, ...]
    """Randomly drawn components of the activation: the standard basis."""
    arbitrary: tuple[Interchange, ...]
    """The same fits with arbitrary labels (Hewitt and Liang 2019, arXiv:1909.03368; Arora et al. 2024,
    arXiv:2402.12560): does the method need what was asked for?"""
    reinitialised: tuple[Interchange, ...]
    """The same fits on twins with random weights, and exchanged there: does it need a trained model? (Sutter et al. 2025) Such a twin
    prefers either token by chance, so hold its accuracy against its `untouched_accuracy`."""

    @property
    def named(self) -> dict[str, tuple[Interchange, ...]]:
        """Control -> what it did, without controls of which there are none."""
        every = {
            "norm-matched": self.norm_matched,
            "random": self.random,
            "random among activations": self.among_activations,
            "random neurons": self.neurons,
            "arbitrary labels": self.arbitrary,
            "random weights": self.reinitialised,
        }
        return {name: some for name, some in every.items() if some}

    @property
    def strongest(self) -> Interchange:
        """The one control on this model, of any kind, with the highest accuracy; of several the one with the largest shift."""
        here = (some for name, some in self.named.items() if name != "random weights")
        return max(itertools.chain(*here), key=lambda one: (one.accuracy.mean, one.shift.mean))


@usual_torch()
def subspace_controls(
    model: "TransformerBridge", prompts: PromptSet, found: FittedSubspace, *,
    source: PromptSet | None = None, expected: Tokens | None = None, n: int = 20, fits: int = 1, seed: int = 0,
) -> SubspaceControls:  # fmt: skip
    """Exchange a found subspace, and what could do the same, between prompts that none of them was fitted on.

    Args:
        model, prompts, source, expected: as in `interchange`.
        found: by `das`, `difference_of_means` or `probe`.
        n: random subspaces of each kind.
        fits: how often to fit again with arbitrary labels, and on random weights; 0 leaves both out.
        seed: of the draws.

    Raises:
        PromptError, SiteError: as in `interchange`. MechcheckError: no controls at all.
    """
    from mechcheck.models.loading import reinitialised

    if n < 1 or fits < 0:
        raise MechcheckError(f"n={n}, fits={fits}: at least one random subspace of each kind, and no negative number of fits")
    pairs = pairs_of(prompts, source, expected)
    check_unseen(found.sites, *pairs)
    code, whole, place = found.subspace, whole_of(found.sites), next(iter(found.sites))
    dim, d = code.size
    seeds = [seed_from(f"subspace controls {seed} {i}") for i in range(n)]

    def exchanged(codes: list[Code]) -> list[list[Intervention]]:
        return [[Patch(whole.within(one), pairs.source)] for one in codes]

    uniform: list[Code] = [RandomSubspace(dim, d, one, f"random {dim} of {d}") for one in seeds]
    kinds: list[list[list[Intervention]]] = [
        exchanged([code]),
        _norm_matched(model, pairs, whole, code, uniform),
        exchanged(uniform),
        exchanged([] if code.among is None else [code.drawn(one) for one in seeds]),
        exchanged([_neurons(d, dim, one) for one in seeds]),
        exchanged([found.again(model, one).subspace for one in seeds[:fits]]),
    ]
    done = iter(interchanges(model, pairs, [change for kind in kinds for change in kind], whole))
    groups = [tuple(itertools.islice(done, len(kind))) for kind in kinds]
    twins = []
    for one in seeds[:fits]:
        twin = reinitialised(model, one % 2**31)
        there = found.again(twin, None).subspace
        twins += interchanges(twin, pairs, [[Patch(Sites([place]).within(there), pairs.source)]], whole)
    itself, matched, random, among, neurons, arbitrary = groups
    return SubspaceControls(itself[0], matched, random, among, neurons, arbitrary, tuple(twins))


def _norm_matched(model: "TransformerBridge", pairs: Pairs, whole: Sites, code: Linear, others: list[Code]) -> list[list[Intervention]]:
    """TransformerLens' placebo: the difference from the source within a random subspace, as long as it is within this one."""
    from transformer_lens.tools.analysis.interchange import NormMatchedPlacebo, SubspaceInterchange

    (site,) = whole
    base, source = (capture(model, some, whole)[site] for some in pairs)
    own = SubspaceInterchange(code.basis.T)
    moved = [NormMatchedPlacebo(own, other.basis.T)(base, source) for other in others if isinstance(other, Linear)]
    return [[Put({site: value})] for value in moved]


def _neurons(d: int, dim: int, seed: int) -> Code:
    from transformer_lens.tools.analysis.interchange import random_neuron_basis

    return subspace(random_neuron_basis(d, dim, seed).T, name=f"{dim} random neurons")
