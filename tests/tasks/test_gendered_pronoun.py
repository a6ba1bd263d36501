"""Gendered pronouns: carriers of the other gender where they should be, the rest of the text as it was."""

import re
from hashlib import sha256
from types import SimpleNamespace

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.tasks.gendered_pronoun import FILLERS, NAMES, NOUNS, TEMPLATES, gendered_pronoun_prompts
from mechcheck.tasks.versions import task_version

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


def test_prompts_are_those_of_the_version(storyteller):
    """Where this fails: see tests/tasks/test_versions.py."""
    texts = [" ".join(words(gendered_pronoun_prompts(storyteller, n=24, seed=3, split=split), i)) for split in NAMES for i in range(24)]
    assert (task_version("gendered_pronoun"), sha256("\n".join(texts).encode()).hexdigest()[:16]) == (1, "95b1f40fcb8690d1")


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


def pieces(names: dict[str, int]) -> SimpleNamespace:
    """A tokenizer that splits these words into so many tokens, and no other."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ends = [[word[:1], *(f"##{letter}" for letter in word[1 : size - 1]), f"##{word[size - 1 :]}"] for word, size in names.items()]
    whole = [word for word in WORDS if word not in names]
    vocabulary = dict.fromkeys(["<pad>", "<bos>", "<unk>", *whole, *(piece for parts in ends for piece in parts)])
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return SimpleNamespace(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", unk_token="<unk>")
    )


@pytest.mark.parametrize("carrier", ["name", "both"])
@pytest.mark.parametrize("split", ["discover", "verify"])
def test_names_of_one_number_of_tokens_stand_for_each_other(carrier, split):
    """A prompt's length must not tell its gender."""
    own = NAMES[split]
    uneven = {own["her"][0]: 2, own["his"][0]: 2, own["her"][1]: 3}
    prompts = gendered_pronoun_prompts(pieces(uneven), n=96, seed=0, split=split, carrier=carrier)
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    assert prompts.left_out == {f"{own['her'][1]!r} (3 tokens): no name of the other gender": 1}
    for other in (prompts.counterfactual, prompts.reference):
        assert other.positions["NAME"].tolist() == prompts.positions["NAME"].tolist()
        assert other.lengths.tolist() == prompts.lengths.tolist()
    for other, row in zip(prompts.counterfactual.tokens.tolist(), prompts.tokens.tolist(), strict=True):
        assert other != row


def test_carriers_that_never_are_as_many_tokens():
    split = {name: 2 for names in NAMES.values() for name in names["her"]}
    for carrier in ("name", "both"):
        with pytest.raises(
            PromptError, match=r"no two names of different genders are the same number of tokens .*: Sue \(2\), .*, Ben \(1\)"
        ):
            gendered_pronoun_prompts(pieces(split), n=4, seed=0, carrier=carrier)
    assert len(gendered_pronoun_prompts(pieces(split), n=4, seed=0)) == 4, "nobody is named"
    for carrier in ("noun", "both"):
        with pytest.raises(PromptError, match="'girl' is 2 and 'boy' 1 tokens for this tokenizer"):
            gendered_pronoun_prompts(pieces({"girl": 2}), n=4, seed=0, carrier=carrier)
    assert len(gendered_pronoun_prompts(pieces({"girl": 2}), n=4, seed=0, carrier="name")) == 4


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
