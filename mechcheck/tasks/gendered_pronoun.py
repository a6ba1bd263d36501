"""Gendered pronouns in the plain English of children's stories (TinyStories, Eldan and Li 2023).

"One day, a happy girl went to the park with" -> her, not his. The gender is carried by a noun, by a name, or by both.
The counterfactual has the carrier (or carriers) of the other gender; the reference draws carriers without regard to gender.
"""

import itertools
import random
from typing import TYPE_CHECKING, Literal

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
    "discover": {"her": ("Lily", "Anna", "Lucy"), "his": ("Tim", "Tom", "Max", "Bob")},
    "verify": {"her": ("Sue", "Mia", "Amy", "Sara"), "his": ("Ben", "Sam", "Jack", "Timmy")},
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
    """
    if carrier not in ("noun", "name", "both"):
        raise PromptError(f'unknown carrier {carrier!r}; choose "noun", "name" or "both"')
    rng, reader = random.Random(f"gendered pronoun {seed} {split} {carrier}"), Reader(model)
    reader.check_decoder()
    kinds: list[tuple[str, Gender]] = list(itertools.product(TEMPLATES[split][carrier], ("her", "his")))
    rows: list[tuple[str, Gender, dict[str, str]]] = []
    for i in range(n):
        template, gender = kinds[i % len(kinds)]
        rows.append((template, gender, {slot: rng.choice(words) for slot, words in FILLERS.items()}))

    def texts(genders: list[Gender]) -> list[str]:
        return [_fill(template, gender, split, rng, fillers) for (template, _, fillers), gender in zip(rows, genders, strict=True)]

    actual: list[Gender] = [gender for _, gender, _ in rows]
    opposite: list[Gender] = ["his" if gender == "her" else "her" for gender in actual]
    either: list[Gender] = [rng.choice(("her", "his")) for _ in rows]
    templates = [template for template, _, _ in rows]
    slots = ("noun", "name") if carrier == "both" else (carrier,)
    counterfactual, reference, clean = texts(opposite), texts(either), texts(actual)  # in this order, as each draws its names
    return PromptSet.read(
        reader, clean, answers=actual, foils=opposite, counterfactual=counterfactual, reference=reference, templates=templates,
        at_words={slot.upper(): [_last_mention(template, slot) for template in templates] for slot in slots},
    )  # fmt: skip


def _fill(template: str, gender: Gender, split: Split, rng: random.Random, fillers: dict[str, str]) -> str:
    return template.format(noun=NOUNS[gender], name=rng.choice(NAMES[split][gender]), **fillers)


def _last_mention(template: str, slot: str) -> int:
    """Index of the last word that is the slot alone, without punctuation."""
    return max(i for i, word in enumerate(template.split()) if word == f"{{{slot}}}")
