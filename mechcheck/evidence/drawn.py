"""How many prompts the claims of a run drew of those that they might have drawn."""

from collections.abc import Iterable, Sequence
from typing import Any


def drawn_lines(claims: Sequence[Any]) -> Iterable[str]:
    """What a reader is told of it; nothing where no claim had a budget."""
    drew = [claim["sampling"] for claim in claims if claim["sampling"]]
    if not drew:
        return
    prompts, budget = sum(one["looks"][-1]["prompts"] for one in drew), sum(one["budget"] for one in drew)
    decided = sum(one["stopped"] == "decided" for one in drew)
    many = f"{len(drew)} claim{'s' * (len(drew) != 1)}"
    yield f"{many} drew {prompts:,} of {budget:,} prompts ({1 - prompts / budget:.0%} saved), {decided} of them until decided"
