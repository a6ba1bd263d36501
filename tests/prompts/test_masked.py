"""Prompts with a masked word, for tokenizers that make several tokens of a word."""

from types import SimpleNamespace

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.prompts.masked import Masked, masked_prompts

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "b", "##ox", "isn", "'", "t", "is", "very", "open", "closed", ",", "it", ".")


@pytest.fixture(scope="module")
def berts():
    """A model of which only the tokenizer is looked at: WordPiece as BERT's, with few pieces."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special))


def sentence(text: str, masked: int, foil: str, **at: int) -> Masked:
    return Masked(text.split(), masked, foil, at, "a template")


def test_positions_are_those_of_last_tokens(berts):
    clean = sentence("the box isn't open , it is closed .", 7, "open", SWITCH=2, OBJECT=1)
    prompts = masked_prompts(berts, [clean], counterfactual=[["the", "box", "is", "open", ",", "it", "is", "closed", "."]])
    assert " ".join(PIECES[t] for t in prompts.tokens[0].tolist()) == "[CLS] the b ##ox isn ' t open , it is [MASK] . [SEP]"
    assert {name: int(at[0]) for name, at in prompts.positions.items()} == {"END": 11, "SWITCH": 6, "OBJECT": 3}
    assert {name: int(at[0]) for name, at in prompts.counterfactual.positions.items()} == {"END": 9, "SWITCH": 4, "OBJECT": 3}
    assert (PIECES[prompts.answers[0]], PIECES[prompts.foils[0]]) == ("closed", "open")
    assert prompts.counterfactual.answers.tolist() == prompts.answers.tolist()
    assert prompts.reference is None


def test_the_mask_may_stand_first_and_lengths_may_differ(berts):
    prompts = masked_prompts(berts, [sentence("open is the box", 0, "closed"), sentence("it is very open .", 3, "closed")])
    assert prompts.position("END").tolist() == [1, 4]
    assert prompts.lengths.tolist() == [7, 7]


def test_errors(berts, tiny):
    with pytest.raises(PromptError, match="no mask token, so no word can be masked; these prompts are for encoders"):
        masked_prompts(tiny("gpt2"), [sentence("the store", 1, "book")])
    with pytest.raises(PromptError, match="'box' is 2 tokens"):
        masked_prompts(berts, [sentence("it is the box", 3, "open")])
    for others in ([["it", "is", "open"]] * 2, [["it", "open"]]):
        with pytest.raises(PromptError, match="the counterfactual does not fit the sentences one for one and word for word"):
            masked_prompts(berts, [sentence("it is open", 2, "closed")], counterfactual=others)
