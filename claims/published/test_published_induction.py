"""Which heads of GPT-2 small score highest on repeated random tokens: ranks as published, measured again (see induction.toml)."""

from mechcheck import claim, duplicate_token_scores, heads, induction_scores, previous_token_scores, published

RANKS = published("induction")
SEGMENTS = {"lengths": (48, 50)}  # half as long as the paper's, and so a quarter of the work


def lead(scores, figure):
    """By how much the lowest of the figure's heads is above the best of those that must be below it, in means; prompt by prompt."""
    own = set(heads(figure.heads).pairs)
    lowest = [pair for pair in scores.top(scores.mean.size) if pair in own][-1]
    others = [pair for pair in scores.top(scores.mean.size) if pair not in own]
    return scores.of(heads([lowest])) - scores.of(heads([others[figure.among - len(own)]]))


@claim(**RANKS.said("previous_token"), prompts=SEGMENTS)
def test_previous_token_ranks(model, prompts, check):
    scores = previous_token_scores(model, prompts.reference)
    check.above(lead(scores, RANKS["previous_token"]), RANKS["previous_token"].low)
    check.figure(scores.figure("Attention to the previous token"))


@claim(**RANKS.said("induction"), prompts=SEGMENTS)
def test_induction_ranks(model, prompts, check):
    scores = induction_scores(model, prompts)
    check.above(lead(scores, RANKS["induction"]), RANKS["induction"].low)
    check.figure(scores.figure("Induction score"))


@claim(**RANKS.said("duplicate_token"), prompts=SEGMENTS)
def test_duplicate_token_ranks(model, prompts, check):
    scores = duplicate_token_scores(model, prompts)
    check.above(lead(scores, RANKS["duplicate_token"]), RANKS["duplicate_token"].low)
    check.figure(scores.figure("Attention to the earlier occurrence"))
