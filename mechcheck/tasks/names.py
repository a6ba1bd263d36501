"""The synthetic language "names": its words, its sentence templates, and what of it is held out from training.

Shared by the training recipe (`fixtures/recipes`) and by the prompt generators, so that "held out" means the same in both.
"""

import itertools
import tomllib
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from mechcheck.base.paths import data_dir

HELD_OUT_ONE_IN = 5
_TEMPLATES = ("prefixes", "openings", "openings_held_out", "two_people", "one_person")


def _held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT_ONE_IN == 0


def held_out_pair(a: str, b: str) -> bool:
    """Whether the two people never appear together in the training data, in either order."""
    return _held_out(" ".join(sorted((a, b))))


@dataclass(frozen=True)
class Language:
    """Words and templates; a template is a tuple of words and of slots such as "{A}", "{place}", "{object}"."""

    male: tuple[str, ...]
    female: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]
    travel: tuple[str, ...]
    nouns_singular: tuple[str, ...]
    nouns_plural: tuple[str, ...]
    adjectives: tuple[tuple[str, str], ...]  # pairs of opposites
    centuries: tuple[str, ...]
    prefixes: tuple[tuple[str, ...], ...]
    openings: tuple[tuple[str, ...], ...]  # introduce {A} and {B}; seen in training
    openings_held_out: tuple[tuple[str, ...], ...]  # never seen in training
    givings: tuple[tuple[str, ...], ...]  # "{S} gave a {object} to"; seen in training
    givings_held_out: tuple[tuple[str, ...], ...]  # never seen in training
    two_people: tuple[tuple[str, ...], ...]
    one_person: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every person's name."""
        return self.male + self.female


def _giving_clauses(giving: dict) -> list[str]:
    """Every clause in which {S} gives, hands, sends ... something, up to and with the preposition."""
    plain = [
        " ".join(w for w in ("{S}", adverb, verb, determiner, "{object}", preposition) if w)
        for (verb, preposition), adverb, determiner in itertools.product(giving["verbs"], giving["adverbs"], giving["determiners"])
    ]
    intended = [
        f"{{S}} {intention} to {verb} {determiner} {{object}} to"
        for intention, verb, determiner in itertools.product(giving["intentions"], giving["infinitives"], giving["determiners"])
    ]
    return plain + intended + giving["greetings"]


@cache
def load_language() -> Language:
    """Read `fixtures/prompts/names.toml`."""
    raw = tomllib.loads((data_dir("fixtures") / "prompts" / "names.toml").read_text(encoding="utf-8"))
    clauses = _giving_clauses(raw.pop("giving"))
    adjectives = tuple((a, b) for a, b in raw.pop("adjectives"))
    templates: dict[str, Any] = {k: tuple(tuple(t.split()) for t in raw.pop(k)) for k in _TEMPLATES}
    return Language(
        **templates,
        **{k: tuple(v) for k, v in raw.items()},
        adjectives=adjectives,
        givings=tuple(tuple(c.split()) for c in clauses if not _held_out(c)),
        givings_held_out=tuple(tuple(c.split()) for c in clauses if _held_out(c)),
    )
