"""Indirect object identification (Wang et al. 2022) in the synthetic language "names".

"Mary and John went to the store . John gave a drink to" -> Mary. The indirect object IO is the answer, the repeated
subject S the foil. ABBA prompts name IO first, BABA prompts S first. The counterfactual puts IO in the place of the
second subject (S2-flipped: the answer becomes S); the reference names three other people (ABC: nothing to infer).
"""

import itertools
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.names import Language, held_out_pair
from mechcheck.tasks.registry import Split, task
from mechcheck.tasks.spelling import Spelling

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

ORDERS = ("ABBA", "BABA")
TEMPLATES = 24
ENOUGH = 5
"""People in a prompt and its reference together."""
IoiKind = tuple[tuple[str, ...], str]
"""A sentence with slots, and the order in which it names the two people."""


class _Filled(NamedTuple):
    words: list[str]
    io: int
    s1: int
    s2: int


@task("ioi")
def ioi_prompts(
    model: "TransformerBridge",
    *,
    n: int,
    seed: int,
    split: Split = "verify",
    orders: Sequence[str] = ORDERS,
    templates: int = TEMPLATES,
    shared_with: Sequence["TransformerBridge"] = (),
    split_names: bool = False,
) -> PromptSet:
    """IOI prompts with named positions IO, S1, S2 and END.

    Args:
        model: gives the tokenizer, for which every word must be one token; a few of the language that are not, as most tokenizers
            split some, are left out (see `Spelling`), unless they are names and `split_names` is chosen.
        n: number of prompts, spread evenly over the templates and orders.
        seed: names, places and objects are drawn with it; the templates do not depend on it.
        split: "verify" uses sentences and pairs of people that were held out from training; "discover" uses training
            sentences and the other half of the held-out pairs.
        orders: "ABBA" (IO first), "BABA" (S first).
        templates: how many sentences; each order of a sentence is a template of its own.
        shared_with: models that are given the same prompts, from a call with this model in its turn: what they split is left
            out as well.
        split_names: keep the names that are several tokens. The people of a prompt and of its reference are then as many tokens as
            each other, so that all three stay aligned; IO, S1 and S2 are spans, and answers and foils several tokens (measure
            `log_odds`), where any name is split. Where none is, the prompts are those without this option.

    Raises:
        PromptError: an unknown order, words that are no single tokens; names of which no five are as many tokens.
    """
    spelling, rng = Spelling(model, *shared_with, split_names=split_names), random.Random(f"ioi {seed} {split}")
    language, kinds = spelling.language, ioi_kinds(spelling, split, orders, templates)
    people = _alike(spelling, split) if split_names else _People(language.names, dict.fromkeys(language.names, ()), {})
    drawn = []
    for i in range(n):
        pair = _pair(people, rng, split)
        filled = _fill(language, rng.choice, *kinds[i % len(kinds)], pair)
        drawn.append((filled, rng.sample([name for name in people.like(pair[0]) if name not in pair], 3)))
    made = _together(model, drawn, [kinds[i % len(kinds)] for i in range(n)], people.names if split_names else ())
    return replace(made, left_out=people.left_out)


def ioi_kinds(spelling: Spelling, split: Split, orders: Sequence[str] = ORDERS, templates: int = TEMPLATES) -> list[IoiKind]:
    """Sentences, each in every order: the templates of the task.

    Raises:
        PromptError: an order that there is none of.
    """
    unknown = set(orders) - set(ORDERS)
    if unknown or not orders:
        raise PromptError(f"unknown order {', '.join(sorted(unknown)) or '(none)'}; choose from {', '.join(ORDERS)}")
    return list(itertools.product(_sentences(spelling, split, templates), orders))


def ioi_about(
    model: "TransformerBridge", language: Language, kinds: Sequence[IoiKind], io: str, s: str, choose: Callable[[Sequence[str]], str]
) -> PromptSet:
    """A prompt of each kind about two people, otherwise as those of `ioi_prompts`; `choose` picks each place, object, ...

    The references name the first three other people.
    """
    others = [name for name in language.names if name not in (io, s)][:3]
    people = {"ABBA": (io, s), "BABA": (s, io)}
    return _together(model, [(_fill(language, choose, *kind, people[kind[1]]), others) for kind in kinds], kinds)


