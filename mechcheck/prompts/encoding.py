"""A tokenizer's own tokens of texts, made once for all who ask: a claim, its decoys and a model's twins ask for the same texts."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from mechcheck.base.errors import PromptError
from mechcheck.base.text import no_text

_TEXTS = 100_000
"""How many are remembered of a tokenizer; then all of them are forgotten."""
_TOKENIZERS = 4

_hashes: "WeakKeyDictionary[Any, tuple[int, str]]" = WeakKeyDictionary()
_known: "OrderedDict[tuple[str, int], dict[str, tuple[int, ...]]]" = OrderedDict()


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of what decides how text is split; not of special tokens put around it, nor of padding."""
    size, found = _hashes.get(tokenizer, (-1, ""))
    if size != len(tokenizer):  # tokens were added since
        backend = getattr(tokenizer, "backend_tokenizer", None)
        rules = {"vocabulary": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
        kept = {key: rules.get(key) for key in ("vocabulary", "model", "normalizer", "pre_tokenizer", "added_tokens")}
        found = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        _hashes[tokenizer] = len(tokenizer), found
    return found


class Encoder:
    """Texts to token ids, with no special token around them."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        # A slow tokenizer's rules are its class's, which the hash does not see: what it made is no other's.
        self._of = _remembered(tokenizer) if getattr(tokenizer, "is_fast", False) else {}

    def __call__(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            PromptError: what is no text.
        """
        if text not in self._of:
            self.prepare([text])
        return list(self._of[text])

    def prepare(self, texts: Iterable[str]) -> None:
        """Make the tokens of many texts at once, which takes a quarter of the time.

        Raises:
            PromptError: one that is no text.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._of]
        for text in new:
            if problem := no_text(text):
                raise PromptError(problem)
        if not new:
            return
        if len(self._of) + len(new) > _TEXTS:
            self._of.clear()
        made = self._tokenizer(new, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)
        self._of.update(zip(new, map(tuple, made["input_ids"]), strict=True))


def _remembered(tokenizer: Any) -> dict[str, tuple[int, ...]]:
    key = tokenizer_hash(tokenizer), len(tokenizer)
    found = _known.setdefault(key, {})
    _known.move_to_end(key)
    if len(_known) > _TOKENIZERS:
        _known.popitem(last=False)
    return found
