"""How often a claim was tried, in words."""

from collections.abc import Sequence
from typing import Any

from mechcheck.drawing.numbers import short

Json = dict[str, Any]
_SEEDS = 6


def tries_text(claim: Json) -> str:
    """How often, with which seeds, and how it came out, e.g. `7 times with seeds 0, 1, 2 at 3 commits; supported 6, inconclusive 1`."""
    tries = claim["tries"]
    seeds = list(map(str, tries["seeds"]))
    more = f" and {len(seeds) - _SEEDS} more" if len(seeds) > _SEEDS else ""
    said = f"{times(tries['n'])} with seed{'s' * (len(seeds) > 1)} {', '.join(seeds[:_SEEDS])}{more}"
    if tries["commits"] > 1:
        said += f" at {tries['commits']} commits"
    verdicts = ", ".join(f"{verdict.replace('_', ' ')} {n}" for verdict, n in tries["verdicts"].items())
    return f"{said}; {verdicts}"


def moved_text(claim: Json) -> str:
    """How what is demanded was changed from try to try, e.g. `the threshold was moved once: > 0.5 → > 0.4`; nothing where it was not."""
    tries = claim["tries"]
    if not tries["moved"]:
        return ""
    several = len(claim["expectations"]) > 1 or any(move["check"] for move in tries["moves"])
    whole = all(move["before"] and move["after"] for move in tries["moves"])
    what = "the threshold was moved" if whole else "what is demanded was changed"
    latest = "the latest: " if tries["moved"] > len(tries["moves"]) else ""
    return f"{what} {times(tries['moved'])}: {latest}{'; '.join(_move(move, several) for move in tries['moves'])}"


def times(n: int) -> str:
    """How often."""
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")


def _move(move: Json, several: bool) -> str:
    which = f"check {move['check'] + 1} " if several else ""
    return f"{which}{_region(move['before'])} → {_region(move['after'])}"


def _region(region: Sequence[float | None] | None) -> str:
    if region is None:
        return "none"
    low, high = region
    if low is not None and high is not None:
        return f"between {short(low)} and {short(high)}"
    return f"> {short(low)}" if low is not None else f"< {short(high or 0.0)}"
