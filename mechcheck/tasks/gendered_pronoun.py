"""Gendered pronouns in the plain English of children's stories (TinyStories, Eldan and Li 2023).

"One day, a happy girl went to the park with" -> her, not his. The gender is carried by a noun, by a name, or by both: three forms of the
task, by which a head's part in it may differ. The counterfactual has the carrier (or carriers) of the other gender; the reference
draws carriers without regard to gender. Carriers that stand for each other are the same number of tokens: otherwise a prompt's length
would tell its gender, to the model by where things stand, and to a mean over prompts of that length.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Carrier = Literal["noun", "name", "both"]
Gender = Literal["her", "his"]

NOUNS: dict[Gender, str] = {"her": "girl", "his": "boy"}
NAMES: dict[str, dict[Gender, tuple[str, ...]]] = {
    "discover": {"her": ("Lily", "Anna", "Lucy", "Mary", "Sally"), "his": ("Tim", "Tom", "Max", "Bob", "Joe")},
    "verify": {"her": ("Sue", "Mia", "Amy", "Sara", "Ella"), "his": ("Ben", "Sam", "Jack", "Timmy", "Tommy", "Mark", "Leo")},
}
TEMPLATES: dict[str, dict[Carrier, tuple[str, ...]]] = {
    "discover": {
        "noun": (
            "One day, a {adjective} {noun} went to the {place} with",
            "A {adjective} {noun} was playing in the {place} with",
            "One day, a {noun} wanted to share the {toy} with",
            "There was a {adjective} {noun} who lived with",
            "The {adjective} {noun} liked to play with",
            "Once there was a {adjective} {noun} who loved",
        ),
        "name": (
            "One day, {name} went to the {place} with",
            "{name} was playing in the {place} with",
            "One day, {name} wanted to share the {toy} with",
            "{name} liked to play with",
        ),
        "both": (
            "Once upon a time, there was a {adjective} {noun} named {name}. {name} loved to play with",
            "There was a {adjective} {noun} named {name}. One day, {name} went to the {place} with",
            "Once there was a {noun} called {name}. {name} wanted to share the {toy} with",
            "A {adjective} {noun} named {name} was in the {place}. {name} was playing with",
            "One day, a {noun} named {name} went to the {place} with",
            "The {adjective} {noun} was called {name}. {name} lived with",
        ),
    },
    "verify": {
        "noun": (
            "One morning, a {adjective} {noun} walked to the {place} with",
            "A {adjective} {noun} was very happy to play with",
            "Every day, the {adjective} {noun} played with",
            "A {adjective} {noun} sat in the {place} with",
            "One sunny day, a {noun} took the {toy} to the {place} with",
            "The {adjective} {noun} ran to the {place} with",
        ),
        "name": (
            "One morning, {name} walked to the {place} with",
            "{name} was very happy to play with",
            "Every day, {name} played with",
            "{name} sat in the {place} with",
        ),
        "both": (
            "Once there was a {adjective} {noun} named {name}. {name} liked to run with",
            "A {adjective} {noun} named {name} lived in a house. Every day, {name} played with",
            "One morning, a {adjective} {noun} named {name} walked to the {place} with",
            "There once was a {noun} called {name}. {name} sat in the {place} with",
            "A {noun} named {name} had a {toy}. {name} was very happy to play with",
            "One sunny day, a {adjective} {noun} named {name} took the {toy} to the {place} with",
        ),
    },
}
FILLERS = {
    "adjective": ("little", "happy", "small", "sad", "good", "kind", "young"),
    "place": ("park", "beach", "shop", "garden", "forest", "house", "lake"),
    "toy": ("ball", "doll", "car", "book", "cake", "toy"),
}


@task("gendered_pronoun")
def gendered_pronoun_prompts(
    model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", carrier: Carrier = "noun"
) -> PromptSet:
    """Prompts whose next word is "her" (answer, foil "his") or the reverse, half of each.

    Positions: NOUN and NAME (the last token of the last mention), as far as the carrier has them, and END. The splits share
    neither templates nor names.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates.
        seed: names and fillers are drawn with it; the templates do not depend on it.
        split: which templates and names.
        carrier: what tells the gender: "noun" ("a happy girl", nobody is named), "name" ("Sue", no noun), or "both" ("a happy girl named
            Sue"). A template has the slots {noun} and {name}, by which the forms are told apart in what is measured. Names that none of
            the other gender has as many tokens as are left out, which `left_out` of the prompts tells.

    Raises:
        PromptError: another carrier; an encoder; nouns, or all names, that the genders have not in the same number of tokens.
    """
    if carrier not in ("noun", "name", "both"):
        raise PromptError(f'unknown carrier {carrier!r}; choose "noun", "name" or "both"')
    rng, reader = random.Random(f"gendered pronoun {seed} {split} {carrier}"), Reader(model)
    reader.check_decoder()
    slots = ("noun", "name") if carrier == "both" else (carrier,)
    names = _names(reader, split) if "name" in slots else _Names(NAMES[split], {})
    if "noun" in slots:
        _check_nouns(reader)
    kinds: list[tuple[str, Gender]] = list(itertools.product(TEMPLATES[split][carrier], ("her", "his")))
    rows: list[tuple[str, Gender, dict[str, str]]] = []
    for i in range(n):
        template, gender = kinds[i % len(kinds)]
        rows.append((template, gender, {slot: rng.choice(words) for slot, words in FILLERS.items()}))

    def texts(genders: list[Gender], people: list[str]) -> list[str]:
        given = zip(rows, genders, people, strict=True)
        return [template.format(noun=NOUNS[gender], name=name, **fillers) for (template, _, fillers), gender, name in given]

    actual: list[Gender] = [gender for _, gender, _ in rows]
    opposite: list[Gender] = ["his" if gender == "her" else "her" for gender in actual]
    either: list[Gender] = [rng.choice(("her", "his")) for _ in rows]
    templates = [template for template, _, _ in rows]
    people = [rng.choice(names.known[gender]) for gender in actual]
    counterfactual, reference = (
        texts(genders, [rng.choice(names.like(name, gender)) for name, gender in zip(people, genders, strict=True)])
        for genders in (opposite, either)
    )
    found = PromptSet.read(
        reader, texts(actual, people), answers=actual, foils=opposite,
        templates=templates, counterfactual=counterfactual, reference=reference,
        at_words={slot.upper(): [_last_mention(template, slot) for template in templates] for slot in slots},
    )  # fmt: skip
    return replace(found, left_out=names.left_out)


class _Names(NamedTuple):
    """The names that a tokenizer has in the same number of tokens for both genders."""

    known: Mapping[Gender, Sequence[str]]
    sizes: Mapping[str, tuple[int, int]]
    """Tokens of each name behind a space, and at the beginning of a text."""

    def like(self, name: str, gender: Gender) -> list[str]:
        """The names of a gender that are as many tokens as this one."""
        return [other for other in self.known[gender] if self.sizes.get(other) == self.sizes.get(name)]

    @property
    def left_out(self) -> dict[str, int]:
        """The others, each with its tokens."""
        used = {name for some in self.known.values() for name in some}
        others = {name: size for name, (size, _) in self.sizes.items() if name not in used}
        return {f"{name!r} ({size} token{'s' * (size != 1)}): no name of the other gender": 1 for name, size in others.items()}


def _names(reader: Reader, split: Split) -> _Names:
    whole = NAMES[split]
    sizes = {name: _size(reader, name) for some in whole.values() for name in some}
    shared = {sizes[name] for name in whole["her"]} & {sizes[name] for name in whole["his"]}
    if not shared:
        _check_answers(reader)
        shown = ", ".join(f"{name} ({size})" for name, (size, _) in sizes.items())
        raise PromptError(
            f"no two names of different genders are the same number of tokens for this tokenizer: {shown}. A prompt's length would tell "
            'its gender; use carrier="noun"'
        )
    return _Names({gender: [name for name in some if sizes[name] in shared] for gender, some in whole.items()}, sizes)


def _check_nouns(reader: Reader) -> None:
    (one, here), (other, there) = ((noun, _size(reader, noun)) for noun in NOUNS.values())
    if here != there:
        _check_answers(reader)
        raise PromptError(
            f"{one!r} is {here[0]} and {other!r} {there[0]} tokens for this tokenizer, so that a prompt's length would tell its gender; "
            'use carrier="name"'
        )


def _check_answers(reader: Reader) -> None:
    """Whoever lacks the answers has no use for other carriers."""
    reader.singles(list(NOUNS), after_space=True)


def _size(reader: Reader, word: str) -> tuple[int, int]:
    """Tokens behind a space, and at the beginning of a text."""
    return len(reader.pieces(word)), len(reader.pieces(word, first=True))


def _last_mention(template: str, slot: str) -> int:
    """Index of the last word that is the slot alone, without punctuation."""
    return max(i for i, word in enumerate(template.split()) if word == f"{{{slot}}}")
