"""Gendered pronouns in the plain English of children's stories (TinyStories, Eldan and Li 2023).

"One day, a happy girl went to the park with" -> her, not his. The gender is carried by a noun, by a name, or by both.
The counterfactual has the carrier (or carriers) of the other gender; the reference draws carriers without regard to gender.
"""

import itertools
import random
from typing import TYPE_CHECKING, Literal

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet, Reader
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
    kinds: list[tuple[str, Gender]] = list(itertools.product(TEMPLATES[split][carrier], ("her", "his")))
    rows: list[tuple[str, Gender, dict[str, str]]] = []
    for i in range(n):
        template, gender = kinds[i % len(kinds)]
        rows.append((template, gender, {slot: rng.choice(words) for slot, words in FILLERS.items()}))

    def build(genders: list[Gender], **others: PromptSet) -> PromptSet:
        filled = [_fill(template, gender, split, rng, fillers) for (template, _, fillers), gender in zip(rows, genders, strict=True)]
        return _prompt_set(reader, filled, [gender for _, gender, _ in rows], [template for template, _, _ in rows], **others)

    actual: list[Gender] = [gender for _, gender, _ in rows]
    opposite: list[Gender] = ["his" if gender == "her" else "her" for gender in actual]
    either: list[Gender] = [rng.choice(("her", "his")) for _ in rows]
    return build(actual, counterfactual=build(opposite), reference=build(either))


def _fill(template: str, gender: Gender, split: Split, rng: random.Random, fillers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The text, and for each carrier the text up to the end of its last mention."""
    carriers = {"noun": NOUNS[gender], "name": rng.choice(NAMES[split][gender])}
    ends = {
        slot.upper(): template[: template.rindex(f"{{{slot}}}") + len(slot) + 2].format(**carriers, **fillers)
        for slot in carriers
        if f"{{{slot}}}" in template
    }
    return template.format(**carriers, **fillers), ends


def _prompt_set(
    reader: Reader, filled: list[tuple[str, dict[str, str]]], answers: list[Gender], templates: list[str], **others: PromptSet
) -> PromptSet:
    tokens = reader.rows([text for text, _ in filled])
    positions: dict[str, list[int]] = {name: [] for name in filled[0][1]}
    for (text, ends), row in zip(filled, tokens, strict=True):
        for name, upto in ends.items():
            prefix = reader.tokens(upto)
            if row[: len(prefix)] != prefix:
                raise PromptError(f"this tokenizer joins the carrier with the next word in {text!r}")
            positions[name].append(len(prefix) - 1)
    answer_ids = reader.singles(answers, after_space=True)
    foil_ids = reader.singles(["his" if word == "her" else "her" for word in answers], after_space=True)
    return PromptSet.from_tokens(
        tokens, answers=answer_ids, foils=foil_ids, positions=positions, templates=templates, pad=reader.pad,
        decode=reader.decode(tokens, answer_ids, foil_ids), policy=reader.policy, **others,
    )  # fmt: skip
