"""Nothing that leaves commands a terminal, turns a line around, or is secret; and words that are none of that stay as they are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.base.outgoing import error_text, message_of, outgoing, printable, without_secrets

HOSTILE = {
    "\x1b[2J": r"\x1b[2J",
    "\x1b]8;;http://x\x07": r"\x1b]8;;http://x\x07",
    "\x9b31m": r"\x9b31m",
    "a\rb": r"a\x0db",
    "a\x00b\x7f": r"a\x00b\x7f",
    "\u202eevil\u2066": r"\u202eevil\u2066",
    "a\u2028b": r"a\u2028b",
    "\ud800": r"\ud800",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_would_obey_is_written_out(text):
    assert printable(text) == HOSTILE[text]
    assert outgoing({text: [text, (text,)]}) == {HOSTILE[text]: [HOSTILE[text], (HOSTILE[text],)]}


@pytest.mark.parametrize("text", ["a\tb\nc", "Ünïcödé", "שלום", "نعم\u200c", "日本語", "👩\u200d🔬", "+0.5 [−1, ∞) ✓ ≥"])
def test_letters_of_every_script_stay(text):
    assert outgoing(text) == text


@given(st.text())
def test_any_text_can_be_written_and_is_printable_once_and_for_all(text):
    once = printable(text)
    once.encode()
    assert printable(once) == once
    assert all(character in "\t\n" or character.isprintable() or ord(character) > 0x9F for character in once)


SECRET = {
    "https://me:pa55word@host/x": "https://me:***@host/x",
    "git+https://ghp0123456789abcdef0123@host/x": "git+https://***@host/x",
    "--mech-model=https://u:p@h/m": "--mech-model=https://u:***@h/m",
    "HF_TOKEN=abcdef": "HF_TOKEN=***",
    "export AWS_SECRET_ACCESS_KEY='x/y+z0'": "export AWS_SECRET_ACCESS_KEY='***'",
    '{"api_key": "abc123"}': '{"api_key": "***"}',
    "https://h/?a=1&token=abcdef&b=2": "https://h/?a=1&token=***&b=2",
    "access_token=abcdef": "access_token=***",
    "--hf-token=abcdef": "--hf-token=***",
    "--token=abcdef": "--token=***",
    "password=hunter22": "password=***",
    "Authorization: Bearer abcdefghij==": "Authorization: Bearer ***",
    "see hf_AbCdEfGhIjKlMnOpQrSt.": "see ***.",
    "ghp_" + "a1B2" * 9: "***",
    "AKIAIOSFODNN7EXAMPLE": "***",
    "sk-proj-" + "a1B2" * 9: "***",
    "xoxb-123456789012-abcdef": "***",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": "***",
}


@pytest.mark.parametrize("text", SECRET)
def test_secrets_are_hidden(text):
    assert without_secrets(text) == SECRET[text]


PLAIN = (
    "positions=tokens", "max_new_tokens=5", "n_tokens=700000", "4 tokens: a, b", "one token: 'Mary'", "tokenizer=abcdef",
    "tokens=['a', 'b']", "{'token': 'Mary'}",
    "decoder.token_embeddings=found", "key=abcdef", "1.1.key=0.5", "hook_k=0.25", "keys: 0.3->1.1.k",
    "pytest claims --mech-model=gpt2@607a30d",
    "a" * 64, "arXiv:2211.00593", "user@host", "https://host/path@tag", "0.1@S2 0.2@END", "sk-learn", "the head attends to the secret",
)  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_words_of_the_trade_are_no_secrets(text):
    assert outgoing(text) == text


def test_values_of_the_environment_are_hidden_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "correct-horse")
    monkeypatch.setenv("SECRET_OF_MINE", "correct-horse-battery")
    monkeypatch.setenv("SHORT_TOKEN", "1")
    monkeypatch.setenv("LANGUAGE_NAME", "staple-staple")
    text = "says correct-horse-battery, correct-horse and 1 staple-staple"
    assert without_secrets(text) == "says ***, *** and 1 staple-staple"


@pytest.mark.parametrize("home", ["/home/me", "/home/me/"])
def test_the_home_folder_is_not_told(monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    said = without_secrets("/home/me/models/a.toml, /home/me2/x, /home/me")
    assert said == "~/models/a.toml, /home/me2/x, ~"


@pytest.mark.parametrize("home", ["/", ""])
def test_a_home_that_is_everything(monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    assert without_secrets("/a/b") == "/a/b"


def test_numbers_stay_as_they_are():
    content = {"values": [1.5, 2, 3], "more": [[1, 2], None, True], "none": []}
    assert outgoing(content) == content
    assert json.dumps(outgoing(content)) == json.dumps(content)


class Rude:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class RudeError(Exception):
    __str__ = Rude.__str__
    __repr__ = Rude.__str__


def test_what_cannot_be_shown_is_told_by_its_type():
    assert error_text(KeyError("a")) == "KeyError: 'a'"
    assert error_text(RudeError()) == "RudeError: <RudeError, which cannot be shown: its text raised RuntimeError>"
    assert error_text(KeyError(Rude())) == "KeyError: <KeyError, which cannot be shown: its text raised RuntimeError>"
    assert message_of(Rude()) == "<Rude, which cannot be shown: its text raised RuntimeError>"
    assert error_text(None) == "NoneType: None"
