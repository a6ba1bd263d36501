"""Spans: several positions of a prompt under one name."""

import pytest
import torch

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import ALL

ROWS = [[1, 5, 6, 7], [1, 8, 9], [1, 4, 4, 4]]


def made(**positions):
    return PromptSet.from_tokens(ROWS, answers=[3, 3, 3], foils=[4, 4, 4], pad=0, positions=positions)


def test_a_span_has_positions_of_differing_number():
    prompts = made(S=[[2, 1], 1, (3,)], P=[0, 1, 2])
    assert prompts.span("S").tolist() == [[False, True, True, False], [False, True, False, False], [False, False, False, True]]
    assert prompts.position("S").tolist() == [2, 1, 3]  # the last one, as of a name of several tokens
    assert prompts.span("P").nonzero()[:, 1].tolist() == [0, 1, 2]
    assert "P" not in prompts.spans
    assert prompts.span(ALL).sum(1).tolist() == [4, 3, 4]
    assert prompts[[2, 0]].span("S").tolist() == [[False, False, False, True], [False, True, True, False]]


def test_next_tokens():
    prompts = made(END=[0, 1, 2])
    assert prompts.next_tokens.tolist() == [5, 9, 4]


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ({"S": [[0], [], [1]]}, "span S has no position in prompt 1"),
        ({"S": [[0], [1, 3], [1]]}, r"span S is 1-3 in prompt 1, which has tokens 0-2"),
        ({"S": [[-1], [1], [1]]}, r"span S is -1--1 in prompt 0, which has tokens 0-3"),
        ({"ALL": [0, 1, 2]}, "ALL is every token of a prompt"),
        ({"S": [[0], [1]]}, "2 S for 3 prompts"),
    ],
)
def test_errors(positions, said):
    with pytest.raises(PromptError, match=said):
        made(**positions)


def test_tensors_are_positions():
    assert made(P=torch.tensor([0, 1, 2])).position("P").tolist() == [0, 1, 2]
