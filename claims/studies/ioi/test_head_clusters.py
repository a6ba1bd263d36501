"""Heads that work together: joint effects that are not the sum of single ones."""

from mechcheck import Heatmap, Sites, all_heads, claim, interaction, interactions, run

WANG = "Wang et al. 2022, arXiv:2211.00593"
MCGRATH = "McGrath et al. 2023, arXiv:2307.15771"
COMPOSED, SHORTCUT = ["names-gpt2-seed4", "names-neox-seed2"], "names-gpt2-seed0"
LINKED = 0.1


def pairs(model, prompts, clean):
    """Every pair's interaction as a share of the preference."""
    found = interactions(model, prompts)
    names = [str(site) for site in found.sites]
    return Heatmap("Interaction of pairs, mean ablation", found.mean / clean.mean, names, names, "head", "head", "share of the preference")


@claim(
    "The critical head and the heads that can each be spared stand on one path: ablated together they lose far less than the sum",
    source=WANG, task="ioi", kind="structure", models=COMPOSED, decoy={"circuit": {"critical": "0.2"}},
)  # fmt: skip
def test_one_path(model, prompts, circuit, check):
    clean = run(model, prompts)
    together = interaction(model, prompts, circuit["critical"], circuit["redundant"])
    check.requires(clean, above=1.0, label="there is a preference to share: logit difference > 1")
    check.below(together / clean, -0.5, "interaction, as a share of the preference < -0.5")
    check.figure(lambda: pairs(model, prompts, clean))


@claim(
    "The critical head interacts with each head of its cluster, and with none outside",
    source=WANG, task="ioi", kind="specificity", models=COMPOSED, decoy={"circuit": {"cluster": "0.0 0.2 0.3"}},
)  # fmt: skip
def test_the_cluster_works_together(model, prompts, circuit, check):
    clean, critical, cluster = run(model, prompts), circuit["critical"], circuit["cluster"]
    for site in all_heads(model) - critical:
        share = interaction(model, prompts, critical, Sites([site])) / clean
        if site in cluster:
            check.below(share, -LINKED / 2, f"interaction with {site}, as a share of the preference < {-LINKED / 2}")
        else:
            check.equivalent(share, LINKED, label=f"|interaction with {site}|, as a share of the preference < {LINKED}")


@claim(
    "In the model with the shortcut two heads of the last layer stand in for each other in part",
    source=MCGRATH, task="ioi", kind="structure", models=[SHORTCUT], decoy={"circuit": {"cluster": "1.0 1.3"}},
)  # fmt: skip
def test_the_shortcut_has_a_substitute(model, prompts, circuit, check):
    clean, (one, other) = run(model, prompts), circuit["cluster"]
    together = interaction(model, prompts, Sites([one]), Sites([other]))
    check.requires(clean, above=1.0, label="there is a preference to share: logit difference > 1")
    check.above(together / clean, LINKED / 2, f"interaction, as a share of the preference > {LINKED / 2}")
    check.figure(lambda: pairs(model, prompts, clean))
