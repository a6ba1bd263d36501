"""Find what reads the start year and what compares with it, on the discovery prompts: python claims/greater_than/discover.py MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.
"""

import sys
from pathlib import Path

import numpy as np

from mechcheck import (
    Patch,
    Role,
    attention_to_positions,
    choose_heads,
    greater_than_prompts,
    heads,
    later_years,
    load_model,
    mlps,
    provenance,
    run,
    write_circuit,
)

PROMPTS, SEED = 480, 0
TO_YEAR, MLP_SHARE = 0.3, 0.1


def share_of_change(model, prompts, sites) -> float:
    """How much of what the first start year does comes from patching these sites alone."""
    metric = later_years(model)
    clean, first = run(model, prompts, metric=metric), run(model, prompts.counterfactual, metric=metric)
    return (clean - run(model, prompts, Patch(sites), metric)).mean / (clean - first).mean


def find_year_heads(model, prompts) -> Role:
    """Heads that attend from END to the start year."""
    to_year = attention_to_positions(model, prompts, "END", ["YEAR"]).mean(-1)[:, :, 0]
    every = [[(layer, head) for head in range(model.cfg.n_heads)] for layer in range(model.cfg.n_layers)]
    shares = np.array([[share_of_change(model, prompts, heads([at], at="END")) for at in layer] for layer in every])
    return choose_heads(
        {"END->YEAR": to_year, "share of the change": shares}, to_year > TO_YEAR,
        criterion=f"mean attention from END to the start year above {TO_YEAR}", by="END->YEAR", candidates=2, at="END",
    )  # fmt: skip


def find_comparing_mlps(model, prompts) -> Role:
    """MLPs that bring a part of the change when patched at END."""
    shares = [share_of_change(model, prompts, mlps(layer, at="END")) for layer in range(model.cfg.n_layers)]
    chosen = [layer for layer, share in enumerate(shares) if share > MLP_SHARE]
    sites = mlps(" ".join(map(str, chosen or [int(np.argmax(shares))])), at="END")
    measured = "; ".join(f"{layer}: share of the change {share:.3f}" for layer, share in enumerate(shares))
    criterion = f"patching it at END from the run with the first start year brings more than {MLP_SHARE:.0%} of the change"
    return Role(sites, criterion, bool(chosen), measured)


def main() -> None:
    for name in sys.argv[1:]:
        model = load_model(name)
        prompts = greater_than_prompts(model, n=PROMPTS, seed=SEED, split="discover")
        roles = {"year_head": find_year_heads(model, prompts), "comparing_mlp": find_comparing_mlps(model, prompts)}
        path = Path(__file__).parent / "circuits" / f"{provenance(model).name}.toml"
        write_circuit(path, model, roles, method="claims/greater_than/discover.py", prompts=prompts, split="discover")
        print(path.name, {role: (str(r.sites), "met" if r.met else "candidates") for role, r in roles.items()})


if __name__ == "__main__":
    main()
