"""One prompt as a hypothesis reads it."""

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.prompts.one import each_prompt
from mechcheck.prompts.prompt_set import PromptSet


def test_tokens_by_the_names_of_their_places():
    prompts = PromptSet.from_tokens(
        [[1, 5, 6, 7], [1, 8, 9]], answers=[3, 4], pad=0, positions={"A": [1, 2], "S": [[1, 2], [2]]}, templates=["long", "short"]
    )
    one, other = each_prompt(prompts)
    assert (one.tokens, other.tokens) == ((1, 5, 6, 7), (1, 8, 9))
    assert (one["A"], other["A"]) == (5, 9)
    assert (one["S"], other["S"]) == ((5, 6), (9,))
    assert (one["END"], other["END"]) == (7, 9)
    assert (one.place("A"), one.place("S"), other.place("END")) == (1, (1, 2), 2)
    assert (one.template, other.id) == ("long", prompts.ids[1])
    with pytest.raises(PromptError, match="no position 'B'; these prompts have A, END, S"):
        one["B"]
