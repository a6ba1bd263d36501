"""Find heads by ablation studies and searches on the discovery prompts, and record them: mechcheck discover studies/TASK MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those. Heads are taken at
every position, as someone does who does not know yet where they act.
"""

import numpy as np

from mechcheck import (
    Found,
    HeadScores,
    Metric,
    Patch,
    Role,
    SearchResult,
    Sites,
    ablation_effects,
    all_heads,
    choose_heads,
    generic_search,
    interactions,
    logit_diff,
    mean_ablation,
    run,
    sparsified_to,
    targeted_search,
    task_prompts,
)

PROMPTS, SEED = 480, 0
NEEDED, SPARED, LOST_TOGETHER = 0.5, 0.25, 0.75
ZEROED = 0.95
LINKED = 0.1
MOST, LARGEST = 3, 4
KEPT, AT_LEAST = 0.2, 4
FLIPPED = 0.75

CRITICAL = f"mean-ablating this head alone takes more than {NEEDED:.0%} of the logit difference"
ESSENTIAL = f"setting the smallest {ZEROED:.0%} of this head's components to zero takes more than {NEEDED:.0%} of the logit difference"
REDUNDANT = (
    f"each can be mean-ablated alone at less than {SPARED:.0%} of the logit difference, all together at more than {LOST_TOGETHER:.0%}: "
    f"the first such set of a search among all of these (best pair, then greedy, up to {LARGEST} heads)"
)
CLUSTER = f"linked by pairwise interactions under mean ablation of more than {LINKED:.0%} of the logit difference; the largest group"
MOVES_MOST = (
    f"search for {MOST} heads whose mean ablation moves the distribution most: the best {KEPT:.0%} of all heads "
    f"(at least {AT_LEAST}), the best pair of these, then greedy"
)
FLIPS = f"search for the fewest heads, up to {LARGEST}, without which the foil is the prediction on {FLIPPED:.0%} of the prompts"

lost_preference = Metric("lost preference", "logits", lambda logits, prompts, _: -logit_diff(logits, prompts))
"""The negative logit difference, for searches that maximise."""


def share_lost(model, prompts, intervention=mean_ablation) -> HeadScores:
    """What changing each head alone takes from the logit difference, as a share of it."""
    scores = ablation_effects(model, prompts, intervention=intervention, metrics={"lost": logit_diff})["lost"]
    return HeadScores(-scores.values / run(model, prompts).mean, scores.ids, scores.templates, "share lost", "share")


def find_needed(model, prompts, criterion, intervention=mean_ablation) -> Role:
    """Heads that the logit difference cannot do without."""
    lost = share_lost(model, prompts, intervention).mean
    return choose_heads({"share lost": lost}, lost > NEEDED, criterion=criterion, by="share lost", candidates=1)


def find_redundant(model, prompts) -> Role:
    """Heads that can each be spared, and not all."""
    lost, clean = share_lost(model, prompts).mean, run(model, prompts).mean
    spared = Sites(site for site in all_heads(model) if lost[site.layer, site.index] < SPARED)
    search = generic_search(model, prompts, size=LARGEST, candidates=spared, objective=lost_preference, keep=1.0)
    together = [1 + step.score / clean for step in search.steps]
    enough = [step.sites for step, share in zip(search.steps, together, strict=True) if share > LOST_TOGETHER]
    sites = enough[0] if enough else search.sites
    measured = "; ".join(f"{step.sites}: share lost {share:.3f}" for step, share in zip(search.steps, together, strict=True))
    return Role(sites, REDUNDANT, bool(enough), measured)


def find_cluster(model, prompts) -> Role:
    """Heads whose effects are not the sum of what each does alone."""
    clean, found = run(model, prompts).mean, interactions(model, prompts)
    groups = found.clusters(LINKED * clean)
    if not groups:
        strongest = np.nanargmax(np.abs(found.mean))
        groups = [Sites(found.sites[i] for i in divmod(int(strongest), len(found.sites)))]
    measured = "; ".join(
        f"{found.sites[i]} with {found.sites[j]}: {found.mean[i, j] / clean:.3f}"
        for i, j in np.argwhere(np.abs(np.triu(found.mean, 1)) > LINKED * clean)
    )
    return Role(groups[0], CLUSTER, bool(measured), measured or "no interaction is that large")


def search_generic(model, prompts) -> SearchResult:
    """The heads without which the distribution is most different."""
    return generic_search(model, prompts, size=MOST, keep=_kept(model))


def search_targeted(model, prompts, intervention) -> SearchResult:
    """The fewest heads without which the foil is the prediction."""
    return targeted_search(model, prompts, size=LARGEST, share=FLIPPED, intervention=intervention, keep=_kept(model))


def _kept(model) -> float:
    return max(KEPT, AT_LEAST / len(all_heads(model)))


def find_moves_most(model, prompts) -> Role:
    """The result of the generic search."""
    return _as_role(search_generic(model, prompts), MOVES_MOST, True)


def find_flips(model, prompts, intervention) -> Role:
    """The result of a targeted search."""
    search = search_targeted(model, prompts, intervention)
    return _as_role(search, FLIPS, search.stopped == "target")


def _as_role(search: SearchResult, criterion: str, met: bool) -> Role:
    steps = (
        f"{step.stage} {step.sites}: {step.score:.3f}" + (f" (foil on {step.reached:.1%})" if step.reached is not None else "")
        for step in search.steps
    )
    return Role(search.sites, criterion, met, f"{'; '.join(steps)}; {search.evaluated} sets measured, stopped by {search.stopped}")


FINDERS = {
    "critical": lambda model, prompts: find_needed(model, prompts, CRITICAL),
    "redundant": find_redundant,
    "essential": lambda model, prompts: find_needed(model, prompts, ESSENTIAL, sparsified_to(model, prompts, ZEROED)),
    "cluster": find_cluster,
    "moves_most": find_moves_most,
    "flips_ablated": lambda model, prompts: find_flips(model, prompts, mean_ablation),
    "flips_patched": lambda model, prompts: find_flips(model, prompts, Patch),
}
ASKED = {"ioi": tuple(FINDERS), "gendered_pronoun": ("critical", "moves_most")}


def find(model, task) -> Found:
    prompts = task_prompts(task, model, n=PROMPTS, seed=SEED, split="discover")
    return Found({role: FINDERS[role](model, prompts) for role in ASKED[task]}, prompts)
