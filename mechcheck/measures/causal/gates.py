"""Where noising and denoising disagree: whether two sets of sites work as an AND, an OR, a chain, or side by side.

Noising puts a corrupted activation into the clean run and shows what is needed; denoising puts a clean one into the corrupted run and
shows what is enough. Of an AND of two parts either is needed and neither is enough; of an OR neither is needed and either is enough
(Heimersheim and Nanda 2024, arXiv:2404.15255). So either way alone misses one of the two.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import AnyMetric, sweep
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import as_metric, logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

GateKind = Literal["and", "or", "chain", "additive"]
OF_THE_WAY = "of the way"
"""The unit of interactions, which are no shares: one that is as large as the way and half is no more than that."""
MARGIN = 0.25
"""Of the way from the corrupted to the clean run: an interaction beyond it is one, one within it is none."""
SIGNS: dict[GateKind, tuple[int, int]] = {"and": (-1, 1), "or": (1, -1), "chain": (-1, -1), "additive": (0, 0)}
"""The signs of the interactions of noising and of denoising; 0: within the margin."""


class Sides(NamedTuple):
    """The effect of two sets of sites."""

    a: Measurement
    b: Measurement
    both: Measurement

    @property
    def interaction(self) -> Measurement:
        """What both do beyond the sum of what each does, prompt by prompt."""
        return self.both - self.a - self.b


@dataclass(frozen=True, eq=False)
class Gate:
    """What two sets of sites do when noised and when denoised, alone and together."""

    a: Sites
    b: Sites
    clean: Measurement
    """The metric of the untouched clean run."""
    corrupted: Measurement
    """That of the untouched corrupted run, asked for the clean one's answers."""
    noised: Sides
    """What the clean run loses: clean - metric with corrupted activations there."""
    denoised: Sides
    """What the corrupted run gains: metric with clean activations there - corrupted."""

    @property
    def way(self) -> Measurement:
        """The metric's way from the corrupted to the clean run."""
        return (self.clean - self.corrupted).named("way from the corrupted to the clean run")

    @property
    def noising(self) -> Measurement:
        """The interaction of noising, as a share of the way: above 0 where one stands in for the other, below where either is needed."""
        return (self.noised.interaction / self.way).named(f"interaction of {self.a} and {self.b} by noising", OF_THE_WAY)

    @property
    def denoising(self) -> Measurement:
        """The interaction of denoising, as a share of the way: above 0 where both are needed, below where either is enough."""
        return (self.denoised.interaction / self.way).named(f"interaction of {self.a} and {self.b} by denoising", OF_THE_WAY)

    @property
    def most(self) -> Measurement:
        """What noising both takes, as a share of the way: without it no gate is anything."""
        return (self.noised.both / self.way).named(f"effect of noising {self.a} and {self.b}")

    def kind(self, margin: float = MARGIN, confidence: Confidence | None = None) -> GateKind | Literal["other", "inconclusive"]:
        """What they are, where all the intervals tell.

        - "and": noised alone each takes what both take, and denoised alone neither brings what both bring;
        - "or": noised alone neither takes what both take, and denoised alone each brings what both bring;
        - "chain": each alone does what both do, noised and denoised: they stand on one path, one behind the other;
        - "additive": each way the effects add up, and both together take something;
        - "other": told, and none of these; sites that do nothing, for example.

        Args:
            margin: as a share of the way, how far from 0 an interaction lies that is one.
            confidence: of the intervals; 95%, two-sided, by default.

        Raises:
            MechcheckError: a margin that is none.
        """
        if not 0 < margin < 1:
            raise MechcheckError(f"kind(margin={margin}): how far from 0 an interaction lies that is one, between 0 and 1")
        sure = Confidence() if confidence is None else confidence
        signs = [_sign(one, margin, sure) for one in (self.noising, self.denoising)]
        if None in signs:
            return "inconclusive"
        found = next((kind for kind, wanted in SIGNS.items() if wanted == tuple(signs)), None)
        if found == "additive":
            much = _sign(self.most, margin, sure)
            return "inconclusive" if much is None else "additive" if much == 1 else "other"
        return "other" if found is None else found


def gate(
    model: "TransformerBridge",
    prompts: PromptSet,
    a: Sites,
    b: Sites,
    *,
    corrupted: PromptSet | None = None,
    metric: AnyMetric = logit_diff,
) -> Gate:
    """Noise and denoise two sets of sites, each alone and both together: eight runs of the prompts.

    What comes out depends on what is corrupted: a corrupted prompt that has an answer of its own (the other name repeated) is another
    message for each of two redundant heads, which then add up; one in which what they look for is not there silences them.

    Args:
        model: from `load_model`.
        prompts: the clean ones.
        a, b: two sets of sites without a common member.
        corrupted: aligned prompts; the prompts' counterfactual by default.
        metric: as in `run`; both runs are asked for the clean prompts' answers.

    Raises:
        SiteError: the sets overlap, or one is no set of sites.
        PromptError: no corrupted prompts, or others than are aligned.
    """
    for given in (a, b):
        if not isinstance(given, Sites):
            raise SiteError(f"a gate is of two sets of sites, as heads('0.1') gives them, got {given!r:.60}")
    if shared := [site for site in a if site in b]:
        raise SiteError(f"{shared[0]} is in both sets; a gate is of sites that can be changed apart")
    source = prompts.counterfactual if corrupted is None else corrupted
    if source is None:
        raise PromptError("a gate needs corrupted prompts: give corrupted=..., or prompts with a counterfactual")
    if len(source) != len(prompts):
        raise PromptError(f"{len(source)} corrupted prompts for {len(prompts)} clean ones; they are aligned one by one")
    asked = replace(
        source, ids=prompts.ids, templates=prompts.templates, answers=prompts.answers, foils=prompts.foils,
        answer_sets=prompts.answer_sets, foil_sets=prompts.foil_sets,
    )  # fmt: skip
    chosen = as_metric(metric)

    def measured(name: str, values: Float[np.ndarray, " prompt"]) -> Measurement:
        return Measurement(values, prompts.ids, prompts.templates, name, chosen.unit)

    def effects(run_on: PromptSet, other: PromptSet, done: str, sign: int) -> tuple[Measurement, Sides]:
        """The untouched run, and what patching changes in it."""
        untouched, *changed = sweep(model, run_on, [[], *([Patch(sites, other)] for sites in (a, b, a | b))], metric)
        named = [f"{done} {sites}" for sites in (a, b, a | b)]
        return measured(chosen.name, untouched), Sides(
            *(measured(name, sign * (values - untouched)) for name, values in zip(named, changed, strict=True))
        )

    clean, noised = effects(prompts, source, "noising", -1)
    dirty, denoised = effects(asked, prompts, "denoising", 1)
    return Gate(a, b, clean, dirty, noised, denoised)


def _sign(share: Measurement, margin: float, confidence: Confidence) -> int | None:
    """1 where the whole interval is above the margin, -1 where it is below its negative, 0 where it is within; else None."""
    e = estimate_mean(share, confidence).estimate
    if not e.valid or not np.isfinite((e.low, e.high)).all():
        return None
    return 1 if e.low > margin else -1 if e.high < -margin else 0 if -margin < e.low and e.high < margin else None
