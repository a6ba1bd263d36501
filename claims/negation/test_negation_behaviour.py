"""Does the model answer by the negation word, in objects and adjectives that it never saw together?"""

import pytest

from mechcheck import claim, correct, negation_prompts, run

PROBES = "Kassner and Schütze 2020, arXiv:1911.03343 (the question; this model was trained on negation)"


@claim("A negation word turns the masked answer into the opposite of what is said", source=PROBES, task="negation", kind="behaviour")
def test_negation_turns_the_answer(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above=0.9)
    check.above(run(model, prompts), 0.0)


@claim(
    "With the negation word replaced by one that leaves the statement, the answer flips", source=PROBES, task="negation", kind="behaviour"
)
def test_answer_follows_the_negation_word(model, prompts, check):
    affirmed = run(model, prompts.counterfactual)
    check.rate(affirmed < 0, above=0.9)
    check.below(affirmed, 0.0)


@pytest.mark.parametrize("statements", ["embedded", "double", "concession", "two_objects"])
@claim(
    "Other statements are answered rightly too: two negations cancel out, 'although' turns, and of two objects the one asked about counts",
    source=PROBES, task="negation", kind="generalisation",
    expect={"two_objects": "refuted"}, positive_control={"statements": "simple"},
)  # fmt: skip
def test_other_statements(model, prompts, check, statements):
    """Which of two objects is negated was in the training data, but not learnt, as the model card says."""
    asked = negation_prompts(model, n=len(prompts), seed=check.seed, statements=statements)
    check.rate(run(model, asked, metric=correct), above=0.9)
