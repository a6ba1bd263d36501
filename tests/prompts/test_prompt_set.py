"""Prompt sets: alignment, padding, text, and errors that say what to do."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tiny import VOCABULARY, random_prompts
from year_tokenizer import year_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

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


def test_the_hash_is_of_what_they_are_compared_with_too():
    prompts, other = random_prompts(1, (5, 5, 7)), random_prompts(2, (5, 5, 7))
    hashes = {replace(prompts, counterfactual=one, reference=two).sha256 for one in (prompts, other) for two in (prompts, other)}
    assert len(hashes) == 4


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


@pytest.fixture(scope="module")
def years() -> Reader:
    """A word is another token behind a space; a year is two tokens, but for 1740."""
    tokenizer = year_tokenizer(["The", "war", "trip", "lasted", "from", "to", "long", "short"], whole_years=[1740])
    return Reader(SimpleNamespace(tokenizer=tokenizer, cfg=SimpleNamespace(d_vocab=len(tokenizer))))


def read(reader: Reader, **others) -> PromptSet:
    texts = ["The war from 1732 to", "The trip lasted from 1545 to"]
    return PromptSet.read(reader, **{"texts": texts, "answers": ["long", "short"], "foils": ["short", "long"]} | others)


def test_read_makes_all_three_together(years):
    """The aligned prompts share answers, foils, templates and ids; each has its own lengths, and its words where they stand in it."""
    prompts = read(
        years,
        at_words={"YEAR": [3, 4], "FROM": [2, 3]},
        positions={"SECOND": ["war", 2]},
        templates=["a", "b"],
        counterfactual=["The war from 1740 to", "The trip lasted from 1601 to"],
        reference=["The trip from 1133 to", "The war lasted from 1740 to"],
    )
    assert prompts.words[0] == ("<bos>", "The", " war", " from", " 17", "32", " to")
    assert prompts.counterfactual.words[0] == ("<bos>", "The", " war", " from", " 1740", " to")
    found = {
        name: (one.lengths.tolist(), one.position("YEAR").tolist(), one.position("END").tolist()) for name, one in sets(prompts).items()
    }
    assert found == {
        "clean": ([7, 8], [5, 6], [6, 7]),
        "counterfactual": ([6, 8], [4, 6], [5, 7]),
        "reference": ([7, 7], [5, 5], [6, 6]),
    }
    assert prompts.vocabulary == dict(zip(prompts.answers.tolist(), (" long", " short"), strict=True))
    for one in sets(prompts).values():
        assert one.ids == prompts.ids
        assert one.answers.tolist() == prompts.answers.tolist() == prompts.foils.tolist()[::-1] == one.foils.tolist()[::-1]
        assert (one.templates, one.policy, one.vocabulary) == (("a", "b"), years.policy, prompts.vocabulary)
        assert (one.position("FROM").tolist(), one.position("SECOND").tolist()) == ([3, 4], [2, 2])
    assert prompts.ids != read(years, texts=["The trip from 1133 to", "The war lasted from 1740 to"]).ids


def sets(prompts: PromptSet) -> dict[str, PromptSet]:
    return {"clean": prompts, "counterfactual": prompts.counterfactual, "reference": prompts.reference}


def test_read_takes_tokens_as_they_are(years):
    rows, long, short = [years.tokens("The war from 1732 to"), [5, 6, 7]], *years.singles(["long", "short"], after_space=True)
    from_tokens = read(years, texts=rows, answers=[long, short], foils=[short, long], reference=["The trip from 1133 to", [7, 6, 5]])
    assert from_tokens.tokens.tolist() == [rows[0], [5, 6, 7, *[years.pad] * 4]]
    assert from_tokens.reference.tokens.tolist() == [years.tokens("The trip from 1133 to"), [7, 6, 5, *[years.pad] * 4]]
    assert from_tokens.ids[0] == read(years).ids[0]
    for where in ({"at_words": {"YEAR": [3, 2]}}, {"positions": {"YEAR": [3, "war"]}}):
        with pytest.raises(
            PromptError, match="words are looked for in texts; of prompts that are given as tokens, give positions as numbers"
        ):
            read(years, texts=rows, **where)


def test_what_read_refuses(years):
    for name in ("counterfactual", "reference"):
        with pytest.raises(PromptError, match=f"the {name} has 1 prompts for 2; they must stand one for one"):
            read(years, **{name: ["The war from 1740 to"]})
        with pytest.raises(PromptError, match="no word 3 in 'The war to', which has words 0-2"):
            read(years, at_words={"YEAR": [3, 4]}, **{name: ["The war to", "The trip lasted from 1601 to"]})
    for given in ("positions", "at_words"):
        with pytest.raises(PromptError, match="1 YEAR for 2 prompts"):
            read(years, **{given: {"YEAR": [3]}})
    with pytest.raises(PromptError, match="3 foils for 2 prompts"):
        read(years, foils=["long"] * 3)
    with pytest.raises(PromptError, match=r"prompts of different lengths \(7 to 8 tokens\)"):
        read(years, pad=False)
    with pytest.raises(PromptError, match=r"3 words are not single tokens .*: siege \(unknown\), feud \(unknown\), tour \(unknown\)"):
        read(years, texts=["The siege to"] * 2, counterfactual=["The feud to"] * 2, reference=["The war to", "The tour to"])


@pytest.mark.parametrize("made", [lambda p: PromptSet.from_tokens(p.tokens.tolist(), answers=p.answers, foils=p.foils), lambda p: p[:1]])
def test_prompts_made_in_inference_mode_can_be_part_of_a_gradient(made):
    ordinary = PromptSet.from_tokens([[1, 2, 3], [4, 5, 6]], answers=[1, 2], foils=[3, 4])
    with torch.inference_mode():
        prompts = made(ordinary)
    logits = torch.randn(len(prompts), 8, requires_grad=True)
    logits.gather(1, prompts.answers[:, None]).sum().backward()
    assert logits.grad.sum() == len(prompts)
