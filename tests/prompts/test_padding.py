"""Prompts that come padded are read without their padding, or refused where it cannot be told from a prompt's own tokens."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BatchEncoding

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet

ROWS = [[1, 5, 6], [1, 7, 8, 9, 4]]
ASKED = {"answers": [5, 6], "foils": [7, 8]}


def padded(rows, pad, side, width=None):
    """As a tokenizer pads: ids and mask."""
    width = width or max(map(len, rows))
    fill = [[pad] * (width - len(row)) for row in rows]
    ones = [[1] * len(row) for row in rows]
    zeros = [[0] * len(some) for some in fill]
    if side == "left":
        return [f + row for f, row in zip(fill, rows, strict=True)], [z + o for z, o in zip(zeros, ones, strict=True)]
    return [row + f for f, row in zip(fill, rows, strict=True)], [o + z for z, o in zip(zeros, ones, strict=True)]


def same(found, expected):
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.ids == expected.ids
    assert {name: at.tolist() for name, at in found.positions.items()} == {name: at.tolist() for name, at in expected.positions.items()}


@given(
    rows=st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=6), min_size=1, max_size=4),
    pad=st.integers(0, 9),
    extra=st.integers(0, 3),
    side=st.sampled_from(["left", "right"]),
    kind=st.sampled_from([torch.tensor, np.array, list]),
)
def test_a_mask_tells_padding_whatever_the_ids_are(rows, pad, extra, side, kind):
    """Also where the pad id is BOS, or ends a prompt."""
    places = [len(row) // 2 for row in rows]
    ids, mask = padded(rows, pad, side, max(map(len, rows)) + extra)
    asked = {"answers": places, "foils": [0] * len(rows)}
    front = [seen.index(1) for seen in mask]
    shifted = [place + at for place, at in zip(places, front, strict=True)]
    found = PromptSet.from_tokens(kind(ids), **asked, pad=pad, attention_mask=kind(mask), positions={"P": shifted})
    same(found, PromptSet.from_tokens(rows, **asked, pad=pad, attention_mask=[[1] * len(row) for row in rows], positions={"P": places}))
    assert [row[:n].tolist() for row, n in zip(found.tokens, found.lengths, strict=True)] == rows


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_pad_id_at_an_end_of_some_rows_is_padding(side):
    ids, mask = padded(ROWS, 0, side)
    at = [2 * (side == "left") + 1, 1]
    expected = PromptSet.from_tokens(ROWS, **ASKED, pad=0, positions={"P": [1, 1]})
    same(PromptSet.from_tokens(ids, **ASKED, pad=0, positions={"P": at}), expected)
    # Without pad=, the mask says which id fills.
    same(PromptSet.from_tokens(torch.tensor(ids), **ASKED, attention_mask=mask, positions={"P": at}), expected)


def test_a_pad_id_that_begins_every_row_beside_padding_behind_is_bos():
    rows = [[0, 5, 6], [0, 7, 8, 9, 4]]
    ids, _ = padded(rows, 0, "right")
    assert PromptSet.from_tokens(ids, **ASKED, pad=0).lengths.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0, 5, 6], [0, 7, 8]], "prompt 0 begins with 0"),  # BOS, or filled up to a common length?
        ([[5, 6, 0], [7, 8, 0]], "prompt 0 ends with 0"),
        ([[5, 6], [7, 8, 0]], "prompt 1 ends with 0"),  # nobody pads to different lengths
    ],
)
def test_what_may_be_padding_or_not_is_refused(rows, said):
    with pytest.raises(PromptError, match=f"{said}.*attention_mask="):
        PromptSet.from_tokens(rows, **ASKED, pad=0)
    ones = [[1] * len(row) for row in rows]
    assert PromptSet.from_tokens(rows, **ASKED, pad=0, attention_mask=ones).lengths.tolist() == [len(row) for row in rows]


def test_rows_of_different_lengths_that_all_begin_with_the_pad_id_are_no_padding():
    assert PromptSet.from_tokens([[0, 5, 6], [0, 7]], **ASKED, pad=0).lengths.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([[1, 0, 1], [1, 1, 1]], "prompt 0 has a hole"),
        ([[1, 1, 1], [0, 0, 0]], "leaves no token of prompt 1"),
        ([[1, 1], [1, 1]], "for each token id"),
        ([[1, 1, 1], [0, 2, 1]], "prompt 1 has a hole, or other numbers"),
    ],
)
def test_masks_that_are_no_padding(mask, said):
    with pytest.raises(PromptError, match=said):
        PromptSet.from_tokens([[1, 5, 6], [1, 7, 8]], **ASKED, attention_mask=mask)


def test_a_position_on_padding_is_refused_by_its_own_number():
    ids, mask = padded(ROWS, 0, "left")
    with pytest.raises(PromptError, match="position P is 1 in prompt 0, which has tokens 2-4"):
        PromptSet.from_tokens(ids, **ASKED, attention_mask=mask, positions={"P": [1, 1]})


@pytest.mark.parametrize(
    ("tokens", "asked", "said"),
    [
        ([[1, -1], [1, 2]], {}, "token -1 at position 1 of prompt 0"),
        ([[1, 2], [1, 2]], {"answers": [3, -100]}, "answer of prompt 1 is token -100"),
        ([[1, 2], [1, 2]], {"foils": [-1, 1]}, "foil of prompt 0 is token -1"),
        ([[1, 2], [1, 2]], {"answers": [[3, 4], [5, 6]]}, "several answers"),
        ([[1, 2], [1, 2]], {"answers": torch.tensor([[3, 4], [5, 6]])}, "several answers"),
        ([[1, 2], [1, 2]], {"foils": [[3], [4, 5]]}, "several foils"),
        ([[1, 2.5], [1, 2]], {}, "expected whole numbers"),
        (["a text", "another"], {}, "from_text"),
        ("a text", {}, "from_text"),
        ([[1, 2], [1, 2]], {"answers": ["Mary", "John"]}, "answers: expected whole numbers"),
        ({"input_ids": [[1, 2]]}, {}, 'its "input_ids", and its "attention_mask"'),
        (BatchEncoding({"input_ids": [[1, 2]]}), {}, 'its "input_ids", and its "attention_mask"'),
        (7, {}, "a row of token ids for each prompt"),
    ],
)
def test_what_is_no_token(tokens, asked, said):
    with pytest.raises(PromptError, match=said):
        PromptSet.from_tokens(tokens, **asked)


def test_prompts_without_answers():
    made = PromptSet.from_tokens(ROWS, pad=0)
    assert made[[1]].tokens.tolist() == [ROWS[1]]
    assert len(made.answers) == len(made.foils) == 0
    assert made.ids != PromptSet.from_tokens(ROWS, **ASKED, pad=0).ids
    with pytest.raises(PromptError, match="no answers, which this reads: give answers="):
        made.asked("answers")
    assert PromptSet.from_tokens(ROWS, answers=[5, 6], pad=0).asked("answers").tolist() == [5, 6]
