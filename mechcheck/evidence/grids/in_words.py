"""A claim over a grid of methods, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from mechcheck.verdicts.words import interval_text, value_text, verdict_word

Json = Mapping[str, Any]


def grid_lines(claim: Json) -> Iterator[str]:
    """The one answer, each cell with the check that decided it, and how far it lies from the first; nothing for any other claim."""
    if "grid" not in claim:
        return
    grid = claim["grid"]
    yield f"{grid['text']}"
    apart = {one["expectation"]: one for one in grid["differences"]}
    for cell in grid["cells"]:
        place = cell.get("deciding", next(iter(cell["expectations"]), None))
        if place is None:
            continue
        check = claim["expectations"][place]
        said = f"{value_text(check['estimate'], '+.3f')} {interval_text(check['estimate'], '+.3f')}"
        yield f"  [{cell['text']}] {verdict_word(cell['verdict'])} {said}{_apart(apart.get(place))}"


def _apart(difference: Json | None) -> str:
    if difference is None:
        return ""
    estimate = difference["estimate"]
    if estimate is None:
        return f"; from the first: {difference['problem']}"
    return f"; from the first {value_text(estimate, '+.3f')} {interval_text(estimate, '+.3f')}"
