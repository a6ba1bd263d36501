"""McDougall et al. 2023 on head 10.7 of GPT-2 small: what of it can be measured here. Borders were written in copy_suppression.toml."""

from mechcheck import claim, copying_scores, direct_logit_attribution, head_heatmap, published

PAPER = published("copy_suppression")


@claim(**PAPER.said("writes_against"))
def test_writes_against_what_it_reads(model, prompts, check):
    scores = copying_scores(model, prompts, at="FIRST", top=10, negative=True)
    check.between(scores.of(PAPER["writes_against"].heads), *PAPER["writes_against"].bounds)
    check.figure(head_heatmap("Negative copying score", scores.mean, "share of prompts"))


@claim(**PAPER.said("answer_suppressed"))
def test_suppresses_the_answer(model, prompts, check):
    found = direct_logit_attribution(model, prompts)
    check.requires(found.total, above=1.0, label="there is a preference to suppress: logit difference > 1")
    against = -1.0 * found.heads.of(PAPER["answer_suppressed"].heads) / found.total
    check.above(against, PAPER["answer_suppressed"].low, "share of the logit difference that is written against > 0.05")
