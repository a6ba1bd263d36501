"""Succession (Gould et al. 2023, arXiv:2312.09230): what comes next in an order that everybody knows.

"In order: Monday, Tuesday, Wednesday," -> Thursday. The foil is the last item of the prompt, Wednesday, which is right in the
counterfactual, one step earlier: "In order: Sunday, Monday, Tuesday,". The reference has three items of the same order, one of which
follows on none.
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

ORDERS: Mapping[str, tuple[str, ...]] = {
    "days": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "months": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ),
    "numbers": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    "letters": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}  # fmt: skip
CYCLES = ("days", "months")
"""Orders that begin again."""
FORMS = ("In order: {}, {}, {},", "First {}, then {}, then {}, then", "The list goes {} {} {}")
ITEMS = 3


@task("successor")
def successor_prompts(
    model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", orders: Sequence[str] = tuple(ORDERS)
) -> PromptSet:
    """Prompts with the positions LAST, the last item that is named, and END.

    Items that are not one token behind a space are left out with all prompts that they would stand in, which `left_out` of the prompts
    tells.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates: an order in one of three forms.
        seed: where a prompt begins, and the reference, are drawn with it.
        split: the halves share no answer.
        orders: "days", "months", "numbers", "letters"; all by default.

    Raises:
        PromptError: an unknown order; a tokenizer that leaves no order four items in a row; an encoder.
    """
    if not orders:
        raise PromptError(f"no orders: choose from {', '.join(ORDERS)}")
    if unknown := [order for order in orders if order not in ORDERS]:
        raise PromptError(f"unknown order {unknown[0]!r}; choose from {', '.join(ORDERS)}{did_you_mean(unknown[0], ORDERS)}")
    reader, rng = Reader(model), random.Random(f"successor {seed} {split}")
    reader.check_decoder()
    known = {order: {item for item in ORDERS[order] if reader.knows(item)} for order in orders}
    runs = {order: found for order in orders if (found := _runs(order, known[order], split))}
    if not runs:
        raise PromptError(
            f"succession prompts need items of one token behind a space, {ITEMS + 2} of them in a row; this tokenizer leaves no order so "
            "many"
        )
    kinds = [(order, form) for order in runs for form in FORMS]
    drawn = [rng.choice(runs[kinds[i % len(kinds)][0]]) for i in range(n)]
    used = [kinds[i % len(kinds)] for i in range(n)]
    mixed = [_mixed(rng, order, known[order]) for order, _ in used]
    texts, counterfactual, reference = (
        [form.format(*items) for (_, form), items in zip(used, some, strict=True)]
        for some in ([run[1:-1] for run in drawn], [run[:-2] for run in drawn], mixed)
    )
    made = PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference,
        answers=[run[-1] for run in drawn], foils=[run[-2] for run in drawn],
        positions={"LAST": [run[-2] for run in drawn]}, templates=[f"{order}: {form}" for order, form in used],
    )  # fmt: skip
    lacking = [(order, item) for order in orders for item in ORDERS[order] if item not in known[order]]
    return replace(made, left_out={f"{item!r} of {order}: not one token behind a space": 1 for order, item in lacking})


def _runs(order: str, known: set[str], split: Split) -> list[tuple[str, ...]]:
    """Five items in a row that are known, of which the last is the answer, for each answer of the half."""
    items, length = ORDERS[order], ITEMS + 2
    starts = range(len(items)) if order in CYCLES else range(len(items) - length + 1)
    found = [tuple(items[(start + i) % len(items)] for i in range(length)) for start in starts]
    return [run for run in found if set(run) <= known and items.index(run[-1]) % 2 == (split == "verify")]


def _mixed(rng: random.Random, order: str, known: set[str]) -> list[str]:
    """Three known items, of which none is the next after another."""
    items = ORDERS[order]
    while True:
        some = rng.sample([item for item in items if item in known], ITEMS)
        places = [items.index(item) for item in some]
        if not any((b - a) % len(items) == 1 for a in places for b in places):
            return some
