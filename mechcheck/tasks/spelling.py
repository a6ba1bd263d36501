"""What of the language "names" some models read word by word: real tokenizers split a few of its words."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.names import Language, load_language

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Sentence = tuple[str, ...]
_MADE_UP = "centuries"  # for the embedded models, and for nobody else; see `greater_than`


class Spelling:
    """The words and templates that are left, in their order, when those with a word of several tokens are left out.

    Where fewer than half of a kind (names, places, openings, sentences, ...) would be left, all of it stays, so that the prompts'
    own check refuses it and names the words.
    """

    def __init__(self, *models: "TransformerBridge", split_names: bool = False):
        """Ask the tokenizers of all these models: what is left is one token for each of them; names may be several, if so chosen."""
        self._readers = [Reader(model) for model in models]
        self._split_names = split_names
        whole = load_language()
        kinds = {field.name: getattr(whole, field.name) for field in fields(whole) if field.name != _MADE_UP}
        left = {kind: tuple(entry for entry in entries if self._has(kind, entry)) for kind, entries in kinds.items()}
        enough = all(2 * len(left[kind]) >= len(entries) for kind, entries in kinds.items())
        self.language: Language = replace(whole, **left) if enough else whole
        """What the models read."""

    def sentences(self, whole: Sequence[Sentence]) -> list[Sentence]:
        """Those whose first word, or whichever name stands there, is one token at the beginning of a text too."""
        begin = {word for word in {words[0] for words in whole} if self._begins(word)}
        left = [words for words in whole if words[0] in begin]
        return left if 2 * len(left) >= len(whole) else list(whole)

    def _begins(self, word: str) -> bool:
        if word in ("{A}", "{B}", "{S}"):
            return self._split_names or all(self._knows(name, first=True) for name in self.language.names)
        return self._knows(word, first=True)

    def size(self, name: str) -> tuple[int, ...]:
        """How many tokens a name is behind a space and at the beginning of a text, for each of the tokenizers."""
        return tuple(len(reader.pieces(name, first=first)) for reader in self._readers for first in (False, True))

    def _knows(self, word: str, first: bool = False) -> bool:
        return all(reader.knows(word, first=first) for reader in self._readers)

    def _has(self, kind: str, entry: str | Sentence) -> bool:
        """Of a word, a pair of words, or a template; a prefix begins a text, which `sentences` looks at."""
        if self._split_names and kind in ("male", "female"):
            return all(reader.spells(str(entry), first=first) for reader in self._readers for first in (False, True))
        words = [entry] if isinstance(entry, str) else entry[1:] if kind == "prefixes" else entry
        return all(word.startswith("{") or self._knows(word) for word in words)
