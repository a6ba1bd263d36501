"""Retrieval (Wu et al. 2024, arXiv:2404.15574): a text says once what somebody keeps, and is asked for it at its end.

"... Helen keeps seven green candles, three wooden barrels and one silver spoon behind the mill. ... Answer: Helen keeps" -> the words
that follow her name in the text, from the first to the last. The foil is another such list, which the counterfactual has in the place of
the answer; the reference has a third one.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

PEOPLE = ("Helen", "Peter", "Laura", "Simon", "Alice", "Martin", "Julia", "Robert", "Emma", "Thomas", "Clara", "Daniel")
KEPT = "{first} {colour} {thing}, {second} {material} {vessel} and one {metal} {tool} {beside} the {place}"
WORDS: Mapping[str, tuple[str, ...]] = {
    "first": ("seven", "nine", "eight", "twelve", "eleven", "thirty", "forty", "fifty"),
    "colour": ("green", "red", "blue", "yellow", "white", "black", "purple", "brown"),
    "thing": ("candles", "books", "apples", "chairs", "lamps", "coats", "boots", "bells"),
    "second": ("three", "two", "four", "five", "six", "ten", "twenty", "sixty"),
    "material": ("wooden", "stone", "paper", "leather", "cotton", "glass", "rubber", "plastic"),
    "vessel": ("barrels", "boxes", "bags", "bottles", "baskets", "pots", "cups", "bowls"),
    "metal": ("silver", "golden", "iron", "copper", "steel", "brass", "tin", "bronze"),
    "tool": ("spoon", "hammer", "key", "knife", "ring", "mirror", "needle", "fork"),
    "beside": ("behind", "under", "inside", "near", "above", "below", "beside", "outside"),
    "place": ("mill", "bridge", "church", "school", "station", "tower", "garden", "library"),
}
"""What is kept, and where; every second word is for claims, the others for searches."""
SENTENCES = (
    "It had rained all morning and the streets were still wet.",
    "Nobody could say who had left the door open.",
    "The train to the coast was late again.",
    "A letter from the council lay on the table for a week.",
    "Some of the older houses have no heating at all.",
    "In summer the river is so low that children walk across it.",
    "The new road made the way to work much shorter.",
    "They talked about the weather until it was time to leave.",
    "Most people here know each other by name.",
    "The market opens early and closes before noon.",
    "A dog barked somewhere and then it was quiet.",
    "The doctor comes to the village on Mondays.",
    "After the storm the roof had to be mended.",
    "There is not much to do here in winter.",
    "The bakery has been in the same family for a long time.",
    "Last year the harvest was better than anybody had hoped.",
    "Visitors often ask the way and then walk in the wrong direction.",
    "The clock on the wall has stopped more than once.",
    "He had meant to write, but he never found the time.",
    "The path along the hill is steep and full of roots.",
    "Every spring the birds come back to the same trees.",
    "The mayor promised a bus to the next town.",
    "On Sunday evenings there is music in the hall.",
    "The shop sells bread, milk and the daily news.",
    "She read the sentence again and still did not understand it.",
    "The lake is cold even when the days are warm.",
    "A neighbour looks after the cat when they are away.",
    "The meeting was long and little was decided.",
    "In the end they agreed to wait for another month.",
    "The old map shows a road that is no longer there.",
    "It takes an hour to walk to the next farm.",
    "The teacher asked a question that no one could answer.",
)
"""What else the text says; every second one is for claims, the others for searches."""
QUESTION = "\n\nQuestion: What does {person} keep?\nAnswer: {person} keeps"
LENGTH = 8
"""Sentences besides; the needle stands behind none of them, behind the first, and so on: each a template of its own."""


@task("retrieval")
def retrieval_prompts(model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", sentences: int = LENGTH) -> PromptSet:
    """Prompts with the positions NEEDLE, all tokens of the answer where the text says it, and END; the answers are several tokens.

    `retrieval_scores` reads them, and of the metrics those that take answers of several tokens (`log_odds`, `log_probability`,
    `correct`). Words that stand for each other are the same number of tokens; those of another number than most are left out,
    which `left_out` of the prompts tells.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates: how many sentences stand before what is to be found.
        seed: people, words and sentences are drawn with it; the templates do not depend on it.
        split: the halves share no person, no word of an answer and no sentence.
        sentences: the others that the text has, 1 to 16.

    Raises:
        PromptError: another number of sentences; a tokenizer that leaves a slot fewer than two words, or that joins the answer with
            what stands beside it; an encoder.
    """
    own = split == "verify"
    text = SENTENCES[own::2]
    if isinstance(sentences, bool) or not isinstance(sentences, int) or not 1 <= sentences <= len(text):
        raise PromptError(f"sentences={sentences!r}: a whole number from 1 to {len(text)} is expected")
    reader, rng = Reader(model), random.Random(f"retrieval {seed} {split} {sentences}")
    reader.check_decoder()
    halves = {slot: words[own::2] for slot, words in WORDS.items()}
    known = {slot: _alike(reader, slot, words) for slot, words in halves.items()}
    people = PEOPLE[own::2]
    drawn: list[tuple[str, int, list[str], list[dict[str, str]]]] = []
    for i in range(n):
        pairs = {slot: rng.sample(words, 2) for slot, words in known.items()}
        third = {slot: rng.choice(words) for slot, words in known.items()}
        kept = [{slot: pair[which] for slot, pair in pairs.items()} for which in (0, 1)]
        drawn.append((rng.choice(people), i % (sentences + 1), rng.sample(text, sentences), [*kept, third]))
    texts, counterfactual, reference = (
        [_text(person, at, around, kept[which]) for person, at, around, kept in drawn] for which in range(3)
    )
    answers, foils = ([KEPT.format(**kept[which]) for *_, kept in drawn] for which in range(2))
    rows, said = reader.rows(texts), reader.answers(answers, after_space=True)
    made = PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference, answers=answers, foils=foils, several_tokens=True,
        positions={"NEEDLE": [_place(row, tokens, whole) for row, tokens, whole in zip(rows, said, texts, strict=True)]},
        templates=[f"behind {at} of {sentences} sentences" for _, at, *_ in drawn],
    )  # fmt: skip
    left = [(slot, word) for slot, words in halves.items() for word in words if word not in known[slot]]
    return replace(made, left_out={f"{word!r} ({slot}): another number of tokens than most": 1 for slot, word in left})


def _alike(reader: Reader, slot: str, words: Sequence[str]) -> list[str]:
    """The words that are the same number of tokens as most are, all of which the tokenizer has."""
    sizes = {word: len(reader.pieces(word)) for word in words if reader.spells(word)}
    usual = max(sizes.values(), key=[*sizes.values()].count, default=0)
    found = [word for word, size in sizes.items() if size == usual]
    if len(found) < 2:
        shown = ", ".join(f"{word} ({sizes.get(word, 'unknown')})" for word in words)
        raise PromptError(f"no two words for {slot} are the same number of tokens for this tokenizer: {shown}")
    return found


def _text(person: str, at: int, around: Sequence[str], kept: Mapping[str, str]) -> str:
    """The sentences, with what the person keeps behind so many of them, and the question."""
    needle = f"{person} keeps {KEPT.format(**kept)}."
    return " ".join([*around[:at], needle, *around[at:]]) + QUESTION.format(person=person)


def _place(row: Sequence[int], tokens: Sequence[int], text: str) -> list[int]:
    """Where in a prompt these tokens stand."""
    starts = [i for i in range(len(row) - len(tokens) + 1) if tuple(row[i : i + len(tokens)]) == tuple(tokens)]
    if len(starts) != 1:
        raise PromptError(f"this tokenizer joins the answer with what stands beside it in {text!r}")
    return [starts[0] + i for i in range(len(tokens))]
