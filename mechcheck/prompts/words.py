"""Words in tokens: which tokens of a prompt make up a word, whatever the tokenizer does to it, and which words are meant."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

NEGATIONS = ("not", "n't", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without")
"""English negation words (the one-word cues of Morante and Blanco 2012, *SEM); "n't" stands for every contraction with it."""

# A run of letters and digits with what an apostrophe adds to it; tokenizers may put spaces around the apostrophe ("isn ' t").
_WORD = re.compile(r"\w+(?: ?['’] ?(?:t|s|re|ve|ll|d|m)\b)?", re.IGNORECASE)
_HALF = "\N{REPLACEMENT CHARACTER}"
_ADDED = re.compile(r"'(?:s|re|ve|ll|d|m)$")


class Word(NamedTuple):
    """A word of a prompt."""

    text: str
    """Lower case, without the spaces that a tokenizer puts into contractions."""
    positions: tuple[int, ...]
    """Of its tokens."""


def words_of(model: "TransformerBridge", prompts: PromptSet) -> list[list[Word]]:
    """The words of each prompt: what its tokens say when read together. Punctuation and special tokens ([CLS], [MASK]) are no words.

    Raises:
        PromptError: the model came without a tokenizer.
    """
    tokenizer = Reader(model).tokenizer
    rows = [row[:length] for row, length in zip(prompts.tokens.tolist(), prompts.lengths.tolist(), strict=True)]
    return [_words(_pieces(tokenizer, row)) for row in rows]


def find_words(model: "TransformerBridge", prompts: PromptSet, words: Iterable[str] = NEGATIONS) -> list[list[Word]]:
    """The occurrences of some words in each prompt, whole words only, upper or lower case: "no" is not found in "know".

    Words of several tokens are found whole ("isn", "'", "t"), and a hyphen ends a word. A word with an apostrophe ("n't") is
    found at the end of others too ("isn't", "don't"), and a word with something added to it ("nothing's") is found as well.

    Args:
        model: gives the tokenizer.
        prompts: the prompts.
        words: the words, without spaces.

    Raises:
        PromptError: no words, or something that is not one word.
    """
    wanted = {word.lower().replace("’", "'") for word in ([words] if isinstance(words, str) else words)}
    odd = sorted(word for word in wanted if not re.fullmatch(r"[\w']+", word))
    if odd or not wanted:
        raise PromptError(f"{odd[0]!r} is not one word; give words one by one" if odd else "no words are given to look for")
    endings = tuple(word for word in wanted if "'" in word)

    def meant(text: str) -> bool:
        return text in wanted or _ADDED.sub("", text) in wanted or text.endswith(endings)

    return [[word for word in row if meant(word.text)] for row in words_of(model, prompts)]


def _pieces(tokenizer: Any, row: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """The text piece by piece, with its space in front where it has one, and the positions of the tokens that add it.

    A token is decoded after the one before it, as alone some lose their space and others gain a mark. Where a character is
    split over several tokens, these make up one piece.
    """
    special = set(tokenizer.all_special_ids)
    before: list[int] = []
    group: list[int] = []
    for position, token in enumerate(row):
        if token in special:
            yield " ", [position]
            before, group = [], []
            continue
        group.append(position)
        added = _decode(tokenizer, before + [row[i] for i in group]).removeprefix(_decode(tokenizer, before))
        whole = not added.endswith(_HALF) or position + 1 == len(row) or row[position + 1] in special
        if whole:
            yield added, group
            before, group = [token], []


def _decode(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False)) if tokens else ""


def _words(pieces: Iterable[tuple[str, list[int]]]) -> list[Word]:
    """The words of a text that is given piece by piece."""
    text, spans = "", []
    for piece, positions in pieces:
        bare = piece.lstrip()
        spans.append((len(text) + len(piece) - len(bare), len(text) + len(piece.rstrip()), positions))
        text += piece
    found = []
    for match in _WORD.finditer(text):
        inside = (position for start, end, positions in spans if start < match.end() and end > match.start() for position in positions)
        found.append(Word(match.group().lower().replace(" ", "").replace("’", "'"), tuple(inside)))
    return found
