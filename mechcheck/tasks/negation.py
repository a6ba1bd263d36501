"""Negation in the synthetic language "sentences": a masked adjective that a negation word decides.

"the box is not open , it is [MASK] ." -> closed. The answer is the opposite of what is said if an odd number of words turn the
statement. The counterfactual has, in the place of one such word, one that leaves the statement ("very", "is", "every"), so that
the foil is right; the reference has either, without regard to which.
"""

import random
from typing import TYPE_CHECKING, Literal

from mechcheck.base.errors import PromptError
from mechcheck.prompts.alignment import Drawn, aligned_prompts
from mechcheck.prompts.masked import Masked
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.registry import Split, task
from mechcheck.tasks.sentences import SWITCHES, Said, Template, draw_said, statement, switches, templates, verification_half

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Statement = Literal["simple", "embedded", "double", "concession", "two_objects"]
CONCESSION = "{although}"


@task("negation")
def negation_prompts(
    model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", statements: Statement = "simple"
) -> PromptSet:
    """Masked statements with named positions SWITCH, SAID, OBJECT and END, aligned token for token with their counterfactual.

    SWITCH is the word that turns the statement, and that another replaces in the counterfactual; SAID is the adjective that is
    said, OBJECT what it is said of, END the mask. Words may be several tokens; sentences in which SWITCH is replaced by a word of
    another number of them are left out, which `left_out` of the prompts tells.

    Args:
        model: gives the tokenizer; answers and foils must be one token each.
        n: number of prompts, spread evenly over the templates.
        seed: objects, adjectives and words are drawn with it; the templates do not depend on it.
        split: which half of the (object, pair of opposites) that were held out from training.
        statements: "simple": one word that negates, in sentences that have room for one. "embedded": one, in sentences that
            have room for two. "double": two of them, so that what is said holds. "concession": "although" or "though" instead,
            which the counterfactual replaces by "since" or "as". "two_objects": something is said of another object too, and
            one has to know which of them is negated.

    Raises:
        PromptError: another kind of statement; a tokenizer that does not fit.
    """
    rng = random.Random(f"negation {statements} {seed} {split}")

    def draw(template: Template) -> Drawn:
        turns = rng.sample(switches(template), 2 if statements == "double" else 1)
        pair = statement(rng, template, _draw_said(rng, split), set(turns), exchanged=turns[0])
        at = {"SWITCH": pair.changed, "SAID": template.index("{said}"), "OBJECT": template.index("{object}")}
        sentence = Masked(pair.words, pair.answer, pair.other[pair.answer], at, " ".join(template))
        return Drawn(sentence, pair.other, _replaced(pair.words, pair.changed, rng.choice(rng.choice(SWITCHES[turns[0][1:-1]]))))

    return aligned_prompts(model, n, _templates(statements), draw)


def _templates(statements: Statement) -> list[Template]:
    """The templates of a kind; of two objects, one for each word that may stand beside the other object."""
    kinds: dict[Statement, str] = {
        "simple": "one_switch",
        "embedded": "two_switches",
        "double": "two_switches",
        "concession": "one_switch",
        "two_objects": "two_objects",
    }
    if statements not in kinds:
        raise PromptError(f"unknown statements {statements!r}; choose from {', '.join(kinds)}")
    chosen = [template for template in templates(kinds[statements]) if (CONCESSION in template) == (statements == "concession")]
    beside = [word for words in SWITCHES["not"] for word in words]
    filled = [[word if slot == "{not2}" else slot for slot in template] for template in chosen for word in beside]
    return [list(template) for template in dict.fromkeys(map(tuple, filled))]


def _draw_said(rng: random.Random, split: Split) -> Said:
    """Held-out objects and adjectives, from the split's half of them."""
    while True:
        said = draw_said(rng, wanted=True)
        if verification_half(said.thing, *said.opposites) == (split == "verify"):
            return said


def _replaced(words: list[str], index: int, word: str) -> list[str]:
    return [*words[:index], word, *words[index + 1 :]]
