"""Find name movers, their backups and S-inhibition heads on the discovery prompts and record them: mechcheck discover ioi MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.

Edges are searched for beside the roles, on the first 48 of these prompts: mechcheck discover ioi MODEL --method prune --n 48 --resamples 5.
The circuit is the smallest from which on all larger ones lie within 10% of the model there, of the way to it from the model with every edge
cut. That margin was fixed before the search.
"""

import numpy as np

from mechcheck import (
    Absent,
    Found,
    Patch,
    Role,
    attention_to,
    attention_to_positions,
    choose_heads,
    direct_logit_attribution,
    find_backups,
    heads,
    ioi_prompts,
)

PROMPTS, SEED = 480, 0
DIRECT_SHARE, TO_IO, IO_OVER_S1 = 0.1, 0.3, 0.2
TO_S2, MOVES_ATTENTION = 0.3, 0.05

NAME_MOVER = (
    f"direct effect above {DIRECT_SHARE:.0%} of the logit difference, attention END->IO above {TO_IO}, and above that to S1 by {IO_OVER_S1}"
)
S_INHIBITION = (
    f"in a layer below the name movers, attention END->S2 above {TO_S2}, and patching it at END from the S2-flipped run "
    f"lowers the name movers' attention to IO minus S1 by more than {MOVES_ATTENTION}"
)


def find_name_movers(model, prompts) -> Role:
    """Heads that attend from END to IO and write its name."""
    attention = attention_to_positions(model, prompts, "END", ["IO", "S1"]).mean(-1)
    direct = direct_logit_attribution(model, prompts)
    share = direct.heads.mean / direct.total.mean
    to_io, to_s1 = attention[:, :, 0], attention[:, :, 1]
    late = np.zeros_like(share, dtype=bool)
    late[model.cfg.n_layers // 2 :] = True
    return choose_heads(
        {"direct share": share, "END->IO": to_io, "END->S1": to_s1},
        (share > DIRECT_SHARE) & (to_io > TO_IO) & (to_io - to_s1 > IO_OVER_S1),
        criterion=NAME_MOVER, by="direct share", candidates=2, among=late, at="END",
    )  # fmt: skip


def find_s_inhibition(model, prompts, name_movers: Role) -> Role:
    """Heads that attend from END to S2 and steer the name movers away from S."""
    to_s2 = attention_to_positions(model, prompts, "END", ["S2"]).mean(-1)[:, :, 0]
    top = max(site.layer for site in name_movers.sites)
    below = np.zeros_like(to_s2, dtype=bool)
    below[:top] = True

    def preference(interventions=()):
        to_io, to_s1 = (attention_to(model, prompts, name_movers.sites, "END", key, interventions) for key in ("IO", "S1"))
        return (to_io - to_s1).mean

    clean, moved = preference(), np.zeros_like(to_s2)
    # Only heads that meet the first criterion, or are the nearest to it, are patched: a search through all takes hours on real models.
    for layer, head in np.argwhere(below & (to_s2 >= min(TO_S2, to_s2[below].max(initial=-np.inf)))):
        moved[layer, head] = clean - preference(Patch(heads([(layer, head)], at="END")))
    return choose_heads(
        {"END->S2": to_s2, "moves attention by": moved},
        below & (to_s2 > TO_S2) & (moved > MOVES_ATTENTION) & name_movers.met,
        criterion=S_INHIBITION, by="END->S2", candidates=1, among=below, at="END",
    )  # fmt: skip


def find_backup_name_movers(model, prompts, name_movers: Role) -> Role | Absent:
    """Heads that write the name where the name movers are silenced, by their mean over other people, as in the paper."""
    if not name_movers.met:
        return Absent(
            "heads that wake when the name movers are ablated", "no head is a name mover by its criterion, so nobody has a backup"
        )
    return find_backups(model, prompts, name_movers.sites)


def find(model) -> Found:
    prompts = ioi_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    movers = find_name_movers(model, prompts)
    roles = {"name_mover": movers, "s_inhibition": find_s_inhibition(model, prompts, movers)}
    return Found(roles | {"backup_name_mover": find_backup_name_movers(model, prompts, movers)}, prompts)
