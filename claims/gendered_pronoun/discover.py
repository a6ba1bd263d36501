"""Find what carries her/his on the discovery prompts and record it: mechcheck discover gendered_pronoun MODEL ...

Heads at END, the layer whose residual stream at the noun carries its gender, and the layer at which the logit lens
resolves. The search is on prompts that name nobody ("a happy girl"); what its heads do where a name tells the gender, alone
or beside a noun, is measured as well, and decides nothing. The criteria were fixed before the verification prompts were looked at.
"""

import contextlib

import numpy as np

from mechcheck import (
    Found,
    MechcheckError,
    Role,
    choose_heads,
    gendered_pronoun_prompts,
    head_patching,
    logit_lens,
    recovery,
    resid,
    residual_patching,
    run,
)

PROMPTS, SEED = 240, 0
HEAD_SHARE, NOUN_SHARE, RESOLVED = 0.1, 0.9, 0.9


def shares_of_the_way(model, prompts):
    """What each head at END, patched from the other gender's run, brings of the change."""
    return recovery(head_patching(model, prompts, positions="END"), run(model, prompts), run(model, prompts.counterfactual))


def shares_where_people_are_named(model):
    """The same on the other forms of the task; nothing where the tokenizer has no names that fit."""
    found = {}
    for label, carrier in (("by a name", "name"), ("by noun and name", "both")):
        with contextlib.suppress(MechcheckError):
            found[label] = shares_of_the_way(
                model, gendered_pronoun_prompts(model, n=PROMPTS, seed=SEED, split="discover", carrier=carrier)
            )
    return found


def find_noun_layer(model, prompts, base, other) -> Role:
    """The first layer whose residual stream at the noun, patched from the other gender's run, brings nearly all of the change."""
    patched = residual_patching(model, prompts, ["NOUN"])[:, 0].mean(-1)
    shares = (patched - base.mean) / (other.mean - base.mean)
    layer = int(np.argmax(shares > NOUN_SHARE)) if (shares > NOUN_SHARE).any() else int(np.argmax(shares))
    measured = "; ".join(f"layer {i}: {share:.3f} of the way" for i, share in enumerate(shares))
    criterion = f"first layer whose residual stream at the noun brings more than {NOUN_SHARE:.0%} of the way to the other gender's run"
    return Role(resid(layer, at="NOUN"), criterion, bool((shares > NOUN_SHARE).any()), measured)


def find_resolving_layer(model, prompts) -> int:
    """The first layer from which on the logit lens prefers the answer on more than 90% of prompts."""
    preferred = (logit_lens(model, prompts).logit_diff > 0).mean(-1) > RESOLVED
    return int(len(preferred) - np.argmin(preferred[::-1])) if not preferred.all() else 0


def find(model) -> Found:
    prompts = gendered_pronoun_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    base, other = run(model, prompts), run(model, prompts.counterfactual)
    shares = shares_of_the_way(model, prompts)
    movers = choose_heads(
        {"share of the way": shares, **shares_where_people_are_named(model)}, shares > HEAD_SHARE,
        criterion=f"patching it at END from the other gender's run brings more than {HEAD_SHARE:.0%} of the way, where nobody is named",
        by="share of the way", candidates=2, at="END",
    )  # fmt: skip
    roles = {"pronoun_heads": movers, "noun": find_noun_layer(model, prompts, base, other)}
    return Found(roles, prompts, {"resolves_at": find_resolving_layer(model, prompts)})
