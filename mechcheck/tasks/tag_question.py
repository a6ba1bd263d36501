"""Tag questions: "So Helen is such a kind singer, isn't" -> she, not he.

The form of the prompts that Mathwin et al. 2023 looked for a circuit with (Conmy et al. 2023, arXiv:2304.14997, appendix K), in other
sentences. The counterfactual has a name of the other gender; the reference, which the report's corrupted prompts are, names nobody:
"That person is such a kind singer, isn't".
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

NAMED, NOBODY = "So {name}", "That person"
DEGREES: Mapping[Split, tuple[str, ...]] = {
    "discover": ("quite a", "always a", "truly a", "just a"),
    "verify": ("a", "such a", "still a", "surely a", "also a", "now a", "clearly a", "indeed a"),
}
TEMPLATES: Mapping[Split, tuple[str, ...]] = {
    split: tuple(f"{{whom}} is {degree} {{adjective}} {{noun}}, isn't" for degree in degrees) for split, degrees in DEGREES.items()
}
NAMES: Mapping[Split, Mapping[str, tuple[str, ...]]] = {
    "discover": {
        "she": ("Rachel", "Maria", "Jane", "Emily", "Claire", "Linda"), "he": ("George", "Henry", "Eric", "Adam", "Frank", "Michael"),
    },
    "verify": {
        "she": ("Emma", "Julia", "Alice", "Helen", "Laura", "Nancy"), "he": ("Peter", "Robert", "Thomas", "Daniel", "Kevin", "Brian"),
    },
}  # fmt: skip
ADJECTIVES = ("kind", "clever", "quiet", "careful", "patient", "gentle", "curious", "cheerful")
NOUNS = ("singer", "neighbor", "student", "teacher", "writer", "doctor", "guest", "driver")


@task("tag_question")
def tag_question_prompts(model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify") -> PromptSet:
    """Prompts with the positions NAME, IS, ADJECTIVE, NOUN (the last token of each) and END, half of them of either gender.

    Names that are, with "So", another number of tokens than "That person" are left out, which `left_out` of the prompts tells: all
    three sets are aligned token for token.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates and the pronouns.
        seed: names and words are drawn with it; the templates do not depend on it.
        split: the halves share neither templates nor names.

    Raises:
        PromptError: a tokenizer that leaves no name of a gender; pronouns that are not one token; an encoder.
    """
    reader, rng = Reader(model), random.Random(f"tag question {seed} {split}")
    reader.check_decoder()
    reader.singles(["she", "he"], after_space=True)
    length = len(reader.pieces(NOBODY, first=True))
    sizes = {name: len(reader.pieces(NAMED.format(name=name), first=True)) for some in NAMES[split].values() for name in some}
    known = {pronoun: [name for name in some if sizes[name] == length] for pronoun, some in NAMES[split].items()}
    for pronoun, some in known.items():
        if not some:
            shown = ", ".join(f"{name} ({sizes[name]})" for name in NAMES[split][pronoun])
            raise PromptError(
                f'no name that goes with {pronoun!r} is, behind "So", as many tokens as {NOBODY!r} ({length}) for this tokenizer: {shown}'
            )
    kinds = list(itertools.product(TEMPLATES[split], ("she", "he")))
    used = [kinds[i % len(kinds)] for i in range(n)]
    filled = [{"adjective": rng.choice(ADJECTIVES), "noun": rng.choice(NOUNS)} for _ in used]
    answers = [pronoun for _, pronoun in used]
    foils = ["he" if pronoun == "she" else "she" for pronoun in answers]
    texts, counterfactual = (
        [
            template.format(whom=NAMED.format(name=rng.choice(known[pronoun])), **words)
            for (template, _), words, pronoun in zip(used, filled, pronouns, strict=True)
        ]
        for pronouns in (answers, foils)
    )
    reference = [template.format(whom=NOBODY, **words) for (template, _), words in zip(used, filled, strict=True)]
    ends = [len(text.split()) - 1 for text in texts]
    made = PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference, answers=answers, foils=foils,
        at_words={"NAME": [1] * n, "IS": [2] * n, "ADJECTIVE": [end - 2 for end in ends]},
        positions={"NOUN": [words["noun"] for words in filled]}, templates=[template for template, _ in used],
    )  # fmt: skip
    left = [(name, size) for name, size in sizes.items() if size != length]
    return replace(made, left_out={f'{name!r}: {size} tokens with "So", and not {length}': 1 for name, size in left})
