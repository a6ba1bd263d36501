"""Relations shown by examples (Todd et al. 2023, arXiv:2310.15213): "Q: hot\\nA: cold\\n\\n ... Q: big\\nA:" -> small.

In the counterfactual the same answers stand behind other questions, so that the examples show no relation; in the reference they are
answers of other pairs.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import PromptError
from mechcheck.base.text import did_you_mean
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Pair = tuple[str, str]


def _pairs(text: str) -> tuple[Pair, ...]:
    return tuple((one, other) for one, _, other in (pair.partition("-") for pair in text.split()))


RELATIONS: Mapping[str, tuple[Pair, ...]] = {
    "antonyms": _pairs(
        "hot-cold big-small fast-slow high-low old-young long-short hard-soft dark-light full-empty rich-poor strong-weak wet-dry "
        "early-late good-bad right-wrong open-closed up-down in-out left-right happy-sad heavy-light first-last near-far day-night "
        "war-peace love-hate true-false always-never before-after inside-outside buy-sell win-lose"
    ),
    "capitals": _pairs(
        "England-London France-Paris Germany-Berlin Italy-Rome Spain-Madrid Russia-Moscow Japan-Tokyo Austria-Vienna Greece-Athens "
        "Egypt-Cairo Ireland-Dublin Portugal-Lisbon Poland-Warsaw Norway-Oslo Sweden-Stockholm Finland-Helsinki Iraq-Baghdad "
        "Iran-Tehran China-Beijing Canada-Ottawa Hungary-Budapest Cuba-Havana Peru-Lima Afghanistan-Kabul Ukraine-Kiev Switzerland-Bern "
        "Indonesia-Jakarta Philippines-Manila Korea-Seoul Thailand-Bangkok Vietnam-Hanoi Belgium-Brussels Denmark-Copenhagen "
        "Syria-Damascus"
    ),
    "past": _pairs(
        "go-went see-saw take-took give-gave come-came make-made find-found think-thought know-knew get-got say-said tell-told "
        "feel-felt leave-left keep-kept bring-brought begin-began hold-held write-wrote stand-stood hear-heard mean-meant meet-met "
        "run-ran pay-paid sit-sat speak-spoke lead-led grow-grew lose-lost fall-fell send-sent build-built"
    ),
}
STYLES = (("Q: {}\nA: {}\n\n", "Q: {}\nA:"), ("{} -> {}\n", "{} ->"), ("Input: {}\nOutput: {}\n\n", "Input: {}\nOutput:"))
"""How an example is written, and the question; the first is the paper's."""
SHOTS = 10
"""Examples; as many as the paper's."""


@task("in_context")
def in_context_prompts(
    model: "TransformerBridge",
    *,
    n: int,
    seed: int,
    split: Split = "verify",
    relations: Sequence[str] = tuple(RELATIONS),
    shots: int = SHOTS,
) -> PromptSet:
    """Prompts with the positions QUERY, the word that is asked about, and END; the foil is the answer of the last example.

    Pairs whose answer is not one token behind a space are left out, which `left_out` of the prompts tells; a relation that has fewer than
    `shots` + 1 of them in this half is left out whole.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates: a relation in one of three styles.
        seed: pairs are drawn with it.
        split: the halves share no pair.
        relations: "antonyms", "capitals", "past" (tenses); all by default.
        shots: examples before the question, 2 or more.

    Raises:
        PromptError: an unknown relation, or a tokenizer that leaves none; fewer than two examples; an encoder.
    """
    if shots < 2 or not relations:
        raise PromptError(f"{shots} examples of {len(relations)} relations: two examples, which can change places, or more, and a relation")
    if unknown := [relation for relation in relations if relation not in RELATIONS]:
        raise PromptError(f"unknown relation {unknown[0]!r}; choose from {', '.join(RELATIONS)}{did_you_mean(unknown[0], RELATIONS)}")
    reader, rng = Reader(model), random.Random(f"in context {seed} {split} {shots}")
    reader.check_decoder()
    halves = {relation: RELATIONS[relation][split == "verify" :: 2] for relation in relations}
    known = {relation: [pair for pair in half if reader.knows(pair[1])] for relation, half in halves.items()}
    kinds = [(relation, style) for relation in relations if len(known[relation]) > shots for style in STYLES]
    if not kinds:
        shown = ", ".join(f"{relation} {len(known[relation])}" for relation in relations)
        raise PromptError(
            f"prompts with {shots} examples need {shots + 1} pairs whose answer is one token; this tokenizer leaves fewer: {shown}"
        )
    drawn = [rng.sample(known[kinds[i % len(kinds)][0]], shots + 1) for i in range(n)]
    used = [kinds[i % len(kinds)] for i in range(n)]
    shifts = [rng.randrange(1, shots) for _ in range(n)]
    others = [[rng.choice([other for _, other in known[relation]]) for _ in range(shots)] for relation, _ in used]
    answered = [[other for _, other in pairs[:-1]] for pairs in drawn]
    moved = [some[shift:] + some[:shift] for some, shift in zip(answered, shifts, strict=True)]
    texts, counterfactual, reference = (
        [_text(style, pairs, answers) for (_, style), pairs, answers in zip(used, drawn, some, strict=True)]
        for some in (answered, moved, others)
    )
    made = PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference,
        answers=[pairs[-1][1] for pairs in drawn], foils=[pairs[-2][1] for pairs in drawn],
        at_words={"QUERY": [len(text.split()) - 2 for text in texts]},
        templates=[f"{relation}: {style[1]!r}" for relation, style in used],
    )  # fmt: skip
    left = [(relation, pair) for relation in relations for pair in halves[relation] if pair not in known[relation]]
    return replace(made, left_out={f"{pair[1]!r} of {relation}: not one token behind a space": 1 for relation, pair in left})


def _text(style: tuple[str, str], pairs: Sequence[Pair], answers: Sequence[str]) -> str:
    """The examples with these answers, and the question of the last pair."""
    example, question = style
    shown = [example.format(asked, answer) for (asked, _), answer in zip(pairs[:-1], answers, strict=True)]
    return "".join(shown) + question.format(pairs[-1][0])
