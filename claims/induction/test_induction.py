"""Induction: repeating what followed the last time, by previous-token heads that feed induction heads."""

from mechcheck import (
    Ablate,
    Patch,
    attention_to,
    claim,
    copying_scores,
    correct,
    grid,
    head_heatmap,
    heads,
    induction_scores,
    logit_diff,
    previous_token_scores,
    probability,
    run,
)

OLSSON = "Olsson et al. 2022, arXiv:2209.11895"
# Models that do not do induction on random tokens, as was measured before these claims were written.
WITHOUT = {"names-gpt2-seed0": "refuted", "stories260k": "refuted"}
# What they do not do cannot be taken away from them.
NOTHING_TO_LOSE = dict.fromkeys(WITHOUT, "not_applicable")


def feeders(model, circuit, which):
    """The previous-token heads; or as many others at their place that the induction heads could read, of the same layers first.

    Where there are no others, the same heads one place earlier, where they have not seen the token yet.
    """
    known = circuit["previous_token"]
    if which == "previous_token":
        return known
    own, top = {site.layer for site in known}, max(site.layer for site in circuit["induction"])
    places = [(layer, head) for layer in range(top) for head in range(model.cfg.n_heads)]
    others = [place for place in places if place not in known.pairs and place not in circuit["induction"].pairs]
    if not others:
        return known.at("FIRST")
    return heads(sorted(others, key=lambda place: place[0] not in own)[: len(known)], at="NEXT")


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
    source=OLSSON, task="induction", kind="necessity", expect=NOTHING_TO_LOSE, decoy={"through": "other heads"},
)  # fmt: skip
def test_previous_token_heads_feed_induction_heads(model, prompts, circuit, check, through="previous_token"):
    """The token before NEXT is replaced, in the whole run or only in the previous-token heads' output at NEXT."""

    def attention(on, *what):
        return attention_to(model, on, circuit["induction"], "END", "NEXT", what)

    clean, broken = attention(prompts), attention(prompts.counterfactual)
    patched = attention(prompts, Patch(feeders(model, circuit, through)))
    check.requires(clean - broken, above=0.1, label="there is attention to lose: more than 0.1")
    check.above((clean - patched) / (clean - broken), 0.5, "share of the lost attention that goes through the heads > 0.5")


@claim(
    "Ablating the induction heads destroys in-context copying",
    source=OLSSON, task="induction", kind="necessity", expect=NOTHING_TO_LOSE, decoy={"position": "NEXT"},
    over=grid(metric=[probability, logit_diff], method=["zero", "mean", "resample"]), version=3,
)  # fmt: skip
def test_ablation_destroys_copying(model, prompts, circuit, check, metric, method, position="END"):
    clean = run(model, prompts, metric=metric)
    ablated = run(model, prompts, Ablate(circuit["induction"].at(position), method), metric)
    check.requires(run(model, prompts, metric=probability), above=0.1, label="there is copying to destroy: p(answer) > 0.1")
    check.above((clean - ablated) / clean, 0.75, f"share of {metric.name} that is lost > 0.75")
