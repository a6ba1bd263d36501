"""Retrieval prompts, against their text: what is to be found, where it stands, the other needles, what is left out."""

import re
from types import SimpleNamespace

import pytest
from code_tokenizer import code_tokenizer
from task_words import retrieval_words

from mechcheck.base.errors import PromptError
from mechcheck.tasks.retrieval import KEPT, LENGTH, PEOPLE, SENTENCES, WORDS, retrieval_prompts
from mechcheck.tasks.shipped import task_prompts


def reads(**options) -> SimpleNamespace:
    """What a model is for prompts: its tokenizer."""
    made = code_tokenizer(retrieval_words(), **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=256))


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    return reads()


def text(model, prompts, row: int) -> str:
    return model.tokenizer.decode(prompts.tokens[row, 1 : prompts.lengths[row]])


def said(model, prompts, what: str, row: int) -> str:
    return model.tokenizer.decode(prompts.candidates(what)[row][0]).strip()


def test_the_haystack_says_nothing_of_it():
    around = set(re.findall(r"\w+", " ".join(SENTENCES)))
    for words in (PEOPLE, *WORDS.values()):
        assert not around & set(words)
    kept = [word for words in WORDS.values() for word in words]
    assert len(set(kept)) == len(kept)
    assert len(SENTENCES) == len(set(SENTENCES)) == 32


def test_prompts_are_what_they_say(model):
    prompts = retrieval_prompts(model, n=20, seed=0)
    assert len(set(prompts.templates)) == LENGTH + 1
    for row in range(20):
        whole = text(model, prompts, row)
        context, _, question = whole.partition("\n\n")
        person = question.rpartition("Answer: ")[2].removesuffix(" keeps")
        answer, foil = (said(model, prompts, what, row) for what in ("answers", "foils"))
        assert question == f"Question: What does {person} keep?\nAnswer: {person} keeps"
        before, needle, behind = context.partition(f"{person} keeps {answer}.")
        assert needle
        stands = int(re.findall(r"\d+", prompts.templates[row])[0])
        assert (len(re.findall(r"[.]", before)), len(re.findall(r"[.]", behind))) == (stands, LENGTH - stands)
        assert set(re.findall(r"[^ .][^.]*[.]", before + behind)) <= set(SENTENCES)
        assert text(model, prompts.counterfactual, row) == whole.replace(answer, foil)
        third = text(model, prompts.reference, row)
        assert (third.startswith(before), third.endswith(behind + "\n\n" + question), third != whole) == (True, True, True)
        shown = re.fullmatch(re.sub(r"{\w+}", r"(\\w+)", KEPT), answer)
        assert shown
        other = re.fullmatch(re.sub(r"{\w+}", r"(\\w+)", KEPT), foil)
        assert other
        assert not set(shown.groups()) & set(other.groups())
        for aligned, wanted in ((prompts, answer), (prompts.counterfactual, foil)):
            assert model.tokenizer.decode(aligned.tokens[row][aligned.span("NEEDLE")[row]]).strip() == wanted
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    assert prompts.position("END").tolist() == (prompts.lengths - 1).tolist()


def test_halves_share_no_word(model):
    halves = [retrieval_prompts(model, n=96, seed=0, split=split) for split in ("discover", "verify")]
    content = {word for words in (PEOPLE, *WORDS.values()) for word in words}
    used = [{w for row in range(96) for w in re.findall(r"\w+", text(model, some, row))} & content for some in halves]
    assert used[0] | used[1] == content
    assert not used[0] & used[1]


def test_repeatable(model):
    made = [task_prompts("retrieval", model, n=8, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_length_is_chosen(model):
    prompts = retrieval_prompts(model, n=4, seed=0, sentences=1)
    assert set(prompts.templates) == {"behind 0 of 1 sentences", "behind 1 of 1 sentences"}
    for wrong in (0, 17, 2.0, True):
        with pytest.raises(PromptError, match="a whole number from 1 to 16 is expected"):
            retrieval_prompts(model, n=4, seed=0, sentences=wrong)


def test_words_of_other_sizes_are_left_out():
    colours = WORDS["colour"][1::2]
    prompts = retrieval_prompts(reads(split=colours[:1]), n=48, seed=0)
    assert prompts.left_out == {f"{colours[0]!r} (colour): another number of tokens than most": 1}
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    every = retrieval_prompts(reads(split=colours), n=8, seed=0)
    assert (every.left_out, every.unaligned["counterfactual"]) == ({}, 0)
    assert int(every.span("NEEDLE")[0].sum()) == int(prompts.span("NEEDLE")[0].sum()) + 1
    less = SimpleNamespace(tokenizer=code_tokenizer(retrieval_words() - set(colours[1:])), cfg=SimpleNamespace(d_vocab=2000, n_ctx=256))
    with pytest.raises(PromptError, match=r"no two words for colour are the same number of tokens .*\(unknown\)"):
        retrieval_prompts(less, n=4, seed=0)
