"""Prompt sets for masked models: sentences in which one word is masked, and END is where it stood."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import END, PromptSet, Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Masked(NamedTuple):
    """A sentence with a word to be masked."""

    words: Sequence[str]
    masked: int
    """Index of the word that is masked."""
    foil: str
    """What it is compared with."""
    at: Mapping[str, int]
    """Position's name -> index of the word that stands there."""
    template: str


def masked_prompts(
    model: "TransformerBridge",
    sentences: Sequence[Masked],
    *,
    counterfactual: Sequence[Sequence[str]] | None = None,
    reference: Sequence[Sequence[str]] | None = None,
) -> PromptSet:
    """Prompts whose answer is a masked word: END is the mask, the answer what stood there, of one token as the foil.

    Args:
        model: gives the tokenizer. Words may be several tokens; a position is then that of the last.
        sentences: the sentences, all with the same names of positions.
        counterfactual, reference: aligned sentences, word for word as long; masked at the same word, with the same answer and foil.

    Raises:
        PromptError: a tokenizer without a mask token, an answer or foil of several tokens, or words that melt into each other.
    """
    reader = Reader(model)
    mask = reader.tokenizer.mask_token
    if mask is None:
        raise PromptError("this tokenizer has no mask token, so no word can be masked; these prompts are for encoders (BERT)")
    both = reader.singles([row.words[row.masked] for row in sentences] + [row.foil for row in sentences], after_space=True)
    answers, foils = both[: len(sentences)], both[len(sentences) :]

    def build(texts: Sequence[Sequence[str]], **others: PromptSet | None) -> PromptSet:
        hidden = [[mask if i == row.masked else word for i, word in enumerate(words)] for row, words in zip(sentences, texts, strict=True)]
        tokens = reader.rows([" ".join(words) for words in hidden])
        index = {END: [row.masked for row in sentences]} | {name: [row.at[name] for row in sentences] for name in sentences[0].at}
        return PromptSet.from_tokens(
            tokens, answers=answers, foils=foils, templates=[row.template for row in sentences],
            positions={name: [_last_token(reader, *one) for one in zip(tokens, hidden, at, strict=True)] for name, at in index.items()},
            pad=reader.pad, decode=reader.decode(tokens, answers, foils), policy=reader.policy, **others,
        )  # fmt: skip

    aligned = {"counterfactual": counterfactual, "reference": reference}
    for name, texts in aligned.items():
        if texts is not None and [len(words) for words in texts] != [len(row.words) for row in sentences]:
            raise PromptError(f"the {name} does not fit the sentences one for one and word for word")
    reader.rows([" ".join(words) for texts in ([row.words for row in sentences], *aligned.values()) for words in texts or ()])
    made = {name: None if texts is None else build(texts) for name, texts in aligned.items()}
    return build([row.words for row in sentences], **made)


def _last_token(reader: Reader, row: list[int], words: Sequence[str], index: int) -> int:
    """Position of the last token of a word."""
    around = reader.tokens("")  # what the tokenizer puts around a text: one token in front at most, the rest behind
    upto = reader.tokens(" ".join(words[: index + 1]))
    upto = upto[: len(upto) - len(around[1:])]
    if row[: len(upto)] != upto:
        raise PromptError(f"this tokenizer joins {words[index]!r} with the next word in {' '.join(words)!r}")
    return len(upto) - 1
