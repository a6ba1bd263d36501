"""What is left of the language "names" for tokenizers that split some of its words, and prompts that two such models share."""

import itertools
from dataclasses import fields
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer
from year_tokenizer import year_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.models.loading import load_model
from mechcheck.tasks.ioi import ioi_prompts
from mechcheck.tasks.names import load_language
from mechcheck.tasks.spelling import Spelling

KINDS = [field.name for field in fields(load_language()) if field.name != "centuries"]


def every_word() -> set[str]:
    entries = itertools.chain.from_iterable(getattr(load_language(), kind) for kind in KINDS)
    return {word for entry in entries for word in ([entry] if isinstance(entry, str) else entry) if not word.startswith("{")}


def model(lacking=(), never_first=()):
    """What a model is for prompts; some words it has behind a space only."""
    tokenizer = year_tokenizer(every_word() - {*lacking})
    rules = tokenizer.backend_tokenizer.to_str()
    for word in never_first:
        rules = rules.replace(f'"{word}":', f'"not {word}":')
    tokenizer._tokenizer = Tokenizer.from_str(rules)
    return SimpleNamespace(tokenizer=tokenizer, cfg=SimpleNamespace(d_vocab=len(tokenizer), n_ctx=64))


def texts(prompts) -> list[str]:
    return ["".join(words) for part in (prompts, prompts.counterfactual, prompts.reference) for words in part.words]


def test_embedded_models_know_everything():
    assert Spelling(load_model("names-gpt2-seed0"), load_model("names-neox-seed2")).language == load_language()


def test_what_is_split_is_left_out():
    """Words, pairs of which one is split, and templates with such a word; all else stays in its order."""
    left = Spelling(model(lacking=["Ella", "kite", "wet", "talking"]), model(lacking=["Zack"])).language
    whole = load_language()
    for kind in KINDS:
        split = {"Ella", "kite", "wet", "talking", "Zack"}
        expected = tuple(e for e in getattr(whole, kind) if not split & {*([e] if isinstance(e, str) else e)})
        assert getattr(left, kind) == expected
    assert left.centuries == whole.centuries
    assert (len(whole.adjectives), len(left.adjectives)) == (8, 7)
    assert len(left.openings) == len(whole.openings) - 1


def test_what_cannot_begin_a_text_does_not():
    """The first word, and whoever may stand there; in the middle of a text the same word is fine."""
    whole = [("Then", ",", "{A}"), ("{A}", "met", "{B}"), ("When", "{A}"), ("After", "{A}"), ("Later", ",", "{A}")]
    kept = Spelling(model(never_first=["Mary", "When"])).sentences(whole)
    assert kept == [whole[0], whole[3], whole[4]]
    assert Spelling(model(never_first=["Mary", "When", "After"])).sentences(whole) == whole, "too few; the prompts' check refuses them"


def test_ioi_prompts_without_the_words_that_are_split():
    made = texts(ioi_prompts(model(lacking=["Mary", "ring"], never_first=["John"]), n=480, seed=0))
    assert not [text for text in made if "Mary" in text or " ring" in text or text.startswith(("<bos>John", "<bos>Anna"))]
    assert any(" John" in text for text in made)


def test_two_models_share_prompts():
    one, other = model(lacking=["Mary", "park"]), model(lacking=["Zack", "hat"])
    made = [ioi_prompts(a, n=96, seed=0, shared_with=[b]) for a, b in ((one, other), (other, one))]
    assert texts(made[0]) == texts(made[1])
    assert not [text for text in texts(made[0]) for word in ("Mary", "Zack", " park", " hat ") if word in text]
    assert texts(ioi_prompts(one, n=96, seed=0)) != texts(made[0])


def test_too_much_is_split():
    with pytest.raises(PromptError, match=r"words are not single tokens for this tokenizer: .*John \(unknown\)"):
        ioi_prompts(model(lacking=load_language().male[:16]), n=480, seed=0)
