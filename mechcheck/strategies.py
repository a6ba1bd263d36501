"""Hypothesis strategies over prompts, for `check.for_all`. Each shrinks to what is simplest: the shortest sentence, the first words."""

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.ioi import ORDERS, TEMPLATES, ioi_about, ioi_kinds, ioi_partners
from mechcheck.tasks.registry import Split
from mechcheck.tasks.spelling import Spelling

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["ioi_in_every_sentence", "ioi_people", "ioi_sentences", "prompts_from", "sentences"]


def prompts_from(prompts: PromptSet) -> "SearchStrategy[PromptSet]":
    """Each prompt of a set by itself; the shortest is the simplest, then the first."""
    rows = sorted(range(len(prompts)), key=lambda row: int(prompts.lengths[row]))
    return st.sampled_from(rows).map(lambda row: prompts[[row]])


def sentences(
    model: "TransformerBridge",
    templates: Sequence[str] | str,
    *,
    answer: str,
    foil: str,
    words: Mapping[str, Sequence[str]],
) -> "SearchStrategy[PromptSet]":
    """Sentences with slots, each filled with one of its words, no word twice: "When {A} and {B} went to the {place} , {B} gave a ring to".

    Args:
        model: gives the tokenizer.
        templates: sentences, the simplest first; each is a template of its own.
        answer, foil: the slots whose words are compared as the next token, for example "A" and "B".
        words: slot -> its words, the simplest first.

    Raises:
        PromptError: a slot without words, or an answer or foil that is no slot. A word of several tokens is told when it is drawn.
    """
    texts = [templates] if isinstance(templates, str) else list(templates)
    slots = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    empty = sorted(name for name in slots | {answer, foil} if not words.get(name))
    if empty or not texts:
        raise PromptError(f"no words are given for the slot {{{empty[0]}}}" if empty else "no sentences are given")

    def fill(text: str, chosen: Mapping[str, str]) -> PromptSet:
        return PromptSet.from_text(
            model, [text.format_map(chosen)], answers=[chosen[answer]], foils=[chosen[foil]], templates=[text], after_space=True
        )

    used = sorted(slots | {answer, foil})
    chosen = st.fixed_dictionaries({name: st.sampled_from(list(words[name])) for name in used})
    return st.builds(fill, st.sampled_from(texts), chosen.filter(lambda found: len(set(found.values())) == len(found)))


def ioi_people(model: "TransformerBridge", split: Split | None = None) -> "SearchStrategy[tuple[str, str]]":
    """Two different people of the language "names": who is given something, and who gives (IO, S).

    Args:
        model: gives the tokenizer; names that it splits are left out.
        split: pairs that were held out from training, of this half; every pair by default.
    """
    names = Spelling(model).language.names
    if split is None:
        return st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda pair: pair[0] != pair[1])
    partners = ioi_partners(names, split)
    return st.sampled_from(sorted(partners, key=names.index)).flatmap(
        lambda first: st.sampled_from(partners[first]).map(lambda second: (first, second))
    )


def ioi_sentences(
    model: "TransformerBridge",
    *,
    people: "SearchStrategy[tuple[str, str]] | None" = None,
    split: Split = "verify",
    orders: Sequence[str] = ORDERS,
    templates: int = TEMPLATES,
) -> "SearchStrategy[PromptSet]":
    """One IOI prompt with everything that `ioi_prompts` gives: any of its sentences, people, places, objects.

    Args:
        model: gives the tokenizer.
        people: who they are (IO, S); by default pairs of the split, see `ioi_people`.
        split: "verify" uses sentences that were held out from training, "discover" training sentences.
        orders, templates: as for `ioi_prompts`.
    """
    spelling = Spelling(model)
    kinds = sorted(ioi_kinds(spelling, split, orders, templates), key=lambda kind: len(kind[0]))
    pairs = ioi_people(model, split) if people is None else people

    @st.composite
    def sentence(draw: "DrawFn") -> PromptSet:
        kind, (io, s) = draw(st.sampled_from(kinds)), draw(pairs)
        return ioi_about(model, spelling.language, [kind], io, s, lambda words: draw(st.sampled_from(words)))

    return sentence()


def ioi_in_every_sentence(
    model: "TransformerBridge",
    *,
    people: "SearchStrategy[tuple[str, str]] | None" = None,
    split: Split = "verify",
    orders: Sequence[str] = ORDERS,
    templates: int = TEMPLATES,
) -> "SearchStrategy[PromptSet]":
    """A pair of people in each sentence and order of `ioi_prompts`, with the first place, object, ... of the language: 48 prompts.

    They are run together, so that many more prompts are tried in the same time than by `ioi_sentences`. Arguments as there.
    """
    spelling = Spelling(model)
    kinds = sorted(ioi_kinds(spelling, split, orders, templates), key=lambda kind: len(kind[0]))
    pairs = ioi_people(model, split) if people is None else people
    return pairs.map(lambda pair: ioi_about(model, spelling.language, kinds, *pair, lambda words: words[0]))
