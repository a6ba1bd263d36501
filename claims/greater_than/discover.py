"""Find what reads the start year and what compares with it, on the discovery prompts: mechcheck discover greater_than MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.
"""

import numpy as np

from mechcheck import (
    Found,
    Patch,
    Role,
    attention_to_positions,
    choose_heads,
    greater_than_prompts,
    heads,
    later_years,
    mlps,
    run,
    sweep,
)

PROMPTS, SEED = 480, 0
TO_YEAR, MLP_SHARE, CANDIDATES = 0.3, 0.1, 2
CHANGE = 0.1  # a share of less than this says nothing; the claims ask for as much


def change(model, prompts) -> float:
    """What the first start year does: how far the probability difference falls."""
    metric = later_years(model)
    return (run(model, prompts, metric=metric) - run(model, prompts.counterfactual, metric=metric)).mean


def shares_of_change(model, prompts, variants) -> np.ndarray:
    """How much of that comes from patching each of several sites alone."""
    clean, *patched = sweep(model, prompts, [[], *(Patch(sites) for sites in variants)], later_years(model))
    return np.array([(clean - values).mean() for values in patched]) / change(model, prompts)


def find_year_heads(model, prompts) -> Role:
    """Heads that attend from END to the start year."""
    to_year = attention_to_positions(model, prompts, "END", ["YEAR"]).mean(-1)[:, :, 0]
    shares = np.full_like(to_year, np.nan)
    # Only heads that meet the criterion, or are the nearest to it, are patched, as this takes long on real models.
    chosen = np.argwhere(to_year >= min(TO_YEAR, np.sort(to_year, axis=None)[-CANDIDATES]))
    shares[*chosen.T] = shares_of_change(model, prompts, [heads([tuple(head)], at="END") for head in chosen.tolist()])
    return choose_heads(
        {"END->YEAR": to_year, "share of the change": shares}, to_year > TO_YEAR,
        criterion=f"mean attention from END to the start year above {TO_YEAR}", by="END->YEAR", candidates=CANDIDATES, at="END",
    )  # fmt: skip


def find_comparing_mlps(model, prompts) -> Role:
    """MLPs that bring a part of the change when patched at END."""
    shares = shares_of_change(model, prompts, [mlps(layer, at="END") for layer in range(model.cfg.n_layers)])
    whole = change(model, prompts)
    chosen = [layer for layer, share in enumerate(shares) if share > MLP_SHARE and whole > CHANGE]
    sites = mlps(" ".join(map(str, chosen or [int(np.argmax(shares))])), at="END")
    measured = f"the change: {whole:.3f}; " + "; ".join(f"{layer}: share of it {share:.3f}" for layer, share in enumerate(shares))
    criterion = (
        f"patching it at END from the run with the first start year brings more than {MLP_SHARE:.0%} of the change in the probability "
        f"difference, which is itself more than {CHANGE}"
    )
    return Role(sites, criterion, bool(chosen), measured)


def find(model) -> Found:
    prompts = greater_than_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    roles = {"year_head": find_year_heads(model, prompts), "comparing_mlp": find_comparing_mlps(model, prompts)}
    return Found(roles, prompts)
