"""Tokens: what stands around a text, spaces, single tokens, padding; another tokenizer works, or all words that do not fit are named."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mechcheck import gendered_pronoun_prompts, greater_than_prompts, induction_prompts, ioi_prompts, negation_prompts, run
from mechcheck.base.errors import PromptError
from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout
from mechcheck.evidence.record import describe_arguments
from mechcheck.evidence.store import schema
from mechcheck.models.loading import load_model
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.greater_than import YEARS, later_years

SENTENCES = [
    f"Then Mary and John went to the {place} , John gave a {thing} to Mary" for place in ("store", "park") for thing in ("book", "drink")
]


def byte_pairs(texts, size=400, bos="<s>"):
    """A byte-pair tokenizer like GPT-2's, trained on some texts, in the place of a model's."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(" ", "merged_with_next")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [] if bos is None else [bos]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=bos, pad_token=bos)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=64))


@pytest.fixture(scope="module")
def small():
    """It has seen four sentences: their words are single tokens, others are not."""
    return byte_pairs(SENTENCES * 20)


@pytest.fixture(scope="module")
def large():
    """It has seen the language "names" and the tasks' prompts in it, all of whose words are therefore single tokens."""
    model = load_model("names-gpt2-seed0")
    made = [make(model, n=24, seed=0) for make in (ioi_prompts, greater_than_prompts)]
    rows = [row[1:] for prompts in made for part in (prompts, prompts.counterfactual, prompts.reference) for row in part.words]
    every = (*model.tokenizer.get_vocab(), *YEARS)
    return byte_pairs([*(" ".join(row) for row in rows), "from " + " ".join(every), *every] * 5, size=6000)


