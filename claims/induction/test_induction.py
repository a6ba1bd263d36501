"""Induction: repeating what followed the last time, by previous-token heads that feed induction heads."""

import pytest

from mechcheck import (
    Ablate,
    Patch,
    attention_to,
    claim,
    copying_scores,
    correct,
    head_heatmap,
    induction_scores,
    previous_token_scores,
    probability,
    run,
)

OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
# Models that do not do induction on random tokens, as was measured before these claims were written.
WITHOUT = {"names-gpt2-seed0": "refuted", "stories260k": "refuted"}
# Hypotheses about these too; a directory of Pythia goes by the last part of its name.
PUBLISHED = ["gpt2", "EleutherAI/pythia-410m"]
WITH = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2", *PUBLISHED]


@claim("The model repeats random tokens in context", source=OLSSON, task="induction", kind="behaviour", expect=WITHOUT)
def test_repeats_random_tokens(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above=0.5)


@claim(
    "Previous-token heads attend to the previous token",
    source=OLSSON,
    task="induction",
    kind="structure",
    expect={"names-gpt2-seed0": "refuted"},
)
def test_previous_token_heads(model, prompts, circuit, check):
    scores = previous_token_scores(model, prompts.reference)
    check.above(scores.of(circuit["previous_token"]), 0.3)
    check.figure(head_heatmap("Attention to the previous token", scores.mean, "attention"))


@claim("Induction heads attend to the token that followed the last time", source=OLSSON, task="induction", kind="structure", expect=WITHOUT)
def test_prefix_matching(model, prompts, circuit, check):
    scores = induction_scores(model, prompts)
    check.above(scores.of(circuit["induction"]), 0.3)
    check.figure(head_heatmap("Induction score", scores.mean, "attention"))


@claim("Induction heads copy the token they attend to", source=OLSSON, task="induction", kind="structure", expect=WITHOUT)
def test_copying(model, prompts, circuit, check):
    scores = copying_scores(model, prompts, at="NEXT")
    check.above(scores.of(circuit["induction"]), 0.5)
    check.figure(head_heatmap("Copying score", scores.mean, "share of prompts"))


@claim(
    "Previous-token heads feed the induction heads' attention",
    source=OLSSON, task="induction", kind="necessity", models=WITH, decoy={"circuit": {"previous_token": "0.1@NEXT 0.3@NEXT"}},
)  # fmt: skip
def test_previous_token_heads_feed_induction_heads(model, prompts, circuit, check):
    """The token before NEXT is replaced, in the whole run or only in the previous-token heads' output at NEXT."""

    def attention(on, *what):
        return attention_to(model, on, circuit["induction"], "END", "NEXT", what)

    clean, broken = attention(prompts), attention(prompts.counterfactual)
    patched = attention(prompts, Patch(circuit["previous_token"]))
    check.requires(clean - broken, above=0.1, label="there is attention to lose: more than 0.1")
    check.above((clean - patched) / (clean - broken), 0.5, "share of the lost attention that goes through the heads > 0.5")


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
@claim(
    "Ablating the induction heads destroys in-context copying",
    source=OLSSON, task="induction", kind="necessity", models=WITH, decoy={"position": "NEXT"},
)  # fmt: skip
def test_ablation_destroys_copying(model, prompts, circuit, check, method, position="END"):
    clean = run(model, prompts, metric=probability)
    ablated = run(model, prompts, Ablate(circuit["induction"].at(position), method), probability)
    check.requires(clean, above=0.1, label="there is copying to destroy: p(answer) > 0.1")
    check.above((clean - ablated) / clean, 0.75, "share of p(answer) that is lost > 0.75")
