"""Backup heads: what wakes when the heads that write the answer are silenced, on any model that has such heads.

A head that stands in for others is missed by ablating it alone, as it has nothing to do while they work (Wang et al. 2022,
arXiv:2211.00593; McGrath et al. 2023, arXiv:2307.15771). Two things are asked for together, since either alone misleads. A head's
output may change without anything depending on it; and two heads may cost more together than apart only because the final norm
divides by a smaller stream once one of them is gone.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import SiteError
from mechcheck.circuits.roles import Absent, Role, choose_heads
from mechcheck.measures.causal.interactions import interaction
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.notation.interventions import Ablate, AblationMethod
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Scores = Float[np.ndarray, "layer head"]
SHARE = 0.05
"""Of the logit difference: what a backup adds, and what losing it as well costs. A head above it on real models is one of about
twenty that together would make up the whole answer."""
_ERRORS = 2.0  # standard errors of the logit difference above none, without which shares of it are noise


def find_backups(
    model: "TransformerBridge", prompts: PromptSet, movers: Sites, *, method: AblationMethod = "mean", share: float = SHARE
) -> Role | Absent:
    """The heads that take over at END when the heads that write the answer are ablated; `Absent`, with what was measured, where none does.

    A head is a backup if

    - it wakes: with the movers ablated its direct effect at END, at the untouched scale of the final norm, is larger than before by
      more than `share` of the untouched logit difference, and is then itself as large;
    - it slept before: it does not work against the answer by as much, as heads do that take back what others write, and stop when
      nothing is written;
    - it counts: ablating it together with the movers costs more than ablating the movers by more than ablating it alone costs
      (`interaction`), and all that do so cost more by more than `share` when they are ablated together: of several backups each
      stands in for the others as well, so that one by one they may cost little.

    Args:
        model: as `direct_logit_attribution` needs it.
        prompts: those of the search; claims about what was found use others.
        movers: heads that write the answer, each at END or everywhere.
        method: how they are silenced. "resample" puts other prompts' answers in their place, which may keep a backup asleep.
        share: see above.

    Raises:
        SiteError: the movers are no heads, or none.
    """
    if not movers or {site.kind for site in movers} != {"head"}:
        raise SiteError(f"backups are looked for behind heads that write the answer, and these are {movers or 'none'}")
    before, after = (direct_logit_attribution(model, prompts, what) for what in ((), Ablate(movers, method)))
    criterion, total = _criterion(movers, method, share), before.total.mean
    error = float(before.total.values.std(ddof=1)) / len(prompts) ** 0.5 if len(prompts) > 1 else np.inf
    if not total > _ERRORS * error:
        return Absent(
            criterion,
            f"the model does not prefer the answers (logit difference {total:.3g}, standard error {error:.3g}), so that there is no "
            "preference that a backup could keep",
        )
    then = after.heads.mean / total
    slept = before.heads.mean / total
    wakes = then - slept
    behind = np.ones(wakes.shape, dtype=bool)  # a head sees what is written in layers below its own
    behind[: min(layer for layer, _ in movers.pairs) + 1] = False
    for layer, head in movers.pairs:
        behind[layer, head] = False
    awake = behind & (slept > -share) & (wakes > share) & (then > share)

    def beyond_the_sum(backups: Sites) -> float:
        return interaction(model, prompts, movers, backups, intervention=lambda sites: Ablate(sites, method)).mean / total

    joint = np.full(wakes.shape, np.nan)
    for layer, head in np.argwhere(awake):
        joint[layer, head] = beyond_the_sum(heads([(int(layer), int(head))], at=END))
    meets = joint > 0
    if not meets.any():
        return Absent(criterion, _nearest(np.where(behind, wakes, -np.inf), slept, joint))
    scores = {"direct share before": slept, "with them ablated": then, "joint cost beyond the sum": joint}
    found = choose_heads(scores, meets, criterion=criterion, by="with them ablated", candidates=1, at=END)
    together = beyond_the_sum(found.sites)
    if together <= share:
        return Absent(criterion, f"{found.sites} wake, but all together cost only {together:.3f} beyond the sum; {found.measured}")
    return replace(found, measured=f"{found.measured}; together: joint cost beyond the sum {together:.3f}")


def _criterion(movers: Sites, method: str, share: float) -> str:
    return (
        f"not below -{share:.0%} of the logit difference by its direct effect, and with {movers} {method}-ablated above {share:.0%} and "
        f"more than that above before; ablated with them it costs more than they do by more than it costs alone, and all such heads "
        f"together by {share:.0%} more"
    )


def _nearest(wakes: Scores, slept: Scores, joint: Scores) -> str:
    """What the head that comes nearest was measured to do."""
    layer, head = np.unravel_index(int(wakes.argmax()), wakes.shape)
    if wakes[layer, head] == -np.inf:
        return "these heads are in the last layer, and there is no other behind them that could take over"
    cost = f", and losing it as well costs {joint[layer, head]:.3f} beyond the sum" if np.isfinite(joint[layer, head]) else ""
    return (
        f"no head does; the most, {wakes[layer, head]:.3f} of the logit difference, is added by {layer}.{head}, which wrote "
        f"{slept[layer, head]:.3f} before{cost}"
    )
