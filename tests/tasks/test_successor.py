"""Succession prompts, against their text: the order, the counterfactual one step earlier, what is left out."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from code_tokenizer import code_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.tasks.shipped import task_prompts
from mechcheck.tasks.successor import CYCLES, FORMS, ORDERS, successor_prompts

FRAMES = ("In", "order", "First", "then", "The", "list", "goes")
ITEMS = [item for order in ORDERS.values() for item in order]


def reads(**options) -> SimpleNamespace:
    """What a model is for prompts: its tokenizer."""
    made = code_tokenizer([*FRAMES, *ITEMS], **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=64))


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    return reads()


def named(model, tokens, order: str) -> list[str]:
    """The items of an order that a prompt names."""
    return [word for token in tokens if (word := model.tokenizer.decode([int(token)]).strip()) in ORDERS[order]]


def test_prompts_are_what_they_say(model):
    prompts = successor_prompts(model, n=48, seed=0)
    assert len(set(prompts.templates)) == len(ORDERS) * len(FORMS)
    for row in range(48):
        order = prompts.templates[row].partition(":")[0]
        items = ORDERS[order]
        clean, earlier, mixed = (
            named(model, some.tokens[row, : some.lengths[row]], order) for some in (prompts, prompts.counterfactual, prompts.reference)
        )
        answer, foil = (named(model, some[row : row + 1], order)[0] for some in (prompts.answers, prompts.foils))
        assert (*earlier, *clean[2:]) == (*earlier, foil)
        row_of = [items.index(item) for item in (*earlier, foil, answer)]
        assert [(b - a) % len(items) for a, b in pairwise(row_of)] == [1] * 4
        assert order in CYCLES or row_of == sorted(row_of)
        assert model.tokenizer.decode([int(prompts.tokens[row, prompts.positions["LAST"][row]])]).strip() == foil
        places = [items.index(item) for item in mixed]
        assert len(set(mixed)) == 3
        assert not any((b - a) % len(items) == 1 for a in places for b in places)
    for aligned in (prompts.counterfactual, prompts.reference):
        assert aligned.lengths.tolist() == prompts.lengths.tolist()


def test_halves_share_no_answer(model):
    halves = [set(successor_prompts(model, n=96, seed=0, split=split).answers.tolist()) for split in ("discover", "verify")]
    assert not halves[0] & halves[1]


def test_repeatable(model):
    made = [task_prompts("successor", model, n=8, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_what_is_not_one_token_is_left_out():
    prompts = successor_prompts(reads(split=["March", "one"]), n=96, seed=0)
    assert prompts.left_out == dict.fromkeys(
        ("'March' of months: not one token behind a space", "'one' of numbers: not one token behind a space"), 1
    )
    read = reads(split=["March", "one"])
    assert "March" not in read.tokenizer.batch_decode(prompts.tokens)
    with pytest.raises(PromptError, match="leaves no order so many"):
        successor_prompts(reads(split=ORDERS["days"][::2]), n=4, seed=0, orders=["days"])


def test_orders_are_chosen(model):
    assert {name.partition(":")[0] for name in successor_prompts(model, n=12, seed=0, orders=["days"]).templates} == {"days"}
    with pytest.raises(PromptError, match=r"unknown order 'day'.*days"):
        successor_prompts(model, n=12, seed=0, orders=["day"])
    with pytest.raises(PromptError, match="no orders: choose from days"):
        successor_prompts(model, n=12, seed=0, orders=[])
