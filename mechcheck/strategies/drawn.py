"""The strategies."""

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.base.text import did_you_mean
from mechcheck.notation.codes import RandomSubspace
from mechcheck.notation.graph import graph
from mechcheck.notation.site_checks import check_sites, site_count, site_width
from mechcheck.notation.sites import INDEXED, Kind, Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.ioi import ORDERS, TEMPLATES, ioi_about, ioi_kinds, ioi_partners
from mechcheck.tasks.registry import Split
from mechcheck.tasks.spelling import Spelling

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy
    from transformer_lens.model_bridge import TransformerBridge


def prompts_from(prompts: PromptSet) -> "SearchStrategy[PromptSet]":
    """Each prompt of a set by itself; the shortest is the simplest, then the first."""
    from hypothesis import strategies as st

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
    from hypothesis import strategies as st

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
    from hypothesis import strategies as st

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
    from hypothesis import strategies as st

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


def sites(
    model: "TransformerBridge", *, kinds: Sequence[str] | None = None, at: Sequence[str | None] = (None,), within: bool = False
) -> "SearchStrategy[Sites]":
    """One site that the model has, of any kind: a head, its pattern, an MLP, a stream, the embeddings, an edge.

    Args:
        model: whose sites.
        kinds: of these kinds, as `Site.kind` has them, and "edge"; by default of all that the model has.
        at: its named position, one of these; None is every position.
        within: also one-dimensional subspaces of those that have a direction to speak of, drawn at random.

    Raises:
        MechcheckError: a kind that there is not, or none that the model has.
    """
    from hypothesis import strategies as st

    known = (*get_args(Kind), "edge")
    unknown = [kind for kind in kinds or () if kind not in known]
    if unknown:
        raise MechcheckError(f"no sites of kind {unknown[0]!r}; there are {', '.join(known)}{did_you_mean(unknown[0], known)}")
    there = [kind for kind in kinds or known if _has(model, kind)]
    if not there:
        raise MechcheckError(f"the model has no sites of kind {', '.join(kinds or known)}")

    @st.composite
    def site(draw: "DrawFn") -> Sites:
        kind = draw(st.sampled_from(there))
        if kind == "edge":
            return Sites([draw(st.sampled_from(graph(model).in_order))]).at(draw(st.sampled_from(list(at))))
        layer = 0 if kind in ("embed", "pos_embed") else draw(st.integers(0, model.cfg.n_layers - 1))
        index = draw(st.integers(0, site_count(model, kind)[1] - 1)) if kind in INDEXED else None
        found = Site(kind, layer, index, draw(st.sampled_from(list(at))))
        if within and kind not in ("pattern", "neuron") and draw(st.booleans()):
            d = site_width(model, found)
            return Sites([found]).within(RandomSubspace(1, d, draw(st.integers(0, 99)), f"random 1 of {d}"))
        return Sites([found])

    return site()


def _has(model: "TransformerBridge", kind: str) -> bool:
    """Whether the model has sites of this kind."""
    try:
        if kind == "edge":
            return len(graph(model)) > 0
        check_sites(model, [Site(kind, 0, 0 if kind in INDEXED else None)])  # type: ignore[arg-type]
    except SiteError:
        return False
    return True
