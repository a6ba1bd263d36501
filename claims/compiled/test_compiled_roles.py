"""What single ablations miss, what attention patterns do not show, and heads that work against the answer."""

import pytest

from mechcheck import Ablate, Patch, Role, Sites, claim, find_backups, grid, interaction, run, task_prompts
from mechcheck.compiled import known_circuit

MCGRATH = "McGrath et al. 2023, arXiv:2307.15771"
OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
WANG = "Wang et al. 2022, arXiv:2211.00593"
ONE, OTHER = "s_inhibition_one", "s_inhibition_two"
BOTH = f"{ONE} {OTHER}"
LOOKALIKES = {"previous_token_lookalike": "refuted", "induction_lookalike": "refuted"}


def sites_of(name, roles):
    """The heads of several roles, written with spaces between."""
    return Sites(site for role in roles.split() for site in known_circuit(name)[role])


def check_share_lost(model, prompts, check, what):
    """More than three quarters of the preference are lost, and there is one to lose."""
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above((clean - run(model, prompts, what)) / clean, 0.75, "share of the preference lost > 0.75")


@claim(
    "Ablating the S-inhibition heads takes away most of the preference, also where either of two suffices",
    source=MCGRATH, kind="necessity", models=["compiled-redundant"],
    over=grid(granularity=["one head", "the other", "both at once"], method=["zero", "mean", "resample"]), version=2,
    expect="method_dependent", decoy={"granularity": "one head"},
)  # fmt: skip
def test_single_ablation_misses_a_redundancy(model, prompts, check, granularity, method):
    roles = {"one head": ONE, "the other": OTHER, "both at once": BOTH}[granularity]
    check_share_lost(model, prompts, check, Ablate(sites_of("compiled-redundant", roles), method))


@pytest.mark.parametrize("method", ["zero", "mean"])
@pytest.mark.parametrize("role", ["name_mover"])
@claim(
    "The search for backups finds, on other prompts, the head that was built to be one, and the answer needs it once its mover is gone",
    source=MCGRATH, kind="necessity", models=["compiled-ioi"], decoy={"role": "s_inhibition"},
)  # fmt: skip
def test_search_finds_the_backup(model, prompts, check, role, method):
    movers = known_circuit("compiled-ioi")[role]
    found = find_backups(model, task_prompts("ioi", model, n=240, seed=0, split="discover"), movers, method=method)
    backups, clean = found.sites if isinstance(found, Role) else Sites(), run(model, prompts)
    together = interaction(model, prompts, movers, backups, intervention=lambda sites: Ablate(sites, method)) if backups else 0.0 * clean
    check.above(together / clean, 0.05, "cost beyond the sum, of the logit difference > 0.05")
    assert backups == known_circuit("compiled-ioi")["backup_name_mover"]


@pytest.mark.parametrize("method", ["patched"])
@pytest.mark.parametrize("role", [ONE, OTHER])
@claim(
    "Patching one of two redundant heads from the flipped run shows what ablating it hides",
    source=MCGRATH, kind="sufficiency", models=["compiled-redundant"], decoy={"method": "zero"},
)  # fmt: skip
def test_patching_shows_a_redundancy(model, prompts, check, role, method):
    sites = sites_of("compiled-redundant", role)
    check_share_lost(model, prompts, check, Patch(sites) if method == "patched" else Ablate(sites, method))


@pytest.mark.parametrize("role", ["negative_name_mover"])
@claim(
    "Without the negative name mover the preference for the indirect object is larger",
    source=WANG, kind="necessity", models=["compiled-negative"], decoy={"role": "name_mover"},
    over=grid(method=["zero", "mean", "resample"]), version=2,
)  # fmt: skip
def test_negative_mover_holds_back_the_answer(model, prompts, check, role, method):
    ablated = run(model, prompts, Ablate(known_circuit("compiled-negative")[role], method))
    check.greater(ablated.named("logit difference without it"), run(model, prompts).named("with it"), margin=1.0)


@pytest.mark.parametrize("role", ["previous_token", "induction", *LOOKALIKES])
@claim(
    "Ablating a head that attends as the circuit's heads do destroys in-context copying",
    source=OLSSON, kind="necessity", models=["compiled-induction"],
    expect=LOOKALIKES, positive_control={"role": "induction"}, decoy={"role": "induction_lookalike"},
    over=grid(method=["zero", "mean", "resample"]), version=2,
)  # fmt: skip
def test_attention_patterns_are_no_roles(model, prompts, check, role, method):
    check_share_lost(model, prompts, check, Ablate(known_circuit("compiled-induction")[role], method))
