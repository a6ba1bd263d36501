"""From text to tokens: what stands around a text, which words are one token, where words stand, and a record of how it was done."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from mechcheck.base.architectures import is_encoder, is_native
from mechcheck.base.errors import PromptError
from mechcheck.base.loaded import check_loaded
from mechcheck.prompts.encoding import Encoder, tokenizer_hash

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class TokenPolicy:
    """How text was made into tokens."""

    tokenizer_sha256: str
    """Hash of the tokenizer's vocabulary and rules."""
    before: tuple[str, ...]
    """What is put in front of each text: BOS, also where the tokenizer by itself adds none (GPT-2), or [CLS]; empty for nothing."""
    after: tuple[str, ...]
    """What is put behind it: [SEP]."""
    marks_spaces: bool
    """Whether a word is another token behind a space than at the beginning of a text. Answers and foils of the shipped tasks are
    the tokens that words are behind a space."""
    padding: Literal["right"] = "right"
    """Where shorter prompts are filled; the tokenizer's own padding side plays no part."""


class Reader:
    """A model's tokenizer, with single-token checks."""

    def __init__(self, model: "TransformerBridge", bos: bool | None = None):
        """Take the tokenizer.

        Args:
            model: gives it.
            bos: whether BOS (or [CLS]) stands in front of each text; by default where there is one.

        Raises:
            PromptError: no tokenizer, or no such token.
        """
        check_loaded(model)
        if model.tokenizer is None:
            raise PromptError("this model came without a tokenizer; build the prompts with PromptSet.from_tokens")
        self.tokenizer = model.tokenizer
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        # An encoder's tokenizer puts [CLS] and [SEP] around a text, a decoder's BOS in front of it.
        self._before = [] if bos is False else _in_vocabulary(model, self.tokenizer.bos_token_id if cls is None else cls)
        if bos and not self._before:
            raise PromptError("bos=True, but this model's tokenizer has no BOS token; leave it out")
        encoder = is_encoder(model)
        decoder = is_native(model) or getattr(getattr(model, "cfg", None), "attention_dir", None) == "causal"
        # A decoder with an encoder's tokenizer predicts what comes next, and nothing comes behind [SEP].
        self._after = [] if cls is None or sep is None or decoder else [int(sep)]
        self.mask: int | None = self.tokenizer.mask_token_id if encoder else None
        """Of a masked model: what stands for the word that it predicts."""
        pad = self.tokenizer.pad_token_id or 0
        self.pad = int(pad) if pad < _size(model) else 0
        self._encode = Encoder(self.tokenizer)
        # An encoder is one also where its tokenizer puts nothing behind a text, or has no name for what it puts there.
        self._sees_all = getattr(getattr(model, "cfg", None), "attention_dir", "causal") != "causal"

    @property
    def policy(self) -> TokenPolicy:
        """How this reader makes tokens."""
        before, after = (tuple(self.tokenizer.convert_ids_to_tokens(ids)) for ids in (self._before, self._after))
        return TokenPolicy(tokenizer_hash(self.tokenizer), before, after, self._encode("a") != self._behind_space("a"))

    def tokens(self, text: str) -> list[int]:
        """Token ids, BOS first; for an encoder between [CLS] and [SEP]."""
        return self.rows([text])[0]

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of several texts.

        Raises:
            PromptError: words that the tokenizer does not know, all of which are named; a text that it makes nothing of.
        """
        self._encode.prepare(texts)
        rows = [self._encode(text) for text in texts]
        lost = [text for text, row in zip(texts, rows, strict=True) if self._lost(text, row)]
        self._refuse((word, self._behind_space(word)) for text in lost for word in self._unknown_words(text))
        for text, row in zip(texts, rows, strict=True):
            if text.strip() and not row:
                raise PromptError(
                    f"this tokenizer makes no token of {text!r}; it does not belong to these texts, or was not loaded as stored"
                )
        return [self._before + row + self._after for row in rows]

    def single(self, word: str) -> int:
        """The one token of a word, as it is written; see `singles`."""
        return self.singles([word])[0]

    def singles(self, words: Sequence[str], *, after_space: bool = False) -> list[int]:
        """The one token of each word.

        Args:
            words: as they are written (" Mary"). Where the bare word is one token and the spaced one is not, or the reverse, the
                one that exists is taken.
            after_space: the words follow a text, behind a space, also where they are written without one.

        Raises:
            PromptError: words that are no single tokens, all of which are named.
        """
        found = {word: self._single(word, after_space) for word in words}
        self._refuse(
            ((word, self._behind_space(word) if after_space else self._encode(word)) for word, token in found.items() if token is None),
            "; PromptSet.from_text takes answers and foils as they are with several_tokens=True",
        )
        return [token for word in words if (token := found[word]) is not None]

    def answers(self, words: Sequence[str], *, after_space: bool = False) -> list[tuple[int, ...]]:
        """All tokens of each word: as it is written, or what it is behind a space.

        Args:
            words: as they are written (" Mary").
            after_space: the words follow a text, behind a space, also where they are written without one.

        Raises:
            PromptError: words that the tokenizer does not know, or of which it does not know a part; all are named.
        """
        self._refuse((word, list[int]()) for word in words if not self.spells(word, first=not after_space))
        return [tuple(self.pieces(word, first=not after_space)) for word in words]

    def check_words(self, rows: Iterable[Sequence[str]], *, whole: bool = True, but: Collection[str] = ()) -> None:
        """Raise unless each word of each row is one token behind a space; where the rows are whole texts, their first words without one.

        Nothing is asked of the words in `but`.

        Raises:
            PromptError: names all words that are not.
        """
        places = dict.fromkeys((word, whole and i == 0) for row in rows for i, word in enumerate(row) if word not in but)
        tokens = ((word, self._encode(word) if first else self._behind_space(word)) for word, first in places)
        self._refuse((word, ids) for word, ids in tokens if not self._known(ids))

    def check_decoder(self) -> None:
        """Raise for an encoder: its tokenizer puts a token behind each text, or it sees all of it at once, so that no word comes next.

        Raises:
            PromptError: names the token, if there is one.
        """
        if self._after:
            raise PromptError(
                f"this tokenizer ends each text with {self.policy.after[0]}, so that no word comes next; these prompts are for decoders"
            )
        if self._sees_all:
            raise PromptError(
                "this model is an encoder, in which every token sees all others; these prompts, for a next word, are for decoders"
            )

    def pieces(self, word: str, *, first: bool = False) -> list[int]:
        """The tokens of a word behind a space; with `first`, at the beginning of a text, or joined to what stands before it."""
        return self._encode(word) if first else self._behind_space(word)

    def spells(self, word: str, *, first: bool = False) -> bool:
        """Whether it has tokens for every part of a word there."""
        ids = self.pieces(word, first=first)
        return bool(ids) and self.tokenizer.unk_token_id not in ids

    def knows(self, word: str, *, first: bool = False) -> bool:
        """Whether a word is one token there."""
        return self._known(self.pieces(word, first=first))

    def find(self, row: Sequence[int], word: str, text: str) -> int:
        """Position of a word's last token in a prompt where it stands exactly once.

        Raises:
            PromptError: it does not.
        """
        return self.find_whole(row, word, text)[-1]

    def find_whole(self, row: Sequence[int], word: str, text: str) -> range:
        """Positions of all tokens of a word, in a prompt where it stands exactly once.

        Raises:
            PromptError: it does not.
        """
        first, bare, spaced = len(self._before), self._encode(word), self._behind_space(word)
        ends = {i + len(spaced) - 1: i for i in _starts(row, spaced)}
        if list(row[first : first + len(bare)]) == bare:
            ends[first + len(bare) - 1] = first
        ends = ends or {i + len(bare) - 1: i for i in _starts(row, bare)}
        if len(ends) > 1:
            raise PromptError(f"{word!r} stands {len(ends)} times in {text!r}; give its position as a number")
        if not ends or not re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE):
            raise PromptError(f"{word!r} is not a word of {text!r}")
        end, start = ends.popitem()
        return range(start, end + 1)

    def end_of(self, row: Sequence[int], index: int, text: str) -> int:
        """Position of the last token of a text's word number `index`, as white space parts them; told from the text up to there.

        Raises:
            PromptError: no such word, or one that melts into the next.
        """
        ends = _ends(text)
        if not 0 <= index < len(ends):
            raise PromptError(f"no word {index} in {text!r}, which has words 0-{len(ends) - 1}")
        upto = self._before + self._encode(text[: ends[index]])
        if list(row[: len(upto)]) != upto:
            raise PromptError(f"this tokenizer joins {text.split()[index]!r} with the next word in {text!r}")
        return len(upto) - 1

    def prepare_ends(self, texts: Iterable[str | Sequence[int]], indices: Iterable[int]) -> None:
        """Read what `end_of` will read for each text and its word, all at once, which is much faster."""
        known = [(text, index, _ends(text)) for text, index in zip(texts, indices, strict=True) if isinstance(text, str)]
        self._encode.prepare(text[: ends[index]] for text, index, ends in known if 0 <= index < len(ends))

    def start_of(self, row: Sequence[int], index: int, text: str) -> int:
        """Position of the first token of that word; errors: as `end_of`."""
        return self.end_of(row, index - 1, text) + 1 if index else len(self._before)

    def decode(self, rows: Sequence[Sequence[int]], *extra: Sequence[int]) -> dict[int, str]:
        """Token id -> text for every token that occurs and can be one."""
        occurring = {t for row in (*rows, *extra) for t in row if t >= 0}
        return {t: self.tokenizer.decode([t]) for t in occurring}

    def _behind_space(self, word: str) -> list[int]:
        """A word's tokens where it follows another one."""
        other, both = self._encode("a"), self._encode(f"a {word.strip()}")
        return both[len(other) :] if both[: len(other)] == other else self._encode(word)

    def _single(self, word: str, after_space: bool) -> int | None:
        written = self._encode(word)
        other = self._encode(word[1:] if word.startswith(" ") else " " + word)
        tried = (self._behind_space(word), written) if after_space else (written, other)
        return next((ids[0] for ids in tried if self._known(ids)), None)

    def _known(self, ids: list[int]) -> bool:
        return len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id

    def _lost(self, text: str, row: list[int]) -> bool:
        """Whether something in the text is not in the vocabulary."""
        unknown = self.tokenizer.unk_token
        return unknown is not None and self.tokenizer.unk_token_id in row and unknown not in text

    def _unknown_words(self, text: str) -> list[str]:
        return [word for word in text.split() if self.tokenizer.unk_token_id in self._behind_space(word)]

    def _refuse(self, words: Iterable[tuple[str, list[int]]], hint: str = "") -> None:
        """Raise if there are any words, naming them all and the tokens that they are; the hint helps with those that are several."""
        refused = dict(words)
        pieces = {word: " | ".join(self.tokenizer.convert_ids_to_tokens(ids)) for word, ids in refused.items()}
        unknown = {word for word, ids in refused.items() if ids in ([], [self.tokenizer.unk_token_id])}
        if len(refused) > 1:
            shown = ", ".join(f"{word} ({'unknown' if word in unknown else text})" for word, text in pieces.items())
            helped = hint if len(unknown) < len(refused) else ""
            raise PromptError(f"{len(refused)} words are not single tokens for this tokenizer: {shown}; choose others{helped}")
        for word, ids in refused.items():
            if word in unknown:
                raise PromptError(f"{word!r} is not in this tokenizer's vocabulary; choose a word that is")
            raise PromptError(f"{word!r} is {len(ids)} tokens for this tokenizer ({pieces[word]}); choose a word of one token{hint}")


def _size(model: "TransformerBridge") -> int:
    return model.cfg.d_vocab if hasattr(model, "cfg") else len(model.tokenizer)


def _in_vocabulary(model: "TransformerBridge", token: int | None) -> list[int]:
    """The token, unless TransformerLens made it up for a tokenizer that has none: then it is unknown, or beyond the embedding."""
    return [] if token is None or token >= _size(model) or token == _unknown(model.tokenizer) else [int(token)]


def _unknown(tokenizer: Any) -> int | None:
    """The token of unknown words; None where it is an ordinary special token besides (GPT-2's end of text)."""
    return None if tokenizer.unk_token in (tokenizer.bos_token, tokenizer.cls_token) else tokenizer.unk_token_id


@lru_cache(maxsize=10_000)  # several positions are looked for in each text
def _ends(text: str) -> tuple[int, ...]:
    """Where each word ends, as white space parts them."""
    return tuple(word.end() for word in re.finditer(r"\S+", text))


def _starts(row: Sequence[int], ids: list[int]) -> list[int]:
    return [i for i in range(len(row) - len(ids) + 1) if list(row[i : i + len(ids)]) == ids]
