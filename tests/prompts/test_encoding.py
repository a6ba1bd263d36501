import pytest

from mechcheck.base.errors import PromptError
from mechcheck.conformance.layouts import byte_level
from mechcheck.prompts import encoding
from mechcheck.prompts.encoding import Encoder, tokenizer_hash

TEXTS = ["After Mary and John", " Mary", "Mary", "", "a  b", "Mary", "went to the store ,"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(encoding, "_known", type(encoding._known)())


def test_it_is_what_the_tokenizer_says_of_each():
    tokenizer = byte_level()
    encode = Encoder(tokenizer)
    encode.prepare(TEXTS[:4])
    assert [encode(text) for text in TEXTS] == [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]


def test_a_caller_cannot_change_what_the_next_one_gets():
    encode = Encoder(byte_level())
    encode("Mary").append(7)
    assert encode("Mary") == byte_level().encode("Mary", add_special_tokens=False)


def test_what_is_known_of_a_tokenizer_serves_its_equal(monkeypatch):
    first, second = byte_level(), byte_level()
    made = Encoder(first)("After Mary")

    def none(*_args, **_others):
        raise AssertionError("read again")

    monkeypatch.setattr(type(second), "__call__", none)
    assert Encoder(second)("After Mary") == made


def test_tokens_that_are_added_later_are_seen():
    tokenizer = byte_level()
    before, name = Encoder(tokenizer)("After Mary"), tokenizer_hash(tokenizer)
    tokenizer.add_tokens(["After Mary"])
    assert tokenizer_hash(tokenizer) != name
    assert len(Encoder(tokenizer)("After Mary")) == 1 < len(before)


def test_memory_has_an_end(monkeypatch):
    monkeypatch.setattr(encoding, "_TEXTS", 3)
    encode = Encoder(byte_level())
    for text in TEXTS * 2:
        assert encode(text) == byte_level().encode(text, add_special_tokens=False)
    assert sum(map(len, encoding._known.values())) <= 3
    for number in range(encoding._TOKENIZERS + 2):
        tokenizer = byte_level()
        tokenizer.add_tokens([f"word {number}"])
        Encoder(tokenizer)("Mary")
    assert len(encoding._known) == encoding._TOKENIZERS


@pytest.mark.parametrize("given", ["\ud800", 3])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(PromptError, match=r"lone surrogate|text is expected"):
        Encoder(byte_level())(given)
