"""What the negation heads do to the masked prediction: taken away, put in from the aligned sentence, beside other heads and tasks."""

import pytest

from mechcheck import (
    Ablate,
    Patch,
    agreement_prompts,
    claim,
    correct,
    grid,
    head_heatmap,
    head_patching,
    negation_prompts,
    recovery,
    run,
)

OURS = "the claims are ours; what an ablation means: Wang et al. 2022, arXiv:2211.00593"


def intervention(sites, method):
    """Ablation by the named method, or the heads' outputs from the run on the affirmation."""
    return Patch(sites) if method == "patched" else Ablate(sites, method)


def lost_share(model, prompts, sites, method="mean"):
    clean = run(model, prompts)
    return (clean - run(model, prompts, Ablate(sites, method))) / clean


@claim(
    "Ablating the negation heads takes away most of the preference for the right answer",
    source=OURS, task="negation", kind="necessity", over=grid(method=["zero", "mean", "resample"]), version=2,
)  # fmt: skip
def test_ablation_removes_the_preference(model, prompts, circuit, check, method):
    check.requires(run(model, prompts), above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above(lost_share(model, prompts, circuit["negation_heads"], method), 0.75, "share of the preference lost > 0.75")


@claim(
    "Without the negation heads' output the model answers as if nothing were negated",
    source=OURS, task="negation", kind="necessity",
    over=grid(method=["zero", "mean", "resample", "patched"]), version=2, expect="method_dependent",
)  # fmt: skip
def test_removing_flips_the_answer(model, prompts, circuit, check, method):
    """Means and resamples are of negations and affirmations alike: they leave a coin flip, which is no flip."""
    changed = run(model, prompts, intervention(circuit["negation_heads"], method))
    check.rate(changed < 0, above=0.75)
    check.below(changed, 0.0)


@claim(
    "What the negation heads bring decides: put in from the aligned sentence, it flips negations and affirmations alike",
    source=OURS,
    task="negation",
    kind="sufficiency",
)
def test_patching_flips_the_answer(model, prompts, circuit, check):
    clean, affirmed, sites = run(model, prompts), run(model, prompts.counterfactual), circuit["negation_heads"]
    patched, reverse = run(model, prompts, Patch(sites)), run(model, prompts.counterfactual, Patch(sites, prompts))
    check.requires(clean - affirmed, above=1.0, label="there is a way to go: the logit differences are more than 1 apart")
    check.rate(patched < 0, above=0.75, label="affirmation's heads in the negation: foil preferred on more than 75%")
    check.rate(reverse > 0, above=0.75, label="negation's heads in the affirmation: answer preferred on more than 75%")
    check.above((clean - patched) / (clean - affirmed), 0.5, "share of the way to the affirmation > 0.5")
    check.figure(
        lambda: head_heatmap(
            "Share of the way by head, at every position", recovery(head_patching(model, prompts), clean, affirmed), "share"
        )
    )


@claim("Ablating the negation heads hurts more than ablating other heads of their layers", source=OURS, task="negation", kind="specificity")
def test_matter_more_than_random_heads(model, prompts, circuit, check):
    clean = run(model, prompts)
    check.beats_random(
        lambda sites: (clean - run(model, prompts, Ablate(sites, "mean"))).named("loss by mean ablation"), circuit["negation_heads"]
    )


@claim(
    "Ablating the negation heads takes at least three quarters of the preference in negations, and at most one in agreement",
    source=OURS,
    task="negation",
    kind="specificity",
)
def test_negation_needs_them_more_than_agreement(model, prompts, circuit, check):
    sites, others = circuit["negation_heads"], agreement_prompts(model, n=len(prompts), seed=check.seed)
    check.above(lost_share(model, prompts, sites), 0.75, "share of the preference lost in negations > 0.75")
    check.below(lost_share(model, others, sites), 0.25, "share of the preference lost in agreement < 0.25")
    check.rate(run(model, others, Ablate(sites, "mean"), correct), above=0.9, label="agreement still answered rightly on more than 90%")


@claim(
    "Ablating the negation heads leaves agreement alone",
    source=OURS, task="negation", kind="specificity",
    expect="refuted", positive_control={"circuit": {"negation_heads": "1.1"}},
)  # fmt: skip
def test_leave_agreement_alone(model, prompts, circuit, check):
    """On the discovery half a fifth of the preference was lost: head 1.3 brings the subject's number to the verb as well.

    The margin is the share at which a head counts as having a part. The control is a head of the same layer that has none.
    """
    others = agreement_prompts(model, n=len(prompts), seed=check.seed)
    check.equivalent(lost_share(model, others, circuit["negation_heads"]), margin=0.1, label="|share of the preference lost| < 0.1")


@pytest.mark.parametrize("statements", ["embedded", "double", "concession"])
@claim(
    "The same heads carry other ways of turning a statement: two negations, and 'although'",
    source=OURS,
    task="negation",
    kind="generalisation",
)
def test_carry_other_statements(model, prompts, circuit, check, statements):
    asked = negation_prompts(model, n=len(prompts), seed=check.seed, statements=statements)
    check.requires(run(model, asked), above=1.0, label="there is an answer to flip: logit difference > 1")
    patched = run(model, asked, Patch(circuit["negation_heads"]))
    check.rate(patched < 0, above=0.75)
    check.below(patched, 0.0)
