"""Prompt sets for masked models: sentences in which one word is masked, and END is where it stood."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.prompts.tokens import Reader

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
    left_out: Mapping[str, int] | None = None,
) -> PromptSet:
    """Prompts whose answer is a masked word: END is the mask, the answer what stood there, of one token as the foil.

    Args:
        model: gives the tokenizer. Words may be several tokens; a position is then that of the last.
        sentences: the sentences, all with the same names of positions.
        counterfactual, reference: aligned sentences, word for word as long; masked at the same word, with the same answer and foil.
        left_out: what was drawn and is not among them, for the record (`PromptSet.left_out`).

    Raises:
        PromptError: a tokenizer without a mask token, an answer or foil of several tokens, or words that melt into each other.
    """
    reader = Reader(model)
    mask = reader.tokenizer.mask_token
    if mask is None:
        raise PromptError("this tokenizer has no mask token, so no word can be masked; these prompts are for encoders (BERT)")
    for name, others in (("counterfactual", counterfactual), ("reference", reference)):
        if others is not None and [len(words) for words in others] != [len(row.words) for row in sentences]:
            raise PromptError(f"the {name} does not fit the sentences one for one and word for word")

    def hidden(texts: Sequence[Sequence[str]]) -> list[str]:
        return [" ".join([*words[: row.masked], mask, *words[row.masked + 1 :]]) for row, words in zip(sentences, texts, strict=True)]

    found = PromptSet.read(
        reader,
        hidden([row.words for row in sentences]),
        answers=[row.words[row.masked] for row in sentences],
        foils=[row.foil for row in sentences],
        at_words={END: [row.masked for row in sentences]}
        | {name: [row.at[name] for row in sentences] for first in sentences[:1] for name in first.at},
        templates=[row.template for row in sentences],
        counterfactual=None if counterfactual is None else hidden(counterfactual),
        reference=None if reference is None else hidden(reference),
    )
    return replace(found, left_out=dict(left_out or {}))
