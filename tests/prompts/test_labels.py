"""Token labels: numbered repeats, white space, padding, and labels that are tokens themselves."""

from dataclasses import replace

import pytest
from tiny import random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import PromptSet


def prompts_of(*words: str) -> PromptSet:
    """One prompt of these tokens, and a longer one, so that the first is padded."""
    rows = [list(range(len(words))), list(range(len(words) + 3))]
    made = PromptSet.from_tokens(rows, answers=[0, 0], foils=[1, 1], pad=0)
    return replace(made, words=(words, words + ("x",) * 3))


def test_repeats_are_numbered():
    prompts = prompts_of("<bos>", "Mary", "and", "John", ".", "John", "to", "John", ".")
    assert token_labels(prompts, 0) == ("<bos>", "Mary", "and", "John", ".", "John_2", "to", "John_3", "._2")


def test_the_space_of_a_word_is_no_difference_but_blank_tokens_are_seen():
    assert token_labels(prompts_of(" John", "John", "\n", " ", "  ", "\n"), 0) == ("John", "John_2", "\\n", " ", "  ", "\\n_2")


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (("John", "John_2", "John"), ("John", "John_2", "John_3")),
        (("John", "John", "John_2"), ("John", "John_3", "John_2")),
        (("a_2", "a", "a_2", "a"), ("a_2", "a", "a_2_2", "a_3")),
    ],
)
def test_labels_differ_although_a_token_reads_like_one(words, labels):
    assert token_labels(prompts_of(*words), 0) == labels


def test_ids_stand_in_for_text_that_is_unknown():
    prompts = PromptSet.from_tokens([[4, 5, 4]], answers=[0], foils=[1])
    assert token_labels(prompts, 0) == ("4", "5", "4_2")


def test_padding_has_no_label():
    prompts = random_prompts(1, (7, 12), alphabet=6)
    for row, length in enumerate((7, 12)):
        labels = token_labels(prompts, row)
        assert len(labels) == len(set(labels)) == length
        assert [label.split("_")[0] for label in labels] == [word.split("_")[0] for word in prompts.words[row]]


def test_no_such_prompt():
    with pytest.raises(PromptError, match="no prompt 2; these are prompts 0-1"):
        token_labels(random_prompts(1, (7, 12)), 2)
