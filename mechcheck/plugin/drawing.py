"""Which claims draw their prompts part after part: those that can be given more of them by running their body again."""

from typing import TYPE_CHECKING

import pytest

from mechcheck.plugin.cases import case_of

if TYPE_CHECKING:
    from mechcheck.verdicts.sampling import Draw

_DRAW = pytest.StashKey["Draw | None"]()
_OURS = "mechcheck.plugin.fixtures"
# What is another one at each look; a fixture made from them would be of the first look still.
_RENEWED = frozenset({"prompts", "prompts_for", "check"})


def draw_of(item: pytest.Item) -> "Draw | None":
    """What the item's claim has drawn of its budget; None where it has all its prompts at once."""
    if _DRAW not in item.stash:
        item.stash[_DRAW] = _draw(item)
    return item.stash[_DRAW]


def _draw(item: pytest.Item) -> "Draw | None":
    case = case_of(item)
    if case is None or not isinstance(item, pytest.Function):
        return None
    budget = case.conditions.budget if case.spec.budget is None else case.spec.budget
    if budget is None or case.spec.over is not None or not _can_draw(item):
        return None
    from mechcheck.stats.estimates import Confidence
    from mechcheck.verdicts.sampling import Draw

    return Draw(budget, Confidence(case.conditions.confidence))


def _can_draw(item: pytest.Function) -> bool:
    """Whether the body takes our prompts, whose number the run decides, and nothing that was made from them before."""
    known = item._fixtureinfo
    if not {"model", "prompts", "check"} <= set(known.argnames) or "subtests" in known.argnames:
        return False
    used = {name: definitions[-1] for name, definitions in known.name2fixturedefs.items()}
    others = [name for name, fixture in used.items() if getattr(fixture.func, "__module__", None) != _OURS]
    return not any(name in _RENEWED or _RENEWED & set(used[name].argnames) for name in others)
