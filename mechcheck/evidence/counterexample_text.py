"""A counterexample in lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from mechcheck.base.text import shorten

_LONGEST = 160
_MOST = 3


def counterexample_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What broke the claim, and what was measured there."""
    prompts = found["prompts"]
    yield f"counterexample{' (shrunk)' if found['shrunk'] else ''}: {shorten(found['example'], _LONGEST)}"
    if not found["values"]:
        return
    values = ", ".join([*(f"{value:.4g}" for value in found["values"][:_MOST]), *(["..."] if len(found["values"]) > _MOST else [])])
    answer, foil = (prompts[0][name] if len(prompts) == 1 else None for name in ("answer", "foil"))
    asked = f", asked for {answer.strip()}{f' and not {foil.strip()}' if foil else ''}" if answer else ""
    unit = f" {found['unit']}" if found["unit"] else ""
    yield f"{found['measured'] or 'measured'} {values}{unit}{asked}"
