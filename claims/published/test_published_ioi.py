"""Wang et al. 2022 on GPT-2 small: their figures, measured again. Tolerances and what replicates were written beforehand, in ioi.toml."""

import pytest

from mechcheck import (
    Ablate,
    Patch,
    all_heads,
    attention_to,
    claim,
    copying_scores,
    head_heatmap,
    heads,
    probability,
    published,
    run,
)

WANG = published("ioi")


@claim(**WANG.said("logit_difference"))
def test_logit_difference(model, prompts, check):
    check.between(run(model, prompts), *WANG["logit_difference"].bounds)


@claim(**WANG.said("preferred"))
def test_preferred(model, prompts, check):
    check.rate(run(model, prompts) > 0, above=WANG["preferred"].low)


@claim(**WANG.said("probability"))
def test_probability(model, prompts, check):
    check.between(run(model, prompts, metric=probability), *WANG["probability"].bounds)


@claim(**WANG.said("name_mover_attention"))
def test_name_mover_attention(model, prompts, circuit, check):
    check.between(attention_to(model, prompts, circuit["name_mover"], "END", "IO"), *WANG["name_mover_attention"].bounds)


@claim(**WANG.said("copy_score"))
def test_copy_score(model, prompts, circuit, check):
    scores = copying_scores(model, prompts, at="IO")
    check.above(scores.of(circuit["name_mover"]), WANG["copy_score"].low)
    check.figure(head_heatmap("Copying score at IO", scores.mean, "share of prompts"))


@claim(**WANG.said("negative_copy_score"))
def test_negative_copy_score(model, prompts, circuit, check):
    scores = copying_scores(model, prompts, at="IO", negative=True)
    check.above(scores.of(circuit["negative_name_mover"]), WANG["negative_copy_score"].low)
    check.figure(head_heatmap("Negative copying score at IO", scores.mean, "share of prompts"))


@claim(**WANG.said("s_inhibition_attention"))
def test_s_inhibition_attention(model, prompts, circuit, check):
    check.between(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), *WANG["s_inhibition_attention"].bounds)


@claim(**WANG.said("inverted_signals"))
def test_inverted_signals(model, prompts, circuit, check):
    check.between(run(model, prompts, Patch(circuit["s_inhibition"])), *WANG["inverted_signals"].bounds)


@claim(**WANG.said("without_name_movers"), decoy={"circuit": {"name_mover": "7.3@END 7.9@END 8.6@END 8.10@END"}})
def test_without_name_movers(model, prompts, circuit, check):
    """Random heads would cost little too: the decoy is the S-inhibition heads, whose loss nobody makes up for."""
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    lost = (clean - run(model, prompts, Ablate(circuit["name_mover"], "mean"))) / clean
    check.between(lost, *WANG["without_name_movers"].bounds)


@claim(**WANG.said("circuit_alone"))
def test_circuit_alone(model, prompts, circuit, check):
    kept = {pair for role in circuit for pair in circuit[role].pairs}
    others = heads([pair for pair in all_heads(model).pairs if pair not in kept])
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to keep: logit difference > 1")
    check.between(run(model, prompts, Ablate(others, "mean")) / clean, *WANG["circuit_alone"].bounds)


@pytest.mark.parametrize("between", WANG.edges, ids=lambda one: f"{one.sender}-{one.receiver}")
@claim(**WANG.said("who_reads_whom"))
def test_who_reads_whom(model, prompts, circuit, check, between):
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    lost = (clean - run(model, prompts, Patch(WANG.edges_of(circuit, between), prompts.reference))) / clean
    check.above(lost, WANG["who_reads_whom"].low, "share of the preference lost along these edges > 0.02")
