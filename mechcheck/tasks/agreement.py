"""Agreement in the synthetic language "sentences": a masked verb (or pronoun) that goes with its subject, not with a nearer noun.

"the dog near the cats [MASK] tired ." -> is, not are. In the counterfactual the subject has the other number (or, for pronouns,
another form), so that the foil is right; the reference has either, without regard to which.
"""

import random
from typing import TYPE_CHECKING, Literal, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.alignment import Drawn, aligned_prompts
from mechcheck.prompts.masked import Masked
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.registry import Split, task
from mechcheck.tasks.sentences import AGREEMENT, REFLEXIVE, Template, agreeing, draw_nouns, verification_half

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Dependency = Literal["verb", "reflexive"]
Distractor = Literal["any", "misleading"]


class _Frame(NamedTuple):
    template: Template
    answers: list[str]
    """One per form of the subject."""


@task("agreement")
def agreement_prompts(
    model: "TransformerBridge",
    *,
    n: int,
    seed: int,
    split: Split = "verify",
    dependency: Dependency = "verb",
    distractor: Distractor = "any",
) -> PromptSet:
    """Masked sentences with named positions SUBJECT, DISTRACTOR and END, the masked verb or pronoun.

    They are aligned token for token with their counterfactual: nouns may be several tokens, and sentences in which the other form of
    the subject is another number of them are left out, which `left_out` of the prompts tells.

    Args:
        model: gives the tokenizer; answers and foils must be one token each.
        n: number of prompts, spread evenly over the templates; a preposition makes a template of its own.
        seed: nouns, adjectives and forms are drawn with it; the templates do not depend on it.
        split: which half of the (subject, distractor) that were held out from training.
        dependency: "verb" for number ("is", "are"), "reflexive" for pronouns ("himself", "herself", "themselves").
        distractor: "any" form of the nearer noun, or the "misleading" one, with which the foil would agree.

    Raises:
        PromptError: another dependency or distractor; a tokenizer that does not fit.
    """
    if dependency not in ("verb", "reflexive") or distractor not in ("any", "misleading"):
        raise PromptError(f'unknown {dependency!r} or {distractor!r}; choose "verb" or "reflexive", and "any" or "misleading"')
    rng = random.Random(f"agreement {dependency} {distractor} {seed} {split}")
    groups = AGREEMENT["nouns"] if dependency == "verb" else REFLEXIVE["people"]

    def draw(frame: _Frame) -> Drawn:
        subject, other = _draw_nouns(rng, groups, split)
        forms = rng.sample(range(len(subject)), 2)
        near = forms[1] if distractor == "misleading" else rng.randrange(len(other))
        subjects, answers = ([words[form] for form in forms] for words in (subject, frame.answers))
        pair = agreeing(rng, frame.template, subjects, other[near], answers)
        if distractor == "misleading" and pair.words[pair.changed] != subjects[0]:
            pair = pair._replace(words=pair.other, other=pair.words)
        at = {"SUBJECT": pair.changed, "DISTRACTOR": frame.template.index("{distractor}")}
        sentence = Masked(pair.words, pair.answer, pair.other[pair.answer], at, " ".join(frame.template))
        return Drawn(sentence, pair.other, rng.choice((pair.words, pair.other)))

    return aligned_prompts(model, n, _frames(dependency), draw)


def _frames(dependency: Dependency) -> list[_Frame]:
    """The templates, one for each preposition that fits."""
    if dependency == "verb":
        whole = [(text, answers) for text, *answers in AGREEMENT["templates"]]
    else:
        whole = [(text, REFLEXIVE["pronouns"]) for text in REFLEXIVE["templates"]]
    filled = [(text.replace("{distance}", distance), answers) for text, answers in whole for distance in AGREEMENT["distances"]]
    return [_Frame(text.split(), answers) for text, answers in {text: (text, answers) for text, answers in filled}.values()]


def _draw_nouns(rng: random.Random, groups: list[list[str]], split: Split) -> tuple[list[str], list[str]]:
    """Held-out subject and distractor, from the split's half of them."""
    while True:
        subject, distractor = draw_nouns(rng, groups, wanted=True)
        if verification_half(subject[0], distractor[0]) == (split == "verify"):
            return subject, distractor
