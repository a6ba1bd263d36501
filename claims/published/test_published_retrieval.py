"""Wu et al. 2024 on Llama-2-7B-80K: retrieval heads, measured again. Borders were written beforehand, in retrieval.toml."""

import pytest

from mechcheck import Ablate, HeadScores, Measurement, claim, correct, head_heatmap, heads, log_odds, published, retrieval_scores, run

WU = published("retrieval")
# For each of the thirty heads the next one of its layer that is none of the hundred strongest on the authors' list, and not taken yet.
OTHERS = (
    "16.20 11.16 8.27 6.10 7.13 17.23 11.3 6.17 19.16 21.31 18.0 24.31 7.5 15.15 16.3 20.31 17.1 14.19 24.0 21.2 6.31 17.19 21.17 29.20 "
    "13.24 20.2 17.17 22.23 22.10 22.20"
)
TEN_OTHERS = " ".join(OTHERS.split()[:10])


def scored(model, prompts, check) -> HeadScores:
    """Where the model says the needle word by word, teacher forcing and the paper's greedy decoding are one."""
    check.requires(run(model, prompts, metric=correct), above=0.5, label="the model says what the text says, on more than half of prompts")
    return retrieval_scores(model, prompts)


@pytest.mark.parametrize("which", [WU["strongest_head"].heads])
@claim(**WU.said("strongest_head"), decoy={"which": "16.20"})
def test_strongest_retrieval_head(model, prompts, check, which):
    check.between(scored(model, prompts, check).of(which), *WU["strongest_head"].bounds)


@pytest.mark.parametrize("which", [WU["ten_heads"].heads], ids=["ten"])
@claim(**WU.said("ten_heads"), decoy={"which": TEN_OTHERS})
def test_ten_retrieval_heads(model, prompts, check, which):
    scores = scored(model, prompts, check)
    check.between(scores.of(which), *WU["ten_heads"].bounds)
    check.figure(head_heatmap("Retrieval score", scores.mean, "share of tokens"))


@claim(**WU.said("sparse"))
def test_few_heads_retrieve(model, prompts, check):
    scores = scored(model, prompts, check)
    share = (scores.values > 0.1).mean((0, 1))
    check.between(Measurement(share, scores.ids, scores.templates, "heads above 0.1", "share of heads"), *WU["sparse"].bounds)


@pytest.mark.parametrize("which", [WU["thirty_heads"].heads], ids=["thirty"])
@claim(**WU.said("thirty_heads"), decoy={"which": OTHERS})
def test_without_thirty_retrieval_heads(model, prompts, check, which):
    clean, without = (run(model, prompts, what, log_odds) for what in ((), Ablate(heads(which), "zero")))
    check.requires(clean, above=1.0, label="there is something to lose: log-odds > 1")
    check.above((clean - without) / clean, WU["thirty_heads"].low, "share of the log-odds lost > 0.5")
