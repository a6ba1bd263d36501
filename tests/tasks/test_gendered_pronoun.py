"""Gendered pronouns: carriers of the other gender where they should be, the rest of the text as it was."""

import re
from types import SimpleNamespace

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.tasks.gendered_pronoun import FILLERS, NAMES, NOUNS, TEMPLATES, gendered_pronoun_prompts

GENDER = {
    **{noun: gender for gender, noun in NOUNS.items()},
    **{n: g for split in NAMES.values() for g, names in split.items() for n in names},
}
TEXTS = [text for split in TEMPLATES.values() for templates in split.values() for text in templates]
WORDS = sorted({*GENDER, "her", "his", *re.findall(r"\w+|[.,]", " ".join([*TEXTS, *sum(FILLERS.values(), ())]))})


@pytest.fixture(scope="module")
def storyteller() -> SimpleNamespace:
    """All of a model that the generator looks at: a tokenizer that knows every word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<unk>"]
    tokenizer = Tokenizer(models.WordLevel(vocab={word: i for i, word in enumerate(special + WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return SimpleNamespace(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", unk_token="<unk>")
    )


def words(prompts, row: int) -> list[str]:
    return [prompts.words[row][i] for i in range(int(prompts.lengths[row]))]


@pytest.mark.parametrize(("carrier", "positions"), [("noun", {"NOUN"}), ("name", {"NAME"}), ("both", {"NOUN", "NAME"})])
def test_the_counterfactual_has_the_other_gender(storyteller, carrier, positions):
    prompts = gendered_pronoun_prompts(storyteller, n=24, seed=0, carrier=carrier)
    other = prompts.counterfactual
    assert set(prompts.positions) == positions | {"END"}
    for row in range(24):
        here, there = words(prompts, row), words(other, row)
        answer, foil = (prompts.vocabulary[int(t[row])] for t in (prompts.answers, prompts.foils))
        assert {answer, foil} == {"her", "his"}
        for name in positions:
            at = int(prompts.positions[name][row])
            assert GENDER[here[at]] == answer
            assert GENDER[there[at]] == foil
            assert (here[at] in NOUNS.values()) == (name == "NOUN")
            assert here[at] not in here[at + 1 :], "the last mention is meant"
        for a, b in zip(here, there, strict=True):
            assert a == b or (GENDER[a], GENDER[b]) == (answer, foil)
        assert [w for w in here if w in GENDER and GENDER[w] != answer] == []
    assert other.answers.tolist() == prompts.answers.tolist()
    assert prompts.answers.tolist().count(int(prompts.answers[0])) == 12


def test_the_reference_draws_either_gender(storyteller):
    prompts = gendered_pronoun_prompts(storyteller, n=48, seed=0)
    at = prompts.positions["NOUN"].tolist()
    drawn = [(words(prompts, i)[k], words(prompts.reference, i)[k]) for i, k in enumerate(at)]
    assert set(drawn) == {("girl", "girl"), ("girl", "boy"), ("boy", "girl"), ("boy", "boy")}


@pytest.mark.parametrize("carrier", ["noun", "name", "both"])
def test_splits_share_neither_templates_nor_names(storyteller, carrier):
    discover, verify = (
        gendered_pronoun_prompts(storyteller, n=48, seed=0, split=split, carrier=carrier) for split in ("discover", "verify")
    )
    assert not set(discover.templates) & set(verify.templates)
    assert not set(discover.ids) & set(verify.ids)
    names = [{w for row in range(48) for w in words(p, row) if w in GENDER and w not in NOUNS.values()} for p in (discover, verify)]
    assert not names[0] & names[1]
    assert bool(names[0]) == (carrier != "noun")


def test_repeatable(storyteller):
    made = {
        (seed, carrier): gendered_pronoun_prompts(storyteller, n=12, seed=seed, carrier=carrier).sha256
        for seed in (0, 1)
        for carrier in ("noun", "name")
    }
    assert len(set(made.values())) == 4
    assert gendered_pronoun_prompts(storyteller, n=12, seed=0).sha256 == made[0, "noun"]


def test_unknown_carrier(storyteller):
    with pytest.raises(PromptError, match='unknown carrier \'verb\'; choose "noun", "name" or "both"'):
        gendered_pronoun_prompts(storyteller, n=2, seed=0, carrier="verb")
