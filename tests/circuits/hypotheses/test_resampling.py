"""Who stands for whom: of the same template and length, agreeing, another one where there is another, whatever the order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.base.errors import CircuitError, PromptError
from mechcheck.circuits.hypotheses.resampling import check_resampled, classes, drawn, together
from mechcheck.prompts.one import Prompt
from mechcheck.prompts.prompt_set import PromptSet

TOKENS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12)


def prompts_of(pairs, templates=None):
    templates = templates or ["t"] * len(pairs)
    return [
        Prompt(tuple(pair), {"A": 0, "B": 1}, template, f"id {i}") for i, (pair, template) in enumerate(zip(pairs, templates, strict=True))
    ]


@given(TOKENS, st.integers(0, 5), st.randoms())
def test_another_that_agrees_whatever_the_order(pairs, key, rng):
    prompts = prompts_of(pairs)
    found = classes(prompts, lambda prompt: prompt["A"], "it")
    rows = list(range(len(prompts)))
    chosen = drawn(found, rows, str(key), [prompt.id for prompt in prompts])
    sizes = Counter(prompt["A"] for prompt in prompts)
    for row, other in enumerate(chosen):
        assert prompts[row]["A"] == prompts[other]["A"]
        assert (row == other) == (sizes[prompts[row]["A"]] == 1)
    assert found.alone(rows) == sum(sizes[prompt["A"]] == 1 for prompt in prompts)
    order = rng.sample(rows, len(rows))
    turned = [prompts[row] for row in order]
    again = drawn(classes(turned, lambda prompt: prompt["A"], "it"), rows, str(key), [prompt.id for prompt in turned])
    assert [turned[row].id for row in again] == [prompts[chosen[row]].id for row in order]


def test_draws_are_even_and_depend_on_what_they_are_for():
    prompts = prompts_of([(0, i) for i in range(4)])
    found = classes(prompts, lambda prompt: 0, "it")
    counts = Counter(drawn(found, [0], f"key {i}", ["name"])[0] for i in range(600))
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 150
    names = Counter(drawn(found, [0], "key", [f"name {i}"])[0] for i in range(600))
    assert min(names.values()) > 150


def test_templates_and_lengths_are_kept_apart_and_the_same_prompt_counts_once():
    prompts = [*prompts_of([(0, 1), (0, 2), (0, 3)], ["t", "t", "u"]), Prompt((0, 1, 2), {"A": 0}, "t", "longer"), prompts_of([(0, 1)])[0]]
    found = classes(prompts, lambda prompt: prompt["A"], "it")
    assert sorted(map(sorted, found.members.values())) == [[0, 1], [2], [3]]
    assert drawn(found, [0, 1, 2, 4], "key", "abcd") == [1, 0, 2, 1]


def test_what_cannot_be_compared_or_resampled_is_refused():
    prompts = prompts_of([(0, 1), (0, 2)])
    with pytest.raises(CircuitError, match=r"what matters to it is unhashable type: 'list'.*a number, a text or a tuple"):
        classes(prompts, lambda prompt: [prompt["A"]], "it")
    with pytest.raises(CircuitError, match="could not be told of prompt id 0: KeyError"):
        classes(prompts, lambda prompt: {}["x"], "it")
    with pytest.raises(CircuitError, match="could not be told of prompt id 0: TypeError"):
        classes(prompts, lambda prompt: prompt["A"] + "x", "it")
    with pytest.raises(PromptError, match="no position 'C'"):
        classes(prompts, lambda prompt: prompt["C"], "it")
    check_resampled(prompts)
    for lonely in (prompts[:1], prompts_of([(0, 1), (0, 2)], ["t", "u"]), [prompts[0], prompts[0]]):
        with pytest.raises(PromptError, match="has one only"):
            check_resampled(lonely)


def test_prompts_together_are_both_at_the_places_that_both_have():
    one = PromptSet.from_tokens([[1, 5, 6], [1, 7, 8]], positions={"A": [1, 2], "S": [[1, 2], [2]], "X": [0, 0], "M": [[1, 2], [1]]})
    other = PromptSet.from_tokens([[1, 2, 3, 4]], positions={"A": [3], "S": [[0, 3]], "M": [1]}, templates=["long"])
    both = together(one, other)
    assert both.tokens.tolist() == [[1, 5, 6, 0], [1, 7, 8, 0], [1, 2, 3, 4]]
    assert both.lengths.tolist() == [3, 3, 4]
    assert {name: at.tolist() for name, at in both.positions.items()} == {"A": [1, 2, 3], "END": [2, 2, 3], "S": [2, 2, 3]}
    assert both.span("S").tolist() == [[False, True, True, False], [False, False, True, False], [True, False, False, True]]
    assert (both.templates, both.ids) == (("all", "all", "long"), one.ids + other.ids)
    assert together(one, None).tokens is one.tokens
