"""Interventions on one side of a match: induction heads are told where to look through their keys, name movers through their queries."""

import numpy as np
import pytest

from mechcheck import Heatmap, Measurement, Patch, attention_scores, attention_to, claim, keys, queries, token_labels

ELHAGE = "Elhage et al. 2021, transformer-circuits.pub/2021/framework"
OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
WANG = "Wang et al. 2022, arXiv:2211.00593"
WITH_INDUCTION = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
SHORTCUT = "names-gpt2-seed0"  # learned IOI without heads that look for the indirect object


def check_share(check, clean, patched, broken):
    """More than half of the attention that the counterfactual takes away is taken away by the patch alone."""
    check.requires(clean - broken, above=0.1, label="there is attention to lose: more than 0.1")
    check.above((clean - patched) / (clean - broken), 0.5, "share of the lost attention that the patch explains > 0.5")


@pytest.mark.parametrize("side", ["keys", "queries"])
@claim(
    "Induction heads learn what stood before a token through their keys: K-composition",
    source=ELHAGE, task="induction", kind="necessity", models=WITH_INDUCTION,
    expect={"queries": "refuted"}, positive_control={"side": "keys"}, decoy={"side": "queries"},
)  # fmt: skip
def test_induction_heads_compose_through_keys(model, prompts, circuit, check, side):
    """The token before NEXT is replaced in the keys at NEXT alone, or in the queries at END alone."""
    heads = circuit["induction"]
    sites = keys(heads.pairs, at="NEXT") if side == "keys" else queries(heads.pairs, at="END")

    def attention(on, *what):
        return attention_to(model, on, heads, "END", "NEXT", what)

    check_share(check, attention(prompts), attention(prompts, Patch(sites)), attention(prompts.counterfactual))


@pytest.mark.parametrize("side", ["queries", "keys"])
@claim(
    "Name movers learn whom to avoid through their queries: Q-composition",
    source=WANG, task="ioi", kind="necessity",
    expect={SHORTCUT: "not_applicable", "keys": "refuted"}, positive_control={"side": "queries"}, decoy={"side": "keys"},
)  # fmt: skip
def test_name_movers_compose_through_queries(model, prompts, circuit, check, side):
    """The second subject is flipped in the queries at END alone, or in the keys at all three names alone."""
    movers = circuit["name_mover"].pairs
    at_names = keys(movers, at="IO") | keys(movers, at="S1") | keys(movers, at="S2")

    def attention(on, *what):
        return attention_to(model, on, circuit["name_mover"], "END", "IO", what)

    patched = attention(prompts, Patch(queries(movers, at="END") if side == "queries" else at_names))
    check_share(check, attention(prompts), patched, attention(prompts.counterfactual))


@claim(
    "What S-inhibition heads do to the name movers' attention, they do through the name movers' queries",
    source=WANG, task="ioi", kind="sufficiency", expect={SHORTCUT: "not_applicable"}, decoy={"position": "S2"},
)  # fmt: skip
def test_s_inhibition_acts_through_queries(model, prompts, circuit, check, position="END"):
    """Their output is flipped, and the name movers' queries alone are put back: the attention returns."""
    flip = Patch(circuit["s_inhibition"])
    restore = Patch(queries(circuit["name_mover"].pairs, at=position), source=prompts)

    def attention(*what):
        return attention_to(model, prompts, circuit["name_mover"], "END", "IO", what)

    clean, flipped, restored = attention(), attention(flip), attention(flip, restore)
    check.requires(clean - flipped, above=0.1, label="there is attention to lose: more than 0.1")
    check.above((restored - flipped) / (clean - flipped), 0.5, "share of the lost attention that the queries bring back > 0.5")


@claim(
    "Before the softmax, induction heads score the token that followed above what they see on average by more than 2 logits",
    source=OLSSON, task="induction", kind="structure", models=WITH_INDUCTION,
)  # fmt: skip
def test_scores_of_the_token_that_followed(model, prompts, circuit, check):
    """2 logits: enough for 0.3 of the attention, which counts as attending in claims/induction, among twenty equal others."""
    import torch

    heads, row = circuit["induction"], torch.arange(len(prompts))
    scores = attention_scores(model, prompts, heads)[row, :, prompts.position("END")].cpu().double()
    seen = scores.isfinite()
    average = torch.where(seen, scores, 0.0).sum(-1) / seen.sum(-1)
    lead = (scores[row, :, prompts.position("NEXT")] - average).mean(-1).numpy()
    check.above(Measurement(lead, prompts.ids, prompts.templates, "score of NEXT above the mean score", "logits"), 2.0)
    first, labels = prompts[[0]], token_labels(prompts, 0)
    pair = heads.pairs[0]
    shown = attention_scores(model, first, [pair])[0, 0, : len(labels), : len(labels)].cpu().numpy()
    title = f"Scaled and masked QK scores of {pair[0]}.{pair[1]}"
    check.figure(Heatmap(title, np.where(np.isfinite(shown), shown, np.nan), labels, labels, "query", "key", "logits"))