def _together(
    model: "TransformerBridge", drawn: Sequence[tuple[_Filled, Sequence[str]]], kinds: Sequence[IoiKind], may_split: Sequence[str] = ()
) -> PromptSet:
    """Prompts with their counterfactuals, and with references that name three other people each; some names may be several tokens."""
    reader, clean = Reader(model), [filled for filled, _ in drawn]
    flipped = [_with_names(filled, s2=filled.words[filled.io]) for filled in clean]
    other = [_with_names(filled, io=x, s1=y, s2=z) for filled, (x, y, z) in drawn]
    rows = [filled.words for filled in clean], flipped, other
    reader.check_words(itertools.chain(*rows), but=may_split)
    split = [name for name in may_split if not (reader.knows(name) and reader.knows(name, first=True))]
    reader.check_decoder()
    texts, counterfactual, reference = (list(map(" ".join, some)) for some in rows)
    return PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference,
        answers=[filled.words[filled.io] for filled in clean],
        foils=[filled.words[filled.s1] for filled in clean],
        at_words={role.upper(): [getattr(filled, role) for filled in clean] for role in ("io", "s1", "s2")},
        several_tokens=bool(split), whole=("IO", "S1", "S2") if split else (),
        templates=[f"{order}: {' '.join(sentence)}" for sentence, order in kinds],
    )  # fmt: skip


def _sentences(spelling: Spelling, split: Split, count: int) -> list[tuple[str, ...]]:
    """A fixed choice of whole sentences, spread over openings and givings by a hash of their text."""
    language = spelling.language
    if split == "verify":
        pairs = itertools.product(language.prefixes, language.openings_held_out, language.givings_held_out)
    else:
        pairs = itertools.product(language.prefixes, language.openings, language.givings)
    whole = spelling.sentences([tuple(itertools.chain(*parts)) for parts in pairs])
    return sorted(whole, key=lambda words: zlib.crc32(" ".join(words).encode()))[:count]


class _People(NamedTuple):
    """Who may stand in a prompt."""

    names: tuple[str, ...]
    sizes: Mapping[str, tuple[int, ...]]
    """How many tokens each is, where that matters."""
    left_out: Mapping[str, int]
    """Why others may not."""

    def like(self, name: str) -> list[str]:
        """Those that are as many tokens."""
        return [other for other in self.names if self.sizes[other] == self.sizes[name]]


def _alike(spelling: Spelling, split: Split) -> _People:
    """The names of which at least five are as many tokens as each other, two of them of the split.

    Raises:
        PromptError: none are.
    """
    names = spelling.language.names
    sizes = {name: spelling.size(name) for name in names}
    groups = [[name for name in names if sizes[name] == size] for size in dict.fromkeys(sizes.values())]
    usable = {name for some in groups if len(some) >= ENOUGH and ioi_partners(some, split) for name in some}
    if not usable:
        raise PromptError(
            f"IOI prompts need {ENOUGH} names that are as many tokens as each other, and a pair among them that was held out; the most "
            f"for this tokenizer are {max(map(len, groups))}"
        )
    left_out = {f"{name!r} ({sizes[name][0]} tokens): too few names are as many": 1 for name in names if name not in usable}
    return _People(tuple(name for name in names if name in usable), sizes, left_out)


def _pair(people: _People, rng: random.Random, split: Split) -> tuple[str, str]:
    """Two people who never met in training, from the split's half of such pairs, of as many tokens as each other."""
    while True:
        a, b = rng.sample(people.names, 2)
        if _of_split(a, b, split) and people.sizes[a] == people.sizes[b]:
            return a, b


def ioi_partners(names: Sequence[str], split: Split) -> dict[str, list[str]]:
    """Who may stand with whom: the split's half of the pairs that were held out from training, in the order of the names."""
    found = {a: [b for b in names if b != a and _of_split(a, b, split)] for a in names}
    return {name: others for name, others in found.items() if others}


def _of_split(a: str, b: str, split: Split) -> bool:
    half = zlib.crc32(" and ".join(sorted((a, b))).encode()) % 2
    return held_out_pair(a, b) and half == (split == "verify")


def _fill(
    language: Language, choose: Callable[[Sequence[str]], str], sentence: Sequence[str], order: str, people: tuple[str, str]
) -> _Filled:
    a, b = people
    io, s = (a, b) if order == "ABBA" else (b, a)
    words: list[str] = []
    at: dict[str, int] = {}
    for slot in sentence:
        if slot in ("{A}", "{B}", "{S}"):
            at[slot] = len(words)
        words.append({"{A}": a, "{B}": b, "{S}": s}.get(slot) or _filler(language, choose, slot))
    first, second = at["{A}"], at["{B}"]
    return _Filled(words, *((first, second) if io == a else (second, first)), at["{S}"])


def _filler(language: Language, choose: Callable[[Sequence[str]], str], slot: str) -> str:
    choices = {
        "{place}": language.places,
        "{object}": language.objects,
        "{travel}": language.travel,
        "{adjective}": tuple(itertools.chain(*language.adjectives)),
    }
    return choose(choices[slot]) if slot in choices else slot


def _with_names(filled: _Filled, **names: str) -> list[str]:
    words = list(filled.words)
    for role, name in names.items():
        words[getattr(filled, role)] = name
    return words
