"""Sentences that are aligned with their counterfactual token for token, drawn until there are as many as wanted.

A word may be several tokens: to BERT "isn't" is three ("isn", "'", "t") and "is" one. Where it is swapped for a word of another
number, everything behind it stands elsewhere, and what is put in at every position goes to the wrong places. Such sentences are left
out, others are drawn in their stead, and which swaps they were and how many is told.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mechcheck.base.errors import PromptError
from mechcheck.prompts.masked import Masked, masked_prompts
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TRIES = 50
"""Draws from a template in a row that are left out, until it is taken not to fit this tokenizer."""
Template = TypeVar("Template")


class Drawn(NamedTuple):
    """A sentence with those that it is compared with, word for word as long."""

    sentence: Masked
    counterfactual: Sequence[str]
    reference: Sequence[str]


def aligned_prompts(model: "TransformerBridge", n: int, templates: Sequence[Template], draw: Callable[[Template], Drawn]) -> PromptSet:
    """`n` masked prompts that are aligned with their counterfactuals and references; `left_out` tells which draws are not among them.

    Raises:
        PromptError: as `draw_aligned` and `masked_prompts`.
    """
    found, left_out = draw_aligned(Reader(model), n, templates, draw)
    return masked_prompts(
        model,
        [drawn.sentence for drawn in found],
        counterfactual=[drawn.counterfactual for drawn in found],
        reference=[drawn.reference for drawn in found],
        left_out=left_out,
    )


def draw_aligned(
    reader: Reader, n: int, templates: Sequence[Template], draw: Callable[[Template], Drawn]
) -> tuple[list[Drawn], dict[str, int]]:
    """`n` sentences, from the templates in turn; and the swaps for which draws were left out, with their number.

    Where every word is one token, these are the first `n` draws.

    Raises:
        PromptError: no template is left; or answers that are no single tokens, all of which are named, where that is so besides.
    """
    usable, found, left_out, answers = list(templates), list[Drawn](), Counter[str](), dict[str, None]()
    while len(found) < n:
        if not usable:
            reader.singles(list(answers), after_space=True)
            raise PromptError(
                f"no sentence can be aligned with its counterfactual for this tokenizer, which splits the words that are swapped "
                f"({'; '.join(left_out)}): the model cannot be asked in this way"
            )
        template = usable[len(found) % len(usable)]
        for _ in range(TRIES):
            drawn = draw(template)
            uneven = uneven_swap(reader, drawn.sentence.words, drawn.counterfactual) or uneven_swap(
                reader, drawn.sentence.words, drawn.reference
            )
            if uneven is None:
                found.append(drawn)
                break
            left_out[uneven] += 1
            answers |= dict.fromkeys((drawn.sentence.words[drawn.sentence.masked], drawn.sentence.foil))
        else:
            usable.remove(template)
    return found, dict(left_out)


def uneven_swap(reader: Reader, words: Sequence[str], other: Sequence[str]) -> str | None:
    """The first word that has another number of tokens than the one in its place, with both; None where all have the same."""
    for i, (one, two) in enumerate(zip(words, other, strict=True)):
        here, there = (len(reader.pieces(word, first=i == 0)) for word in (one, two))
        if here != there:
            return f"{one!r} ({here} token{'s' * (here != 1)}) for {two!r} ({there})"
    return None
