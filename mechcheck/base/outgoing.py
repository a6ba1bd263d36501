"""What leaves the process, on a terminal or in a file: text in which nothing commands a terminal and nothing is secret."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")

# Control characters but for tab and line feed, separators that some programs take for line feeds, what turns the direction of writing
# around (arXiv:2111.00169), and halves of characters, which no file can hold.
_HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
HIDDEN = "***"
"""Stands for a secret."""
_NAMES = re.compile(r"token|secret|passw(or)?d|passphrase|credential|api_?key|access_?key|private_?key|auth(?!or)", re.IGNORECASE)
_SHORTEST = 8
"""Characters that the value of such an environment variable must have to be looked for in other texts: "1" is everywhere."""
# "token" alone is a word of this trade: max_new_tokens=5 is no secret.
_NAMED = (
    r"[A-Z][A-Z0-9_]*_(?:TOKEN|SECRET|PASSWORD|PASS|KEY|CREDENTIALS?)|(?<=[?&-])token"
    r"|(?i:\w*(?:password|passwd|passphrase|secret)\w*|[\w-]*(?:access|auth|api|hf|refresh|bearer|private|secret)[-_]?(?:token|key))"
)
_SECRETS = re.compile(
    r"(?P<before>://[^\s/@:'\"]*:)[^\s/@'\"]+(?=@)"  # https://user:password@host
    r"|(?P<alone>://)[^\s/@:'\"]{16,}(?=@)"  # https://token@host
    rf"|(?P<named>(?<![A-Za-z0-9_])(?:{_NAMED})(?:\s?=\s?|['\"]\s?:\s?)['\"]?)[^\s'\"&,;)\]}}]{{4,}}"
    r"|(?P<bearer>(?i:\bbearer\s+))[\w.~+/-]{8,}=*"
    r"|\bhf_[A-Za-z0-9]{16,}"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bsk-[\w-]{20,}"
    r"|\bxox[abpr]-[\w-]{10,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
)


def printable(text: str) -> str:
    r"""The text with every character that a terminal or a reader's eye would obey written out: "\x1b", "\u202e".

    Tabs and line feeds stay, and so does every letter, of whatever script.
    """
    return _HOSTILE.sub(_written_out, text)


def without_secrets(text: str, *, home: bool = False) -> str:
    """The text without passwords and tokens; without `home`, with ~ for the home folder.

    Known as secret are: the values of this process's environment variables whose names say so (HF_TOKEN, AWS_SECRET_ACCESS_KEY), what
    stands behind such a name and "=" or ":", passwords in addresses, and what begins as the tokens of well-known services do.
    """
    return _sought().hide(text, home=home)


def outgoing(value: Value) -> Value:
    """The same dictionaries, lists and texts, each text printable and without secrets."""
    return _cleaned(value, _sought(), {})


def _cleaned(value: Value, sought: "_Sought", known: dict[str, str]) -> Value:
    """The same, where it is known what is sought, and what has become of texts that were seen before: most stand there often."""
    cleaned: Any = value
    if isinstance(value, str):
        if value not in known:
            known[value] = sought.hide(printable(value))
        cleaned = known[value]
    elif isinstance(value, Mapping):
        cleaned = {_cleaned(key, sought, known): _cleaned(one, sought, known) for key, one in value.items()}
    elif isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):  # of numbers there are many
        every = [_cleaned(one, sought, known) for one in value]
        cleaned = tuple(every) if type(value) is tuple else every
    return cleaned


def error_text(error: BaseException | None) -> str:
    """An exception as "KeyError: message"; where its message cannot be had, as that raises something itself, what it raises."""
    return f"{type(error).__name__}: {message_of(error)}"


def message_of(value: object) -> str:
    """A value as text, also one whose `__str__` raises."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}, which cannot be shown: its text raised {type(error).__name__}>"


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _hidden(found: re.Match[str]) -> str:
    return (found["before"] or found["alone"] or found["named"] or found["bearer"] or "") + HIDDEN


class _Sought(NamedTuple):
    """What this process must not tell."""

    values: re.Pattern[str] | None
    """Of environment variables with a secret's name."""
    home: re.Pattern[str] | None

    def hide(self, text: str, *, home: bool = False) -> str:
        if self.values is not None:
            text = self.values.sub(HIDDEN, text)
        text = _SECRETS.sub(_hidden, text)
        return text if home or self.home is None else self.home.sub("~", text)


def _sought() -> _Sought:
    return _patterns(tuple(value for name, value in os.environ.items() if _NAMES.search(name)), _home())


@lru_cache(maxsize=4)
def _patterns(values: tuple[str, ...], home: str | None) -> _Sought:
    long = sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True)
    every = re.compile("|".join(map(re.escape, long))) if long else None
    return _Sought(every, None if home is None else re.compile(re.escape(home) + r"(?![\w.-])"))


def _home() -> str | None:
    """The home folder; None where there is none, or where it is all there is."""
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE")
    return home.rstrip("/\\") if home and len(Path(home).parts) > 1 else None
