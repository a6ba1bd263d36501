"""Agreement: a masked verb goes with its subject, not with a nearer noun, by heads that attend to the subject and carry its number."""

from mechcheck import (
    Ablate,
    Compared,
    Patch,
    attention_to,
    attention_to_positions,
    claim,
    correct,
    grid,
    head_heatmap,
    head_patching,
    negation_prompts,
    recovery,
    run,
)

LINZEN = "Linzen et al. 2016, arXiv:1611.01368 (the task); the claims are ours"
CLARK = "Clark et al. 2019, arXiv:1906.04341 (heads that follow a syntactic relation); the claims are ours"
FINLAYSON = "Finlayson et al. 2021, arXiv:2106.06087 (interventions on number); the claims are ours"


@claim("The masked verb agrees with its subject", source=LINZEN, task="agreement", kind="behaviour")
def test_agrees_with_the_subject(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above=0.9)
    check.below(run(model, prompts.counterfactual), 0.0, "with the subject in the other number the other form is preferred")


@claim(
    "It agrees even where the nearer noun has the other number",
    source=LINZEN, task="agreement", kind="generalisation", prompts={"distractor": "misleading"},
)  # fmt: skip
def test_agrees_despite_a_misleading_noun(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above=0.9)


@claim(
    "The subject's readers attend from the masked verb to the subject, not to the nearer noun",
    source=CLARK,
    task="agreement",
    kind="structure",
)
def test_attend_to_the_subject(model, prompts, circuit, check):
    to_subject, to_other = (attention_to(model, prompts, circuit["subject_readers"], "END", key) for key in ("SUBJECT", "DISTRACTOR"))
    check.above(to_subject, 0.3)
    check.greater(to_subject.named("attention to the subject"), to_other.named("to the nearer noun"), margin=0.1)
    maps = attention_to_positions(model, prompts, "END", ["SUBJECT", "DISTRACTOR"]).mean(-1)
    heats = {to: head_heatmap(to, maps[:, :, i], "attention") for i, to in enumerate(("to the subject", "to the nearer noun"))}
    check.figure(Compared("Attention from the masked verb", heats))


@claim(
    "The subject's readers alone bring most of the other number's answer to the verb",
    source=FINLAYSON,
    task="agreement",
    kind="sufficiency",
)
def test_readers_bring_the_number(model, prompts, circuit, check):
    clean, other = run(model, prompts), run(model, prompts.counterfactual)
    patched = run(model, prompts, Patch(circuit["subject_readers"]))
    check.requires(clean - other, above=1.0, label="there is a way to go: the logit differences are more than 1 apart")
    check.above((clean - patched) / (clean - other), 0.5, "share of the way to the other number > 0.5")
    check.figure(
        lambda: head_heatmap(
            "Share of the way by head, at the verb", recovery(head_patching(model, prompts, positions="END"), clean, other), "share"
        )
    )


@claim(
    "Put in from the sentence with the other number, the carriers' output flips the verb",
    source=FINLAYSON,
    task="agreement",
    kind="sufficiency",
)
def test_patching_the_carriers_flips_the_verb(model, prompts, circuit, check):
    patched = run(model, prompts, Patch(circuit["number_carriers"]))
    check.rate(patched < 0, above=0.75)
    check.below(patched, 0.0)


@claim(
    "Ablating the carriers at the verb takes away most of the preference",
    source=FINLAYSON, task="agreement", kind="necessity", over=grid(method=["zero", "mean", "resample"]), version=2,
)  # fmt: skip
def test_ablation_removes_the_preference(model, prompts, circuit, check, method):
    clean = run(model, prompts)
    lost = (clean - run(model, prompts, Ablate(circuit["number_carriers"], method))) / clean
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above(lost, 0.75, "share of the preference lost > 0.75")


@claim(
    "Ablating the subject's readers hurts more than ablating other heads of their layers",
    source=FINLAYSON,
    task="agreement",
    kind="specificity",
)
def test_matter_more_than_random_heads(model, prompts, circuit, check):
    clean = run(model, prompts)
    check.beats_random(
        lambda sites: (clean - run(model, prompts, Ablate(sites, "mean"))).named("loss by mean ablation"), circuit["subject_readers"]
    )


@claim(
    "Ablating the subject's readers leaves negation alone",
    source=FINLAYSON,
    task="agreement",
    kind="specificity",
    decoy={"circuit": {"subject_readers": "1.3"}},
)
def test_leave_negation_alone(model, prompts, circuit, check):
    """The margin is the share at which a head counts as having a part; the contrast is the head that carries negation."""
    others = negation_prompts(model, n=len(prompts), seed=check.seed)
    clean = run(model, others)
    lost = (clean - run(model, others, Ablate(circuit["subject_readers"], "mean"))) / clean
    check.equivalent(lost, margin=0.1, label="|share of the preference lost| < 0.1")


@claim(
    "Reflexive pronouns go by the same heads: they attend to the subject, and what they bring flips the pronoun",
    source=FINLAYSON, task="agreement", kind="generalisation", prompts={"dependency": "reflexive"},
)  # fmt: skip
def test_carry_reflexives(model, prompts, circuit, check):
    check.above(attention_to(model, prompts, circuit["subject_readers"], "END", "SUBJECT"), 0.3)
    patched = run(model, prompts, Patch(circuit["number_carriers"]))
    check.rate(patched < 0, above=0.75)
    check.below(patched, 0.0)
