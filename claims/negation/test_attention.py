"""The negation heads' attention: to the negation word, weighted by values, beside all other heads, and in the aligned sentence."""

import pytest

from mechcheck import (
    Compared,
    attention_to,
    claim,
    compare_heads,
    counterfactual_maps,
    head_heatmap,
    negation_prompts,
    ranking_figure,
    word_attention,
)

CLARK = "Clark et al. 2019, arXiv:1906.04341 (attention between words); the claims are ours"
KOBAYASHI = "Kobayashi et al. 2020, arXiv:2004.10102 (attention weighted by norms); the claims are ours"


@pytest.mark.parametrize("weighting", ["attention", "v", "v_o"])
@claim(
    "The negation heads attend from the mask to the negation word, much more than to other words",
    source=KOBAYASHI,
    task="negation",
    kind="structure",
)
def test_attend_to_the_negation_word(model, prompts, circuit, check, weighting):
    found, chosen = word_attention(model, prompts, at="END", weighting=weighting), circuit["negation_heads"]
    check.above(found.words.of(chosen), 0.3)
    check.greater(found.words.of(chosen), found.others.of(chosen), margin=0.1)
    words = {"to the negation word": found.words, "to the average other word": found.others}
    check.figure(Compared("From the mask", {to: head_heatmap(to, scores.mean, scores.unit) for to, scores in words.items()}))


@claim(
    "Among all heads the negation heads stand out: more to the negation word than to other words, after correction for their number",
    source=CLARK,
    task="negation",
    kind="structure",
)
def test_stand_out_among_all_heads(model, prompts, circuit, check):
    found, chosen = word_attention(model, prompts, at="END"), circuit["negation_heads"]
    ranking = compare_heads(found.words, found.others)
    significant = {(row.layer, row.head) for row in ranking if row.p_adjusted < 0.05}
    check.above(found.words.of(chosen) - found.others.of(chosen), 0.0)
    check.figure(ranking_figure("From the mask: to the negation word minus to the average other word", ranking, found.words.unit))
    assert significant.issuperset(chosen.pairs), f"after Benjamini-Hochberg only {sorted(significant)} stand out"


@claim(
    "It is one way: the negation word attends to the mask no more than other words do",
    source=CLARK,
    task="negation",
    kind="structure",
    decoy={"circuit": {"negation_heads": "0.2"}},
)
def test_negation_word_does_not_attend_to_the_mask(model, prompts, circuit, check):
    """The contrast is a head that was seen to do so on the discovery prompts; the margin is half of what it did there."""
    found, chosen = word_attention(model, prompts, direction="from", at="END"), circuit["negation_heads"]
    check.equivalent(found.words.of(chosen) - found.others.of(chosen), margin=0.05)
    check.figure(head_heatmap("From the negation word to the mask", found.words.mean, found.words.unit))


@claim(
    "The attention goes to the negation word and not to its place: replaced by a word that leaves the statement, it loses it",
    source=CLARK,
    task="negation",
    kind="structure",
)
def test_replacing_the_word_takes_the_attention_away(model, prompts, circuit, check):
    chosen = circuit["negation_heads"]
    here, there = (attention_to(model, some, chosen, "END", "SWITCH") for some in (prompts, prompts.counterfactual))
    check.greater(here.named("attention to the negation word"), there.named("to the word in its place"), margin=0.3)
    for maps in counterfactual_maps(model, prompts, chosen).values() if check.draws else ():
        for figure in maps.compared():
            check.figure(figure)


@pytest.mark.parametrize("statements", ["double"])
@claim(
    "The negation heads attend from the mask to negation words even where two of them cancel out",
    source=CLARK, task="negation", kind="structure",
    expect={"double": "refuted"}, positive_control={"statements": "simple"},
)  # fmt: skip
def test_attend_to_two_negation_words(model, prompts, circuit, check, statements):
    """On the discovery half they did not: what they attend to is a statement that is turned, not the word by itself."""
    asked = negation_prompts(model, n=len(prompts), seed=check.seed, statements=statements)
    check.above(word_attention(model, asked, at="END").words.of(circuit["negation_heads"]), 0.3)
