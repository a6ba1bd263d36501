"""Detecting induction heads: thresholds that follow the variance of real scores, judged by recorded heads and by ablation."""

import pytest

from mechcheck import (
    Ablate,
    HeadScores,
    Measurement,
    ablation_effects,
    claim,
    detect_heads,
    head_heatmap,
    induction_null_scores,
    induction_reports,
    induction_scores,
    probability,
    run,
    task_prompts,
)

OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
# Models that do induction on random tokens, as was measured before these claims were written.
WITH = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
FIXED = 0.3  # what counts as attending in claims/induction
MATTERS = 0.05  # share of p(answer) that is lost without a head; fixed on the discovery prompts
DISCOVERY = {"n": 240, "seed": 0, "split": "discover"}


def detect(model, prompts, method):
    """Induction heads by their scores on these prompts."""
    scores = induction_scores(model, prompts)
    if method == "fixed":
        return detect_heads(scores, "fixed", threshold=FIXED)
    return detect_heads(scores, method, null=induction_null_scores(model, prompts))


def shares_lost(model, prompts):
    """The share of p(answer) that is lost when one head at END is resampled from fresh tokens, for each head."""
    changes = ablation_effects(
        model, prompts, intervention=lambda sites: Ablate(sites, "resample"), metrics={"p": probability}, at="END"
    )["p"]  # fmt: skip
    clean = run(model, prompts, metric=probability).mean
    return HeadScores(-changes.values / clean, changes.ids, changes.templates, "share of p(answer) lost", "share")


def heads_that_matter(model):
    """Heads without which the answer loses more than MATTERS of its probability on the discovery prompts."""
    return detect_heads(shares_lost(model, task_prompts("induction", model, **DISCOVERY)), "fixed", threshold=MATTERS).sites


@pytest.mark.parametrize("method", ["fixed", "variance", "otsu"])
@claim(
    "On held-out sequences the threshold picks the recorded induction heads",
    source=OLSSON, task="induction", kind="generalisation", models=WITH,
)  # fmt: skip
def test_thresholds_find_the_recorded_heads(model, prompts, circuit, check, method):
    """Precision, recall, F1 and AUROC, with the heads flagged on each sequence by itself."""
    found = detect(model, prompts, method)
    quality = found.quality(model, circuit["induction"])
    check.above(quality.f1, 0.75)
    check.above(quality.auroc, 0.9)
    check.above(quality.recall, 0.75)
    check.above(quality.precision, 0.75)
    check.figure(quality.table())
    check.figure(head_heatmap(f"Induction score; threshold {found.threshold:.2f}", found.scores.mean, "attention"))
    own_text = " ".join(prompts.words[0][1:])
    check.figure(lambda: induction_reports(model, own_text, found.threshold)[0].figure())


@pytest.mark.parametrize("method", ["fixed", "variance", "otsu"])
@claim(
    "In a model without induction heads the threshold picks none",
    source=OLSSON, task="induction", kind="specificity", models=["names-gpt2-seed0"], decoy={"model": "names-gpt2-seed4"},
)  # fmt: skip
def test_thresholds_find_nothing_where_there_is_nothing(model, prompts, check, method):
    """Fewer than one head in two sequences: what a detector that always fires cannot do."""
    found = detect(model, prompts, method)
    counts = (found.scores.values > found.threshold).sum((0, 1))
    check.below(Measurement(counts, prompts.ids, prompts.templates, "heads flagged", "heads"), 0.5)
    check.figure(head_heatmap(f"Induction score; threshold {found.threshold:.2f}", found.scores.mean, "attention"))


@pytest.mark.parametrize("measure", ["precision", "recall"])
@claim(
    "The heads that the induction score flags are those whose ablation costs the answer its probability",
    source=OLSSON, task="induction", kind="necessity", models=[*WITH, "compiled-induction"],
    expect={"recall": "refuted"}, positive_control={"model": "compiled-induction"},
)  # fmt: skip
def test_flagged_heads_are_those_that_matter(model, prompts, check, measure):
    """Precision: what is flagged matters. Recall is refuted: first-layer heads at END matter too, and are no induction heads."""
    truth = heads_that_matter(model)
    assert len(truth), "no head matters by itself"
    quality = detect(model, prompts, "variance").quality(model, truth)
    check.above(getattr(quality, measure), 0.8)
    check.figure(lambda: head_heatmap("Share of p(answer) lost without a head at END", shares_lost(model, prompts).mean, "share"))