def pieces(model, word):
    return model.tokenizer.convert_ids_to_tokens(model.tokenizer.encode(word, add_special_tokens=False))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A model with a byte-level tokenizer, through TransformerLens."""
    return load_model(save_layout("gpt2", tmp_path_factory.mktemp("gpt2")), processing="raw")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return load_model(save_layout("bert", tmp_path_factory.mktemp("bert")), processing="raw")


def test_the_policy_is_recorded(gpt2, bert):
    decoder, encoder = (layout_prompts(model, LAYOUTS[name]) for name, model in (("gpt2", gpt2), ("bert", bert)))
    assert (decoder.policy.before, decoder.policy.after, decoder.policy.marks_spaces) == (("[BOS]",), (), True)
    assert (encoder.policy.before, encoder.policy.after, encoder.policy.marks_spaces) == (("[CLS]",), ("[SEP]",), False)
    assert decoder.policy.tokenizer_sha256 != encoder.policy.tokenizer_sha256
    assert decoder[1:].policy == decoder.policy == decoder.counterfactual.policy
    rules = json.loads(gpt2.tokenizer.backend_tokenizer.to_str())
    kept = {key: rules.get(key) for key in ("added_tokens", "model", "normalizer", "pre_tokenizer", "vocabulary")}
    assert decoder.policy.tokenizer_sha256 == hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def test_the_record_of_the_evidence(gpt2):
    prompts = layout_prompts(gpt2, LAYOUTS["gpt2"])
    record = describe_arguments({"prompts": prompts})["prompts"]
    assert record["lengths"] == [17, 20]
    assert record["tokens"] == {
        "tokenizer_sha256": prompts.policy.tokenizer_sha256, "before": ["[BOS]"], "after": [], "marks_spaces": True, "padding": "right",
    }  # fmt: skip
    given = describe_arguments({"prompts": replace(prompts, policy=None)})["prompts"]
    assert given["tokens"] is None
    of_prompts = {"$defs": schema()["$defs"], "$ref": "#/$defs/prompts"}
    for one in (record, given):
        jsonschema.validate(json.loads(json.dumps(one)), of_prompts)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record | {"tokens": {"before": []}}, of_prompts)


def test_the_hash_is_of_the_rules_and_not_of_their_use(small):
    before = Reader(small).policy
    small.tokenizer(["Mary", "Mary and John"], padding=True, truncation=True, max_length=3)  # leaves its mark on the tokenizer
    other = byte_pairs(SENTENCES * 20)
    assert Reader(other).policy == before
    assert Reader(byte_pairs(SENTENCES * 20, size=290)).policy != before


def test_bos(gpt2, bert):
    texts, answers = ["After Mary and John went to the store"], {"answers": [" Mary"], "foils": [" John"]}
    ids = gpt2.tokenizer.encode(texts[0], add_special_tokens=False)
    bos = gpt2.tokenizer.bos_token_id
    made = {bos: PromptSet.from_text(gpt2, texts, bos=bos, **answers) for bos in (None, True, False)}
    assert made[None].tokens.tolist() == made[True].tokens.tolist() == [[bos, *ids]]
    assert made[False].tokens.tolist() == [ids]
    assert made[False].policy.before == ()
    assert run(gpt2, made[False]).values != pytest.approx(run(gpt2, made[True]).values, abs=1e-6)
    without = PromptSet.from_text(bert, [texts[0] + " [MASK]"], answers=["Mary"], foils=["John"], bos=False)
    assert (without.words[0][0], without.words[0][-1]) == ("After", "[SEP]")


def test_a_bos_token_that_transformer_lens_made_up():
    """It gives every tokenizer one, be it unknown to the vocabulary or beyond the embedding."""
    model = byte_pairs(SENTENCES, bos=None)
    model.tokenizer.add_special_tokens({"bos_token": "<|endoftext|>"})
    assert model.tokenizer.bos_token_id == model.cfg.d_vocab
    assert Reader(model).policy.before == ()
    with pytest.raises(PromptError, match=r"bos=True, but this model's tokenizer has no BOS token"):
        Reader(model, bos=True)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"), cfg=SimpleNamespace(d_vocab=2))
    model.tokenizer.bos_token = "<|endoftext|>"
    assert Reader(model).tokens("a") == [1]


def test_spaces(small):
    """As written, unless the words are said to stand behind a space."""
    bare, spaced = (small.tokenizer.convert_tokens_to_ids(token) for token in ("a", "\u0120a"))
    reader = Reader(small)
    assert reader.policy.marks_spaces
    assert (reader.single("a"), reader.single(" a")) == (bare, spaced)
    assert reader.singles(["a", " a"], after_space=True) == [spaced, spaced]
    assert reader.single("Mary") == reader.single(" Mary") == small.tokenizer.convert_tokens_to_ids("\u0120Mary")
    text = {"texts": ["Then Mary and John went to the"], "foils": ["store"]}
    assert PromptSet.from_text(small, answers=["a"], **text).answers.tolist() == [bare]
    assert PromptSet.from_text(small, answers=["a"], after_space=True, **text).answers.tolist() == [spaced]


def test_positions_of_words(small):
    reader = Reader(small)

    def find(word, text):
        return reader.find(reader.tokens(text), word, text)

    assert find("Then", "Then Mary and John went") == 1
    assert find("John", "Then Mary and John went") == 4
    several = len(pieces(small, " Quentin"))
    assert several > 1
    assert find("Quentin", "Then Quentin went") == 1 + several  # the last of its tokens
    with pytest.raises(PromptError, match="'Then' stands 2 times"):  # the first without a space, the second with one
        find("Then", "Then Mary and Then")
    with pytest.raises(PromptError, match="'he' is not a word of"):
        find("he", "Then Mary and John went")
    with pytest.raises(PromptError, match="'Johnny' is not a word of"):
        find("Johnny", "Then Mary and John went")
    with pytest.raises(PromptError, match="'John' is not a word of"):
        find("John", "Then Mary and Johnny went")


def test_ends_of_words(small):
    reader, text = Reader(small), "Then Quentin and  Mary"  # the second word in pieces, and two spaces
    row, name = reader.tokens(text), pieces(small, " Quentin")
    assert [reader.end_of(row, index, text) for index in range(3)] == [1, 1 + len(name), 2 + len(name)]
    assert reader.end_of(row, 3, text) == len(row) - 1
    for index in (-1, 4):
        with pytest.raises(PromptError, match=f"no word {index} in 'Then Quentin and  Mary', which has words 0-3"):
            reader.end_of(row, index, text)
    with pytest.raises(PromptError, match="this tokenizer joins 'Quentin' with the next word in 'Then Quentin and  Mary'"):
        reader.end_of([*row[:3], *row[4:]], 1, text)


def test_prompts_about_the_next_word_refuse_an_encoder():
    """Also one that knows all the words: behind a text stands [SEP]."""
    vocabulary = dict(load_model("names-gpt2-seed0").tokenizer.get_vocab())
    vocabulary |= {word: len(vocabulary) + i for i, word in enumerate(("[CLS]", "[SEP]"))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", cls_token="[CLS]", sep_token="[SEP]")
    model = SimpleNamespace(tokenizer=tokenizer, cfg=SimpleNamespace(d_vocab=len(tokenizer)))
    for prompts in (ioi_prompts, gendered_pronoun_prompts):
        with pytest.raises(PromptError, match=r"this tokenizer ends each text with \[SEP\], so that no word comes next; .* for decoders"):
            prompts(model, n=2, seed=0)


def test_padding_is_on_the_right_whatever_the_tokenizer_does(gpt2, monkeypatch):
    monkeypatch.setattr(gpt2.tokenizer, "padding_side", "left")
    both = ["After Mary went to the store", "After John and Mary went to the store"]
    together = PromptSet.from_text(gpt2, both, answers=[" Mary"] * 2, foils=[" John"] * 2, pad=True)
    assert together.lengths.tolist() == [7, 9]
    assert together.tokens[0, 7:].tolist() == [gpt2.tokenizer.pad_token_id] * 2
    alone = [PromptSet.from_text(gpt2, [text], answers=[" Mary"], foils=[" John"]) for text in both]
    assert run(gpt2, together).values == pytest.approx([run(gpt2, one).values[0] for one in alone], abs=1e-5)


def test_words_that_are_no_single_tokens_are_all_named(small):
    with pytest.raises(PromptError) as caught:
        PromptSet.from_text(small, ["Then Mary went to"] * 3, answers=["Quentin", "Mary", "Zoe"], foils=["John", "Xu", "Zoe"])
    said = str(caught.value)
    assert said.startswith("3 words are not single tokens for this tokenizer: Quentin (")
    assert f"Zoe ({' | '.join(pieces(small, 'Zoe'))})" in said
    assert f"Xu ({' | '.join(pieces(small, 'Xu'))})" in said
    assert "Mary (" not in said


def test_unknown_words_of_a_text_are_all_named(bert):
    with pytest.raises(PromptError, match=r"2 words are not single tokens for this tokenizer: Quentin \(unknown\), ran \(unknown\)"):
        PromptSet.from_text(bert, ["After Quentin went to [MASK]", "After Mary ran to [MASK]"], answers=["John"] * 2, foils=["Anna"] * 2)


def test_a_text_that_vanishes_is_an_error():
    """As that of a tokenizer whose vocabulary belongs to other rules."""
    tokenizer = Tokenizer(models.BPE({"x": 0}, []))
    model = SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer), cfg=SimpleNamespace(d_vocab=1))
    with pytest.raises(PromptError, match="this tokenizer makes no token of 'Mary went'"):
        Reader(model).tokens("Mary went")


def named(caught) -> set[str]:
    """The words that an error names."""
    return {part.split(" (")[0] for part in str(caught.value).split("tokenizer: ")[1].removesuffix("; choose others").split("), ")}


def test_ioi_on_another_tokenizer(small, large):
    """Every word that is not one token is named, and no other."""
    with pytest.raises(PromptError) as caught:
        ioi_prompts(small, n=24, seed=0)
    made = ioi_prompts(large, n=24, seed=0)
    rows = [row[1:] for part in (made, made.counterfactual, made.reference) for row in part.words]
    places = {(word.strip(), i == 0) for row in rows for i, word in enumerate(row) if word != "<s>"}
    assert named(caught) == {word for word, first in places if len(pieces(small, word if first else " " + word)) > 1}
    assert {"Mary", "gave"} & {word for word, _ in places} - named(caught)


def test_ioi_answers_are_the_tokens_in_the_text(large):
    prompts = ioi_prompts(large, n=24, seed=0)
    assert prompts.policy.marks_spaces
    for row, answer in enumerate(prompts.answers.tolist()):
        io, s2 = (int(prompts.positions[name][row]) for name in ("IO", "S2"))
        assert prompts.vocabulary[answer].startswith(" ")
        assert prompts.words[row][io].strip() == prompts.vocabulary[answer].strip()
        assert prompts.tokens[row, s2] == prompts.foils[row]


def test_greater_than_on_another_tokenizer(small, large):
    made = greater_than_prompts(large, n=24, seed=0)
    assert all(made.words[row][int(made.positions["YEAR"][row])].strip() in YEARS for row in range(24))
    assert all(made.vocabulary[int(token)].startswith(" ") for token in made.answers)
    for ask in (later_years, lambda model: greater_than_prompts(model, n=24, seed=0)):
        with pytest.raises(PromptError, match=r"this tokenizer 100 of 100 are not \('00', for one\)"):
            ask(small)


def test_pronouns_on_another_tokenizer(small):
    """Only the two pronouns have to be single tokens; carriers are found in however many pieces."""
    with pytest.raises(PromptError) as caught:
        gendered_pronoun_prompts(small, n=12, seed=0)
    assert named(caught) == {"her", "his"}
    model = byte_pairs([*SENTENCES, "with her", "with his"] * 20)
    prompts = gendered_pronoun_prompts(model, n=12, seed=0, carrier="name")
    assert {prompts.vocabulary[int(t)] for t in prompts.answers} == {" her", " his"}
    split = [row for row in range(12) if prompts.positions["NAME"][row] != 1 + 1]
    assert split, "some names are several tokens"


def test_induction_on_another_tokenizer(small):
    prompts = induction_prompts(small, n=4, seed=0)
    assert prompts.policy == Reader(small).policy
    assert (prompts.tokens[:, 0] == small.tokenizer.bos_token_id).all()


def test_masked_sentences_on_another_tokenizer():
    model = byte_pairs([*SENTENCES, "the box is not open"] * 20)
    model.tokenizer.add_special_tokens({"mask_token": "<mask>"})
    with pytest.raises(PromptError) as caught:
        negation_prompts(model, n=48, seed=0)
    assert len(named(caught)) > 5
    assert "open" not in named(caught)
