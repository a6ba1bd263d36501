"""The positions that rows have: which they are, and what each of them sees."""

import pytest
import torch
from tiny import random_prompts

from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.reading import read_by
from mechcheck.engine.window import window
from mechcheck.notation.metrics import logit_diff
from mechcheck.prompts.spans import ALL

CPU = torch.device("cpu")
LENGTHS = (4, 4, 6, 6)


@pytest.fixture
def places(tiny):
    """places(layout, start, metric): the window, everywhere, and what the metric reads of four prompts of 4, 4, 6 and 6 tokens."""

    def make(layout, start, metric=logit_diff):
        prompts = random_prompts(1, LENGTHS)
        view = window(arithmetic(tiny(layout)), prompts, read_by([metric], prompts), torch.tensor(start), CPU)
        return view, view.everywhere, view.leaving

    return make


def test_a_window_reaches_from_each_prompts_start_to_the_last_end(places):
    view, everywhere, end = places("gpt2", [2, 9, 1, 5])  # what begins behind END begins at END
    assert everywhere.positions.tolist() == [[2, 3, 4, 5, 6], [3, 4, 5, 6, 7], [1, 2, 3, 4, 5], [5, 6, 7, 8, 9]]
    assert end.positions.tolist() == [[3], [3], [5], [5]]
    assert view.past == 5
    assert view.sees_past[:, 0, 0, 0, 0].long().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]


def test_a_query_sees_what_is_not_later(places):
    view, everywhere, end = places("gpt2", [2, 2, 4, 3])
    assert everywhere.sees[0, 0, 0, 0].tolist() == torch.ones(3, 3).tril().bool().tolist()
    assert end.sees[:, 0, 0, 0].long().tolist() == [[[1, 1, 0]], [[1, 1, 0]], [[1, 1, 0]], [[1, 1, 1]]]
    assert view.sees_past is not None
    assert places("gpt2", [2, 2, 2, 2])[0].sees_past is None


def test_an_encoder_has_all_positions_and_sees_no_padding(places):
    view, everywhere, end = places("bert", [2, 2, 2, 2])
    assert everywhere.positions.tolist() == [list(range(6))] * 4
    assert view.past == 0
    assert end.positions.tolist() == [[3], [3], [5], [5]]
    assert everywhere.sees[:, 0, 0, 0].sum((-2, -1)).tolist() == [24, 24, 36, 36]
    assert end.sees[:, 0, 0, 0].long().tolist() == [[[1, 1, 1, 1, 0, 0]]] * 2 + [[[1] * 6]] * 2


def test_what_is_at_a_place(places):
    _, everywhere, end = places("gpt2", [2, 9, 1, 5])
    rows = torch.arange(4 * 2 * 5).view(4, 2, 5, 1)  # [prompt, variant, pos, d]
    assert everywhere.of(rows) is rows
    assert end.of(rows).flatten(1).tolist() == [[1, 6], [10, 15], [24, 29], [30, 35]]
    whole = torch.arange(4 * 6).view(4, 6, 1)  # [prompt, pos, d]
    assert end.read(whole).flatten().tolist() == [3, 9, 17, 23]
    assert everywhere.read(whole)[0].flatten().tolist() == [2, 3, 4, 5, 5]  # nothing is read behind the last position


def test_where_all_is_read_no_more_leaves_than_can_change(places):
    view, everywhere, leaving = places("gpt2", [2, 2, 4, 3], logit_diff.over(ALL))
    assert (view.skipped, view.past) == (2, 4)
    assert everywhere.positions.tolist() == [[2, 3, 4], [2, 3, 4], [4, 5, 6], [3, 4, 5]]
    assert leaving.positions.tolist() == [[2, 3, 3, 3], [2, 3, 3, 3], [2, 3, 4, 5], [2, 3, 4, 5]]
    assert leaving.within.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 2]]
    assert leaving.sees[1, 0, 0, 0].long().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]]
    same = places("gpt2", [1, 1, 3, 3], logit_diff.over(ALL))[0]
    assert same.leaving is not same.everywhere  # prompts differ in length


def test_what_leaves_is_the_window_itself_where_it_can_be(tiny):
    prompts = random_prompts(1, (5, 5))
    view = window(arithmetic(tiny("gpt2")), prompts, read_by([logit_diff.over(ALL)], prompts), torch.tensor([2, 2]), CPU)
    assert view.leaving is view.everywhere
    assert view.leaving.positions.tolist() == [[2, 3, 4]] * 2
