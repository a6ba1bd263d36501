"""The synthetic language "sentences": its words and templates, what of it is held out from training, and its aligned pairs.

Shared by the training recipe (`fixtures/recipes`) and by the prompt generators, so that "held out" means the same in both. Every
sentence is drawn as one of an aligned pair: the two differ in one word and in the answer, and in nothing else.
"""

import random
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mechcheck.base.paths import data_dir

LANGUAGE = tomllib.loads((data_dir("fixtures") / "prompts" / "sentences.toml").read_text(encoding="utf-8"))
OBJECTS, OPPOSITES, SWITCHES = LANGUAGE["objects"], LANGUAGE["adjectives"], LANGUAGE["switches"]
AGREEMENT, REFLEXIVE = LANGUAGE["agreement"], LANGUAGE["reflexive"]

Template = list[str]
"""Words, and slots such as "{object}", "{not}", "{said}", "{answer}"."""


class Pair(NamedTuple):
    """Two aligned sentences that differ in one word and in the answer."""

    words: list[str]  # with the answer in its place
    other: list[str]
    answer: int  # index of the answer
    changed: int  # index of the word that differs
    turning: tuple[int, ...]  # indices of the words in `words` that turn the statement asked about


class Said(NamedTuple):
    """What a statement is about: an object, the pair of opposites of which one is said of it, and the same of another object."""

    thing: str
    opposites: list[str]
    other: str
    others: list[str]


def held_out(*words: str) -> bool:
    """Whether the combination never occurs in training."""
    return zlib.crc32(" ".join(words).encode()) % LANGUAGE["held_out_one_in"] == 0


def held_out_thing(thing: str, opposites: Sequence[str]) -> bool:
    """Whether the object never has either adjective in training."""
    return held_out(thing, *opposites)


def templates(kind: str) -> list[Template]:
    """The templates of statements of a kind: "one_switch", "two_switches", "two_objects"."""
    return [text.split() for text in LANGUAGE["templates"][kind]]


def switches(template: Template) -> list[str]:
    """The template's slots whose word may turn the statement asked about."""
    return [word for word in template if word[1:-1] in SWITCHES]


def draw_said(rng: random.Random, wanted: bool) -> Said:
    """Two objects with opposites; the first is, or is not, held out, and the second may not be combined with anything that is."""
    while True:
        (thing, opposites), (other, others) = _thing(rng, wanted), _thing(rng, False)
        crossed = held_out_thing(thing, others) or held_out_thing(other, opposites)
        if thing != other and opposites != others and not crossed:
            return Said(thing, opposites, other, others)


def _thing(rng: random.Random, wanted: bool) -> tuple[str, list[str]]:
    """An object and a pair of opposites that are, or are not, held out."""
    while True:
        thing, opposites = rng.choice(OBJECTS), rng.choice(OPPOSITES)
        if held_out_thing(thing, opposites) == wanted:
            return thing, opposites


def statement(rng: random.Random, template: Template, said: Said, turns: set[str], exchanged: str) -> Pair:
    """A statement in which the words of the slots `turns` turn it, and what therefore holds; in the other sentence `exchanged` differs.

    The word in the slot `exchanged` becomes one that does the reverse, so that the answer becomes the opposite.
    """
    which = rng.randrange(2)
    slots = {"{object}": said.thing, "{object2}": said.other, "{said}": said.opposites[which], "{said2}": rng.choice(said.others)}
    slots["{not2}"] = rng.choice(rng.choice(SWITCHES["not"]))
    for slot in switches(template):
        slots[slot] = rng.choice(SWITCHES[slot[1:-1]][slot not in turns])
    first = slots | {"{answer}": said.opposites[(which + len(turns)) % 2]}
    replaced = rng.choice(SWITCHES[exchanged[1:-1]][exchanged in turns])
    second = slots | {"{answer}": said.opposites[(which + len(turns) + 1) % 2], exchanged: replaced}
    words, other = (_filled(template, form) for form in (first, second))
    return Pair(words, other, template.index("{answer}"), template.index(exchanged), tuple(sorted(map(template.index, turns))))


def verification_half(*words: str) -> bool:
    """Which half a held-out combination belongs to: the one that claims are verified on, or the one that circuits are found on."""
    return zlib.crc32(" and ".join(words).encode()) % 2 == 0


def draw_nouns(rng: random.Random, groups: list[list[str]], wanted: bool) -> tuple[list[str], list[str]]:
    """Forms of a subject and of another noun, of which the combination is, or is not, held out."""
    while True:
        subject, distractor = rng.sample(groups, 2)
        if held_out(subject[0], distractor[0]) == wanted:
            return subject, distractor


def agreeing(rng: random.Random, template: Template, subjects: Sequence[str], distractor: str, answers: Sequence[str]) -> Pair:
    """The template with the first or the second of two subjects, each with its own answer; the distractor is the same in both."""
    slots = {"{distractor}": distractor, "{distance}": rng.choice(AGREEMENT["distances"])}
    slots |= {"{adjective}": rng.choice(AGREEMENT["adjectives"]), "{verb}": rng.choice(REFLEXIVE["verbs"])}
    drawn = rng.randrange(2)
    words, other = (_filled(template, slots | {"{subject}": subjects[i], "{answer}": answers[i]}) for i in (drawn, 1 - drawn))
    return Pair(words, other, template.index("{answer}"), template.index("{subject}"), ())


def _filled(template: Template, slots: Mapping[str, str]) -> list[str]:
    return [slots.get(word, word) for word in template]
