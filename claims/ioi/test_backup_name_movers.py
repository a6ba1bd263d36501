"""Backup name movers: they write the indirect object's name where the name movers are silenced, and hardly before.

Circuits without such heads say why, and these claims are skipped on them: a role that nothing fills has nothing to be refuted.
"""

from mechcheck import Ablate, claim, direct_logit_attribution, grid, head_heatmap, interaction

MCGRATH = "Wang et al. 2022, arXiv:2211.00593; McGrath et al. 2023, arXiv:2307.15771"
# The threshold by which claims/ioi/discover.py finds them, of the logit difference.
SHARE = 0.05


@claim(
    "With the name movers ablated, their backups write more of the answer than before",
    source=MCGRATH, task="ioi", kind="structure", over=grid(method=["zero", "mean"]), version=2,
)  # fmt: skip
def test_wake_when_the_name_movers_are_silenced(model, prompts, circuit, check, method):
    before, after = (direct_logit_attribution(model, prompts, what) for what in ((), Ablate(circuit["name_mover"], method)))
    added = (after.heads.of(circuit["backup_name_mover"]) - before.heads.of(circuit["backup_name_mover"])) / before.total
    check.requires(before.total, above=1.0, label="there is a preference to keep: logit difference > 1")
    check.above(added, SHARE, "what a backup adds, of the logit difference > 0.05")
    check.figure(head_heatmap("Direct effect added when the name movers are ablated", after.heads.mean - before.heads.mean, "logits"))


@claim(
    "Losing the backups with the name movers costs more than losing these, by more than losing the backups alone",
    source=MCGRATH, task="ioi", kind="necessity", over=grid(method=["zero", "mean"]), version=2,
)  # fmt: skip
def test_are_needed_once_the_name_movers_are_gone(model, prompts, circuit, check, method):
    total = direct_logit_attribution(model, prompts).total
    together = interaction(
        model, prompts, circuit["name_mover"], circuit["backup_name_mover"], intervention=lambda sites: Ablate(sites, method)
    )  # fmt: skip
    check.requires(total, above=1.0, label="there is a preference to keep: logit difference > 1")
    check.above(together / total, SHARE, "cost beyond the sum, of the logit difference > 0.05")
