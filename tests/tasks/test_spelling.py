"""What is left of the language "names" for tokenizers that split some of its words, and prompts that two such models share."""

import itertools
import json
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


def pieces(prompts, row: int, name: str) -> list[str]:
    return [word for word, at in zip(prompts.words[row], prompts.span(name)[row], strict=False) if at]


def words_in(prompts) -> set[str]:
    return {word for text in texts(prompts) for word in text.removeprefix("<bos>").split()}


def syllables(*together):
    """A model that makes tokens of two letters of these words, and one token of each other."""
    tokenizer = year_tokenizer({*every_word()} - {*together} | {"x"})
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = {first + word[at : at + 2] for word in together for at in range(0, len(word), 2) for first in (("", " ") if not at else ("",))}
    for part in sorted(parts):
        rules["model"]["vocab"].setdefault(part, len(rules["model"]["vocab"]))
    names = "|".join(f" ?{word[:2]}(?={word[2:]}(?![a-z]))" for word in together)
    inside = "|".join(f"(?<={word[:at]}){word[at : at + 2]}(?![a-z])" for word in together for at in range(2, len(word), 2))
    rules["pre_tokenizer"]["pattern"] = {"Regex": f"{names}|{inside}| ?[^\\s\\d]+"}
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(rules))
    return SimpleNamespace(tokenizer=tokenizer, cfg=SimpleNamespace(d_vocab=len(tokenizer), n_ctx=64))


def test_names_that_are_split_stay_if_so_chosen():
    """Their people are as many tokens as each other, and stand as spans; counterfactual and reference stay aligned."""
    whole = load_language()
    four = [name for name in whole.names if len(name) == 4][:12]
    split = syllables(*four)
    without = ioi_prompts(split, n=240, seed=0)
    assert not {*four} & words_in(without)
    made = ioi_prompts(split, n=240, seed=0, split_names=True)
    lengths = set()
    for row in range(len(made)):
        ((answer,), (foil,)) = (made.candidates(what)[row] for what in ("answers", "foils"))
        names = {name: "".join(pieces(made, row, name)).strip() for name in ("IO", "S1", "S2")}
        assert (names["IO"], names["S1"]) == tuple("".join(made.vocabulary[t] for t in one).strip() for one in (answer, foil))
        assert names["S1"] == names["S2"] != names["IO"]
        assert names["IO"] in whole.names
        assert "".join(pieces(made.counterfactual, row, "S2")).strip() == names["IO"]
        others = {"".join(pieces(made.reference, row, name)).strip() for name in names}
        assert len(others | {*names.values()}) == 5
        assert others < {*whole.names}
        sizes = {len(pieces(some, row, name)) for some in (made, made.counterfactual, made.reference) for name in names}
        assert sizes == {len(answer)} == {len(foil)}
        lengths |= sizes
    assert lengths == {1, 2}
    assert made.unaligned == {"counterfactual": 0, "reference": 0}
    assert {*four} <= words_in(made)
    assert (made.left_out, made.templates[:4]) == ({}, without.templates[:4])


def test_names_of_which_too_few_are_as_many_tokens():
    four = [name for name in load_language().names if len(name) == 4][:3]
    made = ioi_prompts(syllables(*four), n=96, seed=0, split_names=True)
    assert made.left_out == {f"{name!r} (2 tokens): too few names are as many": 1 for name in four}
    assert not {*four} & words_in(made)


def test_nothing_changes_where_no_name_is_split():
    model = load_model("names-gpt2-seed0")
    made = [ioi_prompts(model, n=48, seed=0, split_names=chosen) for chosen in (False, True)]
    assert made[0].sha256 == made[1].sha256
    assert made[1].spans == {}
    assert len(made[1].answers) == 48
