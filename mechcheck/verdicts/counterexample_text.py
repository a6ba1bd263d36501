"""A counterexample in lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 160
_MOST = 3


def counterexample_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What broke the claim, and what was measured there."""
    prompts = found["prompts"]
    yield f"counterexample{' (shrunk)' if found['shrunk'] else ''}: {_cut(found['example'])}"
    if not found["values"]:
        return
    values = ", ".join([*(f"{value:.4g}" for value in found["values"][:_MOST]), *(["..."] if len(found["values"]) > _MOST else [])])
    asked = f", asked for {prompts[0]['answer'].strip()} and not {prompts[0]['foil'].strip()}" if len(prompts) == 1 else ""
    unit = f" {found['unit']}" if found["unit"] else ""
    yield f"{found['measured'] or 'measured'} {values}{unit}{asked}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
