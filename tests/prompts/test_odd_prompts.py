"""Prompts in which something is odd: refused in words, whatever type it has."""

import numpy as np
import pytest
import torch

import mechcheck as m
from mechcheck.base.errors import ClaimError, PromptError

ROWS = [[1, 2, 3], [4, 5, 6]]


class Thing:
    """Something else, which looks the same in every process that names a test after it."""

    def __repr__(self):
        return "Thing()"


@pytest.fixture(scope="module")
def model():
    """One that has a tokenizer."""
    return m.load_model("names-gpt2-seed0", offline=True)


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        3,
        "abc",
        b"abc",
        {"input_ids": ROWS},
        [],
        [[]],
        [[1], []],
        [None],
        ["ab"],
        [[1.5]],
        [[float("nan")]],
        [[float("inf")]],
        [[-1]],
        [[2**31]],
        [[10**400]],
        [[None]],
        [[1j]],
        [["1"]],
        [[[1]]],
        torch.tensor(3),
        torch.zeros(0, 2),
        torch.full((1, 2), float("nan")),
        torch.empty(2, 2, device="meta"),
        torch.ones(2, 2, dtype=torch.complex64),
        np.array(7),
        np.array([["a"]], dtype=object),
        np.full((1, 2), np.inf),
        Thing(),
        print,
        iter(()),
    ],
    ids=lambda tokens: f"{type(tokens).__name__}-{str(tokens)[:20]}".replace("\n", ""),
)
def test_tokens_that_are_none(tokens):
    with pytest.raises(PromptError):
        m.PromptSet.from_tokens(tokens)


@pytest.mark.parametrize(
    "given",
    [
        {"answers": "ab"},
        {"answers": 3},
        {"answers": [1.5, 2]},
        {"answers": [10**400, 1]},
        {"answers": torch.tensor(1)},
        {"answers": Thing()},
        {"foils": [None, 1]},
        {"positions": [1, 2]},
        {"positions": "END"},
        {"positions": {1: [0, 0]}},
        {"positions": {"S": None}},
        {"positions": {"S": "ab"}},
        {"positions": {"S": [None, 1]}},
        {"positions": {"S": [0.5, 1]}},
        {"positions": {"S": [[0.5], [1]]}},
        {"positions": {"S": [10**30, 1]}},
        {"positions": {"S": torch.empty(2, device="meta")}},
        {"positions": {"S": [torch.empty(1, device="meta"), 1]}},
        {"templates": [1, 2]},
        {"templates": "ab"},
        {"templates": ["a", "\ud800"]},
        {"templates": [float("nan")] * 2},
        {"pad": "0"},
        {"pad": 1.5},
        {"attention_mask": 1},
        {"attention_mask": "ab"},
        {"attention_mask": [None, None]},
        {"attention_mask": [[1, 1, 1], [1, 1]]},
        {"counterfactual": ROWS},
        {"reference": "ab"},
        {"counterfactual": Thing()},
        {"decode": ["a"]},
    ],
    ids=str,
)
def test_what_stands_beside_tokens(given):
    with pytest.raises(PromptError):
        m.PromptSet.from_tokens(ROWS, **given)


@pytest.mark.parametrize(
    "texts",
    [None, 3, "When Mary", b"x", [None], [1.5], [b"When"], [["When"]], [], ["\ud800"], ["When \udfff Mary"], Thing(), {"a": "b"}],
    ids=repr,
)
def test_texts_that_are_none(model, texts):
    with pytest.raises(PromptError):
        m.PromptSet.from_text(model, texts)


def test_half_a_character_is_told_with_its_place(model):
    with pytest.raises(
        PromptError, match=r"has half of a character \(a lone surrogate, '\\ud83d'\) at place 5, which no encoding can write"
    ):
        m.PromptSet.from_text(model, ["When \ud83d"])
    with pytest.raises(PromptError, match="half of a character"):
        m.PromptSet.from_text(model, ["When"], answers=["\ud83d"])


@pytest.mark.parametrize(
    "given",
    [
        {"answers": torch.zeros(1, 2)},
        {"answers": [Thing()]},
        {"foils": [{}]},
        {"positions": {"S": [{}]}},
        {"whole": 3},
        {"whole": [1]},
        {"whole": Thing()},
        {"counterfactual": np.array(3)},
        {"reference": 3},
        {"counterfactual": [None]},
        {"templates": [0]},
    ],
    ids=str,
)
def test_what_stands_beside_texts(model, given):
    with pytest.raises(PromptError):
        m.PromptSet.from_text(model, ["When"], **given)


@pytest.mark.parametrize(
    "given",
    [
        {"statement": "half \ud800"},
        {"statement": 3},
        {"source": 3},
        {"source": "\ud800"},
        {"task": []},
        {"id": 1},
        {"kind": 1},
        {"expect": None},
        {"expect": 3},
        {"expect": {"a": []}},
        {"models": None},
        {"models": "m"},
        {"prompts": 3},
        {"positive_control": []},
        {"decoy": 3},
        {"decoy": [3]},
        {"budget": "9"},
    ],
    ids=ascii,
)
def test_claims_that_are_none(given):
    with pytest.raises(ClaimError):
        m.claim(**{"statement": "It is so"} | given)
