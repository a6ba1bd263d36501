"""Heads that work together: what ablating them jointly does beyond the sum of what each does alone."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import scipy
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.run import AnyMetric, sweep
from mechcheck.measures.causal.ablation import Change, all_heads, mean_ablation
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.arrays import LikeArray
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Interactions(Pictured, LikeArray):
    """Every pair's interaction, and every site's own effect, on every prompt."""

    sites: tuple[Site, ...]
    """The order of rows and columns."""
    values: Float[np.ndarray, "site site prompt"]
    """Effect of both minus the sum of the single effects; symmetric, with NaN on the diagonal, as a site is no pair."""
    effects: Float[np.ndarray, "site prompt"]
    """What changing a site alone takes from the metric."""
    unit: str

    @property
    def mean(self) -> Float[np.ndarray, "site site"]:
        """The mean over prompts."""
        return self.values.mean(-1)

    def figure(self, title: str = "Interactions") -> Heatmap:
        """The mean over prompts of each pair; a site is no pair with itself."""
        names = [str(site) for site in self.sites]
        return Heatmap(title, self.mean, names, names, "site", "with", self.unit)

    def clusters(self, threshold: float) -> list[Sites]:
        """Groups of sites linked, directly or through others, by interactions of more than `threshold` in size, largest group first.

        Sites that interact with none are in no group.

        Raises:
            MechcheckError: an interaction that is not finite, or a threshold that is not positive.
        """
        size = np.abs(self.mean)
        np.fill_diagonal(size, 0.0)
        if not np.isfinite(size).all():
            a, b = np.argwhere(~np.isfinite(size))[0]
            raise MechcheckError(f"the interaction of {self.sites[a]} and {self.sites[b]} is not finite, so nothing can be grouped by it")
        if not threshold > 0:
            raise MechcheckError(f"clusters({threshold}): the threshold must be positive, in the units of the metric ({self.unit})")
        _, labels = scipy.sparse.csgraph.connected_components(size > threshold, directed=False)
        groups = [Sites(site for site, own in zip(self.sites, labels, strict=True) if own == label) for label in range(max(labels) + 1)]
        return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def interaction(
    model: "TransformerBridge",
    prompts: PromptSet,
    a: Sites,
    b: Sites,
    *,
    intervention: Change = mean_ablation,
    metric: AnyMetric = logit_diff,
) -> Measurement:
    """How much more both sets of sites take from the metric when changed together than the sum of what each takes alone.

    With effect(S) = metric of the untouched run - metric with S changed, this is effect(a and b) - effect(a) - effect(b), for
    each prompt. Above zero: they stand in for each other, so that single ablations understate them (the redundancy of
    McGrath et al. 2023, arXiv:2307.15771). Below zero: they stand on the same path, so that without the one the other has
    nothing left to lose. Zero: they work side by side.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        a, b: two sets of sites without a common member.
        intervention: what is done to the sites.
        metric: as in `run`.

    Raises:
        SiteError: the sets overlap.
    """
    if shared := [site for site in a if site in b]:
        raise SiteError(f"{shared[0]} is in both sets; an interaction is between sites that can be changed apart")
    chosen = as_metric(metric)
    untouched, one, other, both = sweep(model, prompts, [[], *map(intervention, (a, b, a | b))], metric)
    name = f"interaction of {a} with {b}"
    return Measurement(one + other - both - untouched, prompts.ids, prompts.templates, name, chosen.unit)


def interactions(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | None = None,
    *,
    intervention: Change = mean_ablation,
    metric: AnyMetric = logit_diff,
) -> Interactions:
    """The interaction of every pair of sites (all heads by default), in one sweep: see `interaction`.

    Raises:
        SiteError: fewer than two sites.
    """
    members = tuple(all_heads(model) if sites is None else sites)
    if len(members) < 2:
        raise SiteError(f"an interaction needs two sites, got {len(members)}")
    pairs = list(combinations(range(len(members)), 2))
    sets = [Sites([site]) for site in members] + [Sites([members[i], members[j]]) for i, j in pairs]
    untouched, *changed = sweep(model, prompts, [[], *map(intervention, sets)], metric)
    effects = untouched - np.stack(changed)
    values = np.full((len(members), len(members), len(prompts)), np.nan)
    for (i, j), joint in zip(pairs, effects[len(members) :], strict=True):
        values[i, j] = values[j, i] = joint - effects[i] - effects[j]
    return Interactions(members, values, effects[: len(members)], as_metric(metric).unit)
