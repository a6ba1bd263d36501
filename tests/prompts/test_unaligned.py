"""Sentences that tokenizers of real models align with their counterfactual, and those that they do not."""

from types import SimpleNamespace

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.models.loading import load_model
from mechcheck.prompts.alignment import Drawn, draw_aligned, uneven_swap
from mechcheck.prompts.masked import Masked
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.agreement import agreement_prompts
from mechcheck.tasks.negation import negation_prompts

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Whole in the language, and in pieces in the vocabulary of a real encoder: "isn't" by its rules, these as they are rare.
PLURALS = ("kings", "dogs", "teachers", "farmers", "nurses", "pilots")
SPLIT = {"garage": ("gar", "##age"), "really": ("real", "##ly")} | {plural: (plural[:-1], "##s") for plural in PLURALS}


def word_piece(language: str):
    """WordPiece with BERT's rules, made for this test: it has the words of the language, but for those that it splits."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [word for word in load_model(language).tokenizer.get_vocab() if word not in SPLIT and "'" not in word and word[0] not in "<["]
    pieces = [piece for parts in SPLIT.values() for piece in parts]
    vocabulary = dict.fromkeys((*SPECIAL, *words, *pieces, "isn", "'", "t"))
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special))


def byte_pairs(language: str):
    """Byte-level BPE as RoBERTa's, trained on the language once: words behind a space are other tokens, and rare ones are split."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = [word for word in load_model(language).tokenizer.get_vocab() if word not in SPLIT and word[0] not in "<["]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text for word in words for text in (f"a {word}", word)] * 5, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False)
    return SimpleNamespace(
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", sep_token="</s>", eos_token="</s>", pad_token="<pad>",
            unk_token="<unk>", mask_token="<mask>",
        )
    )  # fmt: skip


@pytest.fixture(scope="module", params=[word_piece, byte_pairs], ids=["WordPiece", "BPE"])
def encoder(request):
    return request.param("sentences-bert")


def rows(prompts):
    return [row[:length] for row, length in zip(prompts.tokens.tolist(), prompts.lengths.tolist(), strict=True)]


def check_aligned(prompts, swapped: str):
    """Token for token, and different in nothing but the tokens of the word that is swapped, which ends at its position."""
    for other in (prompts.counterfactual, prompts.reference):
        assert other.lengths.tolist() == prompts.lengths.tolist()
        for name, at in prompts.positions.items():
            assert other.positions[name].tolist() == at.tolist(), name
        for row, (here, there) in enumerate(zip(rows(prompts), rows(other), strict=True)):
            differing = [i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b]
            assert not differing or differing[-1] <= int(prompts.positions[swapped][row])
            assert len(differing) <= 2
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}


@pytest.mark.parametrize("statements", ["simple", "embedded", "double", "two_objects"])
@pytest.mark.parametrize("split", ["discover", "verify"])
def test_negation(encoder, statements, split):
    prompts = negation_prompts(encoder, n=60, seed=0, split=split, statements=statements)
    assert len(prompts) == 60
    check_aligned(prompts, "SWITCH")
    assert min(prompts.templates.count(template) for template in set(prompts.templates)) >= 60 // len(set(prompts.templates))


def test_what_is_left_out_is_told():
    """The three templates in which "isn't" becomes "is" cannot be aligned, and of the others those draws in which "really" turns up."""
    prompts = negation_prompts(word_piece("sentences-bert"), n=60, seed=0)
    assert len(set(prompts.templates)) == 11 - 3
    assert not any("{isnt}" in template for template in prompts.templates)
    assert prompts.left_out.pop("\"isn't\" (3 tokens) for 'is' (1)") == 3 * 50
    assert prompts.left_out
    assert all("'really' (2)" in swap or "'really' (2 tokens)" in swap for swap in prompts.left_out)


@pytest.mark.parametrize("dependency", ["verb", "reflexive"])
@pytest.mark.parametrize("distractor", ["any", "misleading"])
def test_agreement(encoder, dependency, distractor):
    prompts = agreement_prompts(encoder, n=60, seed=0, dependency=dependency, distractor=distractor)
    assert len(prompts) == 60
    check_aligned(prompts, "SUBJECT")
    assert prompts.left_out
    assert all(any(f"'{plural}' (2" in swap for plural in PLURALS) for swap in prompts.left_out)


def test_nothing_is_left_out_of_the_language():
    model = load_model("sentences-bert")
    for prompts in (negation_prompts(model, n=60, seed=0), agreement_prompts(model, n=60, seed=0)):
        assert prompts.left_out == {}
        assert prompts.unaligned == {"counterfactual": 0, "reference": 0}


def test_no_sentence_that_can_be_aligned():
    reader = Reader(word_piece("sentences-bert"))
    drawn = Drawn(Masked(["it", "isn't", "open"], 2, "closed", {}, "one"), ["it", "is", "open"], ["it", "isn't", "open"])
    with pytest.raises(PromptError, match=r"no sentence can be aligned .* \(\"isn't\" \(3 tokens\) for 'is' \(1\)\)"):
        draw_aligned(reader, 4, ["one", "two"], lambda template: drawn)
    assert uneven_swap(reader, drawn.sentence.words, drawn.reference) is None


def test_templates_take_turns():
    reader, asked = Reader(word_piece("sentences-bert")), []

    def draw(template):
        asked.append(template)
        word = "is" if template != "b" or len(asked) % 2 else "isn't"
        words = f"it {word} open".split()
        return Drawn(Masked(words, 2, "closed", {}, template), ["it", "is", "open"], words)

    found, left_out = draw_aligned(reader, 6, ["a", "b", "c"], draw)
    assert [drawn.sentence.template for drawn in found] == ["a", "b", "c"] * 2
    assert list(left_out.values()) == [asked.count("b") - 2]
