"""Answers and foils of several tokens, and several right ones: how they are written, and what is refused."""

import numpy as np
import pytest
import torch
from test_tokens import SENTENCES, byte_pairs

from mechcheck.base.errors import PromptError
from mechcheck.evidence.record import describe_arguments
from mechcheck.prompts.prompt_set import PromptSet

ROWS = [[1, 5, 6, 7], [1, 8, 9]]


@pytest.fixture(scope="module")
def small():
    """Its words are single tokens; others are several."""
    return byte_pairs(SENTENCES * 20)


def made(answers, foils=None, **options) -> PromptSet:
    return PromptSet.from_tokens(ROWS, answers=answers, foils=foils, pad=0, **options)


def test_how_they_are_written():
    prompts = made([(5, 6), [(7,), (8, 9), 10]], [3, 4])
    assert prompts.candidates("answers") == (((5, 6),), ((7,), (8, 9), (10,)))
    assert prompts.candidates("foils") == (((3,),), ((4,),))
    assert (len(prompts.answers), prompts.asked("foils").tolist()) == (0, [3, 4])
    assert (prompts.longest(), prompts.longest(["foils"]), prompts.any_sets(), prompts.any_sets(["foils"])) == (2, 1, True, False)
    assert prompts[[1]].candidates("answers") == (((7,), (8, 9), (10,)),)
    assert prompts[[1, 0]].ids == prompts.ids[::-1]
    assert made([[5, (5,)], (6,)]).asked("answers").tolist() == [5, 6], "one token each, however written, is that"
    assert made([np.int64(5), torch.tensor(6)]).asked("answers").tolist() == [5, 6]


def test_ids_are_of_all_of_them():
    """As ever where it is one token; in whichever order the right ones are given; each other answer, another id."""
    plain, mixed = made([5, 6], [3, 4]), made([5, (6, 7)], [3, 4])
    assert mixed.ids[0] == plain.ids[0]
    others = [made([5, answer], [3, 4]).ids[1] for answer in (6, (6, 7), (7, 6), [(6,), (7,)], [(6, 7), (7, 6)], (6, 7, 8))]
    others += [made([5, 6], [3, foil]).ids[1] for foil in ((4, 7), [(4,), (7,)])]
    assert len({*others}) == len(others)
    assert made([5, [(7,), (6,)]], [3, 4]).ids == made([5, [(6,), (7,)]], [3, 4]).ids
    assert mixed.sha256 != plain.sha256


def test_a_reader_sees_them():
    prompts = made([(5, 6), [(7,), (8, 9)]], [3, 4], decode={token: f"w{token}" for token in range(12)})
    assert [prompts.shown("answers", row) for row in (0, 1)] == ["w5|w6", "w7 or w8|w9"]
    assert prompts.shown("foils", 0) == "w3"
    assert made([5, 6]).shown("foils", 0) is None
    shown = describe_arguments({"prompts": prompts})["prompts"]["examples"]
    assert [(one["answer"], one["foil"]) for one in shown] == [("w5|w6", "w3"), ("w7 or w8|w9", "w4")]


@pytest.mark.parametrize(
    ("answers", "foils", "said"),
    [
        ([[5, 6], 7], None, r"several answers for prompt 0, or one of several tokens\? \[5, 6\] does not say: write \(5, 6\) for one"),
        ([5, {6, 7}], None, "several answers for prompt 1, or one of several tokens"),
        ([5, torch.tensor([6, 7])], None, "several answers for prompt 1, or one of several tokens"),
        (np.array([[5, 6], [7, 8]]), None, "several answers for one prompt, as ndarray"),
        ([5, ()], None, "the answers of prompt 1 are empty"),
        ([5, []], None, "the answers of prompt 1 are empty"),
        ([5, [(6,), ()]], None, "the answers of prompt 1 are empty"),
        ([5, (6, -1)], None, "the answer of prompt 1 is token -1"),
        ([5, (6, 1.5)], None, "answers: expected whole numbers"),
        ([5, ("a", "b")], None, "answers: expected whole numbers"),
        ([5, [(6, 7), (6,)]], None, r"of the answers of prompt 1 \(6, 7\) begins with \(6,\)"),
        ([5, (6, 7)], [4, 6], r"the answer \(6, 7\) and the foil \(6,\) of prompt 1 begin with each other"),
        ([5, (6, 7)], [5, 4], r"the answer \(5,\) and the foil \(5,\) of prompt 0 begin with each other"),
        ([(5, 6)], None, "1 answers for 2 prompts"),
    ],
)
def test_what_is_refused(answers, foils, said):
    with pytest.raises(PromptError, match=said):
        made(answers, foils)


def test_words_of_several_tokens(small):
    """Only where they are asked for; each is what it is in the text that goes on with it."""
    text = SENTENCES[0].removesuffix(" Mary")
    asked = {"answers": [" Quentin"], "foils": [" Mary"]}
    with pytest.raises(PromptError, match=r"choose a word of one token; PromptSet.from_text takes answers and foils"):
        PromptSet.from_text(small, [text], **asked)
    prompts = PromptSet.from_text(small, [text], **asked, several_tokens=True)
    whole = PromptSet.from_text(small, [f"{text} Quentin"])
    ((quentin,),) = prompts.candidates("answers")
    assert whole.tokens[0].tolist() == [*prompts.tokens[0].tolist(), *quentin]
    assert len(quentin) > 1
    assert "".join(prompts.vocabulary[token] for token in quentin) == " Quentin"
    behind = PromptSet.from_text(small, [text], answers=["Quentin"], foils=["Mary"], several_tokens=True, after_space=True)
    assert behind.ids == prompts.ids
    assert PromptSet.from_text(small, [text], answers=["Quentin"], several_tokens=True).candidates("answers") != prompts.candidates(
        "answers"
    )


def test_several_right_words(small):
    """They need no asking for; a word of several tokens among them does."""
    text = SENTENCES[0].removesuffix(" Mary")
    prompts = PromptSet.from_text(small, [text], answers=[[" Mary", " John"]], foils=[(" book", " drink")])
    one = {word: int(PromptSet.from_text(small, [text], answers=[word]).answers[0]) for word in (" Mary", " John", " book", " drink")}
    assert prompts.candidates("answers") == (((one[" Mary"],), (one[" John"],)),)
    assert prompts.candidates("foils") == (((one[" book"],), (one[" drink"],)),)
    assert (len(prompts.answers), len(prompts.foils)) == (0, 0)
    with pytest.raises(PromptError, match=r"2 words are not single tokens .*Quentin.*Zeb.*; choose others; PromptSet.from_text takes"):
        PromptSet.from_text(small, [text], answers=[[" Mary", " Quentin"]], foils=[" Zeb"])
    mixed = PromptSet.from_text(small, [text], answers=[[" Mary", " Quentin"]], several_tokens=True)
    assert len(mixed.candidates("answers")[0][0]) == 1 < mixed.longest()


def test_a_word_that_is_unknown_in_part(tiny):
    model, text = tiny("gpt2"), ["Mary went to"]
    assert PromptSet.from_text(model, text, answers=["the store"], several_tokens=True).longest() == 2
    with pytest.raises(PromptError, match="'the moon' is not in this tokenizer's vocabulary"):
        PromptSet.from_text(model, text, answers=["the moon"], several_tokens=True)
    with pytest.raises(PromptError, match="this model predicts masked words, a token for each mask"):
        PromptSet.from_text(tiny("bert"), text, answers=["the store"], several_tokens=True, positions={"END": [1]})
