"""Attention, values, weights and ablation on heads that are known: a lookalike attends as an induction head does, and writes nothing."""

import pytest

from mechcheck import (
    HeadScores,
    Measurement,
    ablation_effects,
    claim,
    composition,
    detect_heads,
    head_heatmap,
    induction_null_scores,
    induction_scores,
    ov_circuit,
    probability,
    qk_circuit,
    value_weighted_attention,
)
from mechcheck.compiled import known_circuit

ELHAGE = "Elhage et al. 2021, transformer-circuits.pub/2021/framework"
KOBAYASHI = "Kobayashi et al. 2020, arXiv:2004.10102"
OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
MODEL = "compiled-induction"


@pytest.mark.parametrize("role", ["induction", "induction_lookalike"])
@claim(
    "A head that attends to a token fetches something from it",
    source=KOBAYASHI, kind="structure", models=[MODEL],
    expect={"induction_lookalike": "refuted"}, positive_control={"role": "induction"}, decoy={"role": "induction_lookalike"},
)  # fmt: skip
def test_attention_is_not_what_is_fetched(model, prompts, check, role):
    import torch

    row = torch.arange(len(prompts))
    maps = value_weighted_attention(model, prompts, known_circuit(MODEL)[role], through="v_o")
    fetched = maps[row, :, prompts.position("END"), prompts.position("NEXT")].mean(-1).cpu().double().numpy()
    check.above(Measurement(fetched, prompts.ids, prompts.templates, "norm written", "|z W_O|"), 1.0)


@pytest.mark.parametrize("evidence", ["ablation", "attention"])
@claim(
    "The heads that a threshold flags are the induction head as it was built",
    source=OLSSON, kind="structure", models=[MODEL],
    expect={"attention": "refuted"}, positive_control={"evidence": "ablation"}, decoy={"evidence": "attention"},
)  # fmt: skip
def test_flagged_heads_are_the_known_ones(model, prompts, check, evidence):
    """By attention the lookalike is flagged too, which halves the precision; by what its ablation costs it is not."""
    scores = induction_scores(model, prompts)
    if evidence == "attention":
        found = detect_heads(scores, "otsu", null=induction_null_scores(model, prompts))
    else:
        change = ablation_effects(model, prompts, metrics={"p": probability}, at="END")["p"]
        found = detect_heads(HeadScores(-change.values, change.ids, change.templates, "p(answer) lost"), "fixed", threshold=0.05)
    quality = found.quality(model, known_circuit(MODEL)["induction"])
    check.above(quality.precision, 0.75)
    check.above(quality.recall, 0.75)
    check.above(quality.f1, 0.75)
    check.above(quality.auroc, 0.95)
    check.figure(head_heatmap(found.scores.name, found.scores.mean, found.scores.unit))


@pytest.mark.parametrize("mode", ["K", "Q", "V"])
@claim(
    "What the previous-token head writes is read by the induction head as key, and not as query or value",
    source=ELHAGE, kind="structure", models=[MODEL],
    expect={"Q": "refuted", "V": "refuted"}, positive_control={"mode": "K"}, decoy={"mode": "Q"},
)  # fmt: skip
def test_known_edges_compose(model, check, mode):
    circuit = known_circuit(MODEL)
    found = composition(model, mode, circuit["previous_token"], circuit["induction"])
    check.rate(found.beats_random, above=0.95)
    check.figure(found.heatmap())


@claim(
    "By its weights the induction head copies every token, and matches it with the one that the previous-token head carried on",
    source=ELHAGE, kind="structure", models=[MODEL], decoy="reinitialised",
)  # fmt: skip
def test_known_weights_copy_and_match(model, check):
    circuit = known_circuit(MODEL)
    copied = ov_circuit(model, circuit["induction"])
    matched = qk_circuit(model, circuit["induction"], key_through=circuit["previous_token"])
    for found in (copied, matched):
        check.above(found.own_token, 0.5)
        check.rate(found.own_token_among(1), above=0.9)
        check.figure(found.heatmap(found.tokens[:24].tolist()))
