"""Two aligned statements, the second subject flipped: what changes where heads look, and what changes in what they fetch."""

from mechcheck import Compared, attention_change, claim, counterfactual_maps, head_heatmap

WANG = "Wang et al. 2022, arXiv:2211.00593"
SHORTCUT = {"names-gpt2-seed0": "refuted"}  # learned IOI another way; see claims/ioi


@claim("Flipping the second subject turns the name movers elsewhere", source=WANG, task="ioi", kind="structure", expect=SHORTCUT)
def test_name_movers_look_elsewhere(model, prompts, circuit, check):
    """By the threshold that counts as attending in claims/ioi: somewhere in the pattern a share of 0.3 moves."""
    change = attention_change(model, prompts)
    check.above(change.max_difference.of(circuit["name_mover"]), 0.3)
    for scores in (change.max_difference, change.mean_difference):
        check.figure(head_heatmap(f"Second subject flipped: {scores.name}", scores.mean, scores.unit))
    alike = {scores.name: scores.figure() for scores in (change.pattern_correlation, change.value_correlation)}
    check.figure(Compared("Second subject flipped: how alike the two statements are", alike))
    head = circuit["name_mover"].pairs[0]
    for figure in counterfactual_maps(model, prompts, [head])[head].compared() if check.draws else ():
        check.figure(figure)


@claim(
    "Flipping the second subject leaves the S-inhibition heads looking where they looked, and changes what they fetch",
    source=WANG, task="ioi", kind="structure", expect=SHORTCUT,
)  # fmt: skip
def test_s_inhibition_heads_fetch_something_else(model, prompts, circuit, check):
    """The position of the second subject stays; its name does not."""
    change, sites = attention_change(model, prompts), circuit["s_inhibition"]
    check.above(change.pattern_correlation.of(sites), 0.95)
    check.below(change.value_correlation.of(sites), 0.95)
    head = sites.pairs[0]
    for figure in counterfactual_maps(model, prompts, [head], weighted="cosine")[head].compared() if check.draws else ():
        check.figure(figure)
