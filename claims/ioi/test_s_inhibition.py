"""S-inhibition heads: they read the second subject at END and turn the name movers away from it."""

from mechcheck import (
    Ablate,
    Effect,
    Patch,
    attention_to,
    attention_views,
    claim,
    direct_logit_attribution,
    grid,
    head_heatmap,
    head_patching,
    recovery,
    run,
)

WANG = "Wang et al. 2022, arXiv:2211.00593"
SHORTCUT = "names-gpt2-seed0"  # learned IOI another way: one head attends to S2 and writes against it
COMPOSED = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
# Hypotheses about these too; a directory of Pythia goes by the last part of its name.
PUBLISHED = ["gpt2", "EleutherAI/pythia-410m"]


def intervention(sites, method):
    """Ablation by the named method, or the heads' outputs from the run with the second subject flipped."""
    return Patch(sites) if method == "patched" else Ablate(sites, method)


def recovery_by_head(model, prompts, clean, flipped):
    """How much of the flip each head brings when it is patched at END."""
    brought = recovery(head_patching(model, prompts, positions="END"), clean, flipped)
    return head_heatmap("Share of the flip that a head at END brings", brought, "share of the way")


@claim("S-inhibition heads attend from END to the second subject", source=WANG, task="ioi", kind="structure", expect={SHORTCUT: "refuted"})
def test_attend_to_s2(model, prompts, circuit, check):
    check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), 0.3)
    check.figure(lambda: attention_views(model, prompts, circuit["s_inhibition"] | circuit["name_mover"]))


@claim(
    "Taking away the S-inhibition heads' output flips the answer from the indirect object to the subject",
    source=WANG, task="ioi", kind="necessity",
    over=grid(method=["zero", "mean", "resample", "patched"]), version=2,
    expect={SHORTCUT: "refuted", **dict.fromkeys([*COMPOSED, *PUBLISHED], "method_dependent")}, positive_control={"method": "patched"},
)  # fmt: skip
def test_removing_flips_the_answer(model, prompts, circuit, check, method):
    """A flip is more than indifference: S is preferred on most prompts, by the midpoint of a coin flip (1/2) and always (1).

    Ablated, the heads leave a coin flip; only their output from the run with the second subject flipped turns the answer round.
    """
    changed = run(model, prompts, intervention(circuit["s_inhibition"], method))
    check.rate(changed < 0, above=0.75)
    check.below(changed, 0.0)


@claim(
    "Ablating the S-inhibition heads takes away most of the preference",
    source=WANG,
    task="ioi",
    kind="necessity",
    over=grid(method=["zero", "mean", "resample"]),
    version=2,
    expect={SHORTCUT: "refuted"},
)
def test_ablation_removes_the_preference(model, prompts, circuit, check, method):
    clean = run(model, prompts)
    lost = (clean - run(model, prompts, Ablate(circuit["s_inhibition"], method))) / clean
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above(lost, 0.75, "share of the preference lost > 0.75")


@claim(
    "Most of what flipping the second subject does goes through the S-inhibition heads, and not directly to the output",
    source=WANG, task="ioi", kind="sufficiency", expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_carry_the_effect_of_the_second_subject(model, prompts, circuit, check):
    sites = circuit["s_inhibition"]
    patch = Patch(sites)
    clean, patched, flipped = run(model, prompts), run(model, prompts, patch), run(model, prompts.counterfactual)
    direct = (
        direct_logit_attribution(model, prompts).heads.of(sites) - direct_logit_attribution(model, prompts, patch).heads.of(sites)
    ) * len(sites)
    check.requires(clean - flipped, above=1.0, label="flipping has an effect to carry: it moves the logit difference by more than 1")
    check.above((clean - patched) / (clean - flipped), 0.5, "share of the flip's effect through the heads > 0.5")
    check.above((clean - patched - direct) / (clean - flipped), 0.5, "indirect share > 0.5")
    check.figure(lambda: recovery_by_head(model, prompts, clean, flipped))


@claim(
    "The S-inhibition heads' output turns the name movers from the indirect object",
    source=WANG, task="ioi", kind="structure", expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_steer_the_name_movers(model, prompts, circuit, check):
    movers, patch = circuit["name_mover"], Patch(circuit["s_inhibition"])
    before, after = (attention_to(model, prompts, movers, "END", "IO", what) for what in ((), patch))
    check.greater(before.named("attention to IO"), after.named("with S-inhibition flipped"), margin=0.1)


@claim(
    "Ablating the S-inhibition heads hurts more than ablating random heads",
    source=WANG,
    task="ioi",
    kind="specificity",
    models=[*COMPOSED, *PUBLISHED],
)
def test_matter_more_than_random_heads(model, prompts, circuit, check):
    loss = Effect(model, prompts, lambda sites: Ablate(sites, "mean"), name="loss by mean ablation")
    check.beats_random(loss, circuit["s_inhibition"])
