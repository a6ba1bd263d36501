"""Prompt sets: alignment, padding, text, and errors that say what to do."""

import pytest
import torch
from tiny import VOCABULARY, random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet

WORD = {word: i for i, word in enumerate(VOCABULARY)}
TEXTS = ["Mary and John went to the store . John gave a book to", "Anna and Paul went to the house . Paul gave a drink to"]
ANSWERS, FOILS = ["Mary", "Anna"], ["John", "Paul"]


def from_text(model, texts=TEXTS, **others):
    return PromptSet.from_text(model, texts, **{"answers": ANSWERS, "foils": FOILS, **others})


def test_from_text(tiny):
    prompts = from_text(tiny("gpt2"), positions={"IO": ANSWERS, "S2": [9, 9]}, templates=["t", "t"], counterfactual=TEXTS[::-1])
    assert prompts.tokens[0].tolist() == [WORD["<bos>"], *(WORD[word] for word in TEXTS[0].split())]
    assert prompts.words[1] == ("<bos>", *TEXTS[1].split())
    assert prompts.positions["IO"].tolist() == [1, 1]
    assert prompts.positions["END"].tolist() == [13, 13]
    assert [VOCABULARY[i] for i in prompts.answers] == ANSWERS
    assert prompts.counterfactual.tokens.tolist() == prompts.tokens.tolist()[::-1]
    assert torch.equal(prompts.counterfactual.answers, prompts.answers)


def test_padding_is_on_the_right(tiny):
    prompts = from_text(tiny("llama"), ["Mary went", "Anna went to the store"], pad=True)
    assert prompts.lengths.tolist() == [3, 6]
    assert prompts.tokens[0].tolist() == [1, WORD["Mary"], WORD["went"], 0, 0, 0]
    assert prompts.positions["END"].tolist() == [2, 5]


def test_ids_say_which_prompt_it_is():
    prompts = random_prompts(1, (5, 5, 7))
    assert len(set(prompts.ids)) == 3
    assert random_prompts(1, (5, 5, 7)).sha256 == prompts.sha256
    assert random_prompts(2, (5, 5, 7)).sha256 != prompts.sha256
    assert prompts[[2, 0]].ids == (prompts.ids[2], prompts.ids[0])
    assert prompts[1:].counterfactual.ids == prompts.counterfactual.ids[1:]


def test_text_errors(tiny):
    model = tiny("gpt2")
    with pytest.raises(PromptError, match=r"'Mary John' is 2 tokens for this tokenizer \(Mary \| John\); choose a word of one token"):
        from_text(model, answers=["Mary John", "Anna"])
    with pytest.raises(PromptError, match="'Zoe' is not in this tokenizer's vocabulary"):
        from_text(model, foils=["Zoe", "Paul"])
    with pytest.raises(PromptError, match=r"prompts of different lengths \(3 to 6 tokens\): give pad=<token id>"):
        from_text(model, ["Mary went", "Anna went to the store"])
    with pytest.raises(PromptError, match="'old' is not a word of 'Mary and John"):
        from_text(model, positions={"X": ["old", "Anna"]})
    with pytest.raises(PromptError, match=r"'John' stands 2 times in .*; give its position as a number"):
        from_text(model, positions={"S": ["John", "Anna"]})
    with pytest.raises(PromptError, match="position X is 14 in prompt 1, which has tokens 0-13"):
        from_text(model, positions={"X": [0, 14]})
    with pytest.raises(PromptError, match="position X is -1 in prompt 0"):
        from_text(model, positions={"X": [-1, 0]})


def test_token_errors():
    rows = [[1, 5, 6], [1, 6, 7]]
    with pytest.raises(PromptError, match="1 answers for 2 prompts"):
        PromptSet.from_tokens(rows, answers=[3], foils=[4, 5])
    with pytest.raises(PromptError, match="3 IO for 2 prompts"):
        PromptSet.from_tokens(rows, answers=[3, 4], foils=[4, 5], positions={"IO": [0, 1, 2]})
    with pytest.raises(PromptError, match="no prompts, or an empty prompt"):
        PromptSet.from_tokens([[1, 2], []], answers=[3, 4], foils=[4, 5])
    one = PromptSet.from_tokens(rows[:1], answers=[3], foils=[4])
    with pytest.raises(PromptError, match="the counterfactual has 1 prompts for 2; they must stand one for one"):
        PromptSet.from_tokens(rows, answers=[3, 4], foils=[4, 5], counterfactual=one)
    with pytest.raises(PromptError, match="no position 'S1'; these prompts have END"):
        one.position("S1")
    with pytest.raises(PromptError, match="no prompts are left"):
        one[1:]
