"""What claims about circuits are decided on: how faithful one is, how near to its model, and random ones of its size."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy

from mechcheck.base.errors import CircuitError, ClaimError
from mechcheck.circuits.circuit_tests import random_like
from mechcheck.circuits.edge_search import check_unseen
from mechcheck.circuits.evaluation import Cut
from mechcheck.notation.circuit import parts_of
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.rank import Among, Contest
from mechcheck.verdicts.verdict import Evaluated, Worst

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.circuits.edge_scores import Instead
    from mechcheck.notation.circuit import Circuit
    from mechcheck.notation.metrics import Metric
    from mechcheck.notation.sites import Sites
    from mechcheck.prompts.prompt_set import PromptSet

_ROUNDING = 1e-6
_TIE = 1e-5  # of the metric's size, up to which two circuits do the same
_NOUNS = {"head": "heads", "mlp_out": "MLPs", "resid_pre": "inputs"}


@dataclass(frozen=True)
class Evaluation:
    """A circuit, measured with all else cut."""

    cut: Cut
    parts: "Sites"
    """Its edges or its nodes."""
    faithfulness: Measurement
    """A ratio of means, with a note where it lies above 1 or below 0."""
    nearness: Measurement
    """The negative distance from the model, prompt by prompt: the larger, the nearer."""
    told: Evaluated

    @classmethod
    def of(
        cls, method: str, model: "TransformerBridge | None", circuit: "Sites | Circuit", prompts: "PromptSet", instead: "Instead",
        source: "PromptSet | None", metric: "Metric | None",
    ) -> "Evaluation":  # fmt: skip
        """Measure it.

        Raises:
            ClaimError, CircuitError, PromptError: as `Check.faithful` says.
        """
        if model is None:
            raise ClaimError(f"{method} cuts edges of a model: the claim must use the `model` fixture")
        check_unseen(circuit, prompts)
        cut, parts = Cut(model, prompts, instead, source, logit_diff if metric is None else metric), parts_of(circuit)
        kept, every = cut.mask(parts), cut.graph.real
        if bool((kept == (every if kept.ndim == 2 else every[..., None])).all()):
            raise CircuitError("this circuit is the whole model, which is faithful to itself: there is nothing to claim")
        if not kept.any():
            raise CircuitError("this circuit keeps no edge at all: there is nothing to claim")
        values, (none, whole) = cut.values([kept])[0], cut.ends
        share = cut.share(values, f"faithfulness under {instead} ablation")
        flag = "above 1" if share.mean > 1 + _ROUNDING else "below 0" if share.mean < -_ROUNDING else ""
        note = f"faithfulness is {flag}: the rest works against the circuit, or the circuit against the model" if flag else ""
        distance, unit = np.abs(values - whole), as_metric(cut.metric).unit
        worst = int(np.argmax(distance))
        told = Evaluated(
            parts=_kinds(parts), size=len(parts), of=_alike(cut, parts), instead=instead, metric=as_metric(cut.metric).name, unit=unit,
            model=float(whole.mean()), cut=float(none.mean()),
            worst=Worst(prompts.ids[worst], float(values[worst]), float(whole[worst])),
        )  # fmt: skip
        nearness = cut.measured(-distance, "nearness to the model")
        return cls(cut, parts, replace(share, note=note), nearness, told)

    def random(self, n: int, seed: int) -> Among:
        """So many random circuits of its size."""
        masks = [self.cut.mask(other) for other in random_like(self.cut.graph, self.parts, n, seed)]
        none, whole = self.cut.ends
        rounding = _TIE * max(1.0, float(np.abs(whole).max()), float(np.abs(none).max()))
        found = []
        for values in self.cut.values(masks):
            near = self.cut.measured(-np.abs(values - whole), "nearness to the model")
            # Circuits through which nothing runs differ by rounding alone, which must not rank them.
            found.append(self.nearness if np.abs(near.values - self.nearness.values).max() <= rounding else near)
        kind = f"random circuits of {self.told.size} of {self.told.of} {self.told.parts}, drawn uniformly with seed {seed}"
        return Among(kind, found, tuple(f"random circuit {i + 1}" for i in range(n)), "random circuits")


def refuted_by_rank(contest: Contest, quantile: float, confidence: Confidence) -> Contest:
    """The same, refuted where more of the controls are at least as near than the quantile leaves: most random circuits do nothing at all,
    and from such the paired difference of one that does nothing either is no number that is told from none."""
    values, effect = contest.control.values, contest.control.effect
    assert effect is not None
    near = sum(value >= effect for value in values)
    p = confidence.over_looks(float(scipy.stats.binom.sf(near - 1, len(values), 1 - quantile)))
    if contest.verdict == "supported":
        return replace(contest, p_refuted=p)
    return replace(contest, p_refuted=p, verdict="refuted" if p <= confidence.overall else "inconclusive")


def _kinds(parts: "Sites") -> str:
    """What a circuit consists of, in the plural."""
    if next(iter(parts)).to is not None:
        return "edges"
    return " and ".join(_NOUNS.get(kind, kind) for kind in Counter(site.kind for site in parts))


def _alike(cut: Cut, parts: "Sites") -> int:
    """How many edges, or nodes of these kinds, the model has."""
    if next(iter(parts)).to is not None:
        return len(cut.graph)
    kinds = {site.kind for site in parts}
    return sum(site.kind in kinds for site in cut.graph.senders)
