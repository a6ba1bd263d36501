"""The text of single prompts on the page."""

from typing import Any, NamedTuple

Json = dict[str, Any]

_LONGEST = 240
"""Tokens of a prompt that are; of a longer one its beginning and its end."""
_CUT = "[…]"
_BEGINNINGS = (" ", "Ġ", "▁")
"""Of tokens that say themselves where a word begins."""


class Part(NamedTuple):
    """Some of a prompt's text: a token that is marked, or several that are not."""

    text: str
    names: str = ""
    """The positions and spans that it stands at."""
    look: str = ""
    """ans or foil, where it is that."""

    @property
    def marked(self) -> bool:
        """Whether it is a token that stands apart."""
        return bool(self.names or self.look)


def packed_texts(texts: Json) -> Json:
    """A set of prompts for a script."""
    templates = {name: i for i, name in enumerate(dict.fromkeys(texts["templates"]))}
    cut = [_shortened(texts, row) for row in range(len(texts["ids"]))]
    return {
        "between": _between(texts["words"]),
        "words": [*texts["words"], _CUT],
        "names": texts["names"],
        "templates": [*templates],
        "of": " ".join(str(templates[name]) for name in texts["templates"]),
        "tokens": [" ".join(map(str, tokens)) for tokens, _ in cut],
        "marks": [" ".join(map(str, marks)) for _, marks in cut],
        "answers": texts["answers"],
        "foils": texts["foils"],
        "ids": texts["ids"],
    }


def _between(words: list[str]) -> str:
    """What to put between tokens to read them as text: nothing where some say themselves that a word begins."""
    return "" if any(word.startswith(_BEGINNINGS) and len(word) > 1 for word in words) else " "


def _shortened(texts: Json, row: int) -> tuple[list[int], list[int]]:
    """A prompt's tokens and marks, without the middle of a long one."""
    tokens, marks = texts["tokens"][row], texts["marks"][row]
    if len(tokens) <= _LONGEST:
        return tokens, marks
    half = _LONGEST // 2
    return [*tokens[:half], len(texts["words"]), *tokens[-half:]], [*marks[:half], 0, *marks[-half:]]


def parts_of(texts: Json, row: int, answer: str | None, foil: str | None) -> list[Part]:
    """A prompt's text, each marked token apart."""
    words, between = [*texts["words"], _CUT], _between(texts["words"])
    parts: list[Part] = []
    for number, mark in zip(*_shortened(texts, row), strict=True):
        word, names = words[number], texts["names"][mark]
        part = Part(word, names, "ans" if answer and word == answer else "foil" if foil and word == foil else "")
        if part.marked or not parts or parts[-1].marked:
            parts.append(part)
        else:
            parts[-1] = Part(f"{parts[-1].text}{between}{word}")
    return parts
