"""What changed since a baseline, in lines of text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mechcheck.base.text import shorten
from mechcheck.verdicts.words import verdict_word

Json = Mapping[str, Any]

SYMBOLS = {"same": "=", "drifted": "≠", "unsure": "~", "flipped": "↕", "new": "+", "missing": "−", "incomparable": "∦"}
_ORDER = ("flipped", "drifted", "missing", "incomparable", "unsure")
_AROUND = 8
_LONGEST = 40
_HASH = 40  # characters from which on a word is taken for a hash


def change_lines(claims: Iterable[Json], baseline: Json) -> list[tuple[str, str]]:
    """(status, line) of each claim that is neither the same nor new, the gravest first."""
    found = [(claim["drift"]["status"], _line(claim)) for claim in claims if claim["drift"]]
    found += [
        ("missing", f"{gone['id']}: {verdict_word(gone['verdict'])} in the baseline{_accepted(gone)}") for gone in baseline["missing"]
    ]
    return sorted(((status, line) for status, line in found if status in _ORDER), key=lambda pair: (_ORDER.index(pair[0]), pair[1]))


def difference_text(expectation: Json) -> str:
    """An expectation's change, with its interval and margin."""
    d = expectation["difference"]
    p = expectation["p_adjusted"]
    said = "" if p is None else f", p {p:.2g}"
    return (
        f"{expectation['before']:+.4g} -> {expectation['after']:+.4g}: "
        f"{d['value']:+.3g} [{d['low']:+.3g}, {d['high']:+.3g}], margin {expectation['margin']:.2g}{said}"
    )


def telling(drift: Json) -> Json | None:
    """The expectation that a reader should see: the one that changed most for its margin, among those of the gravest status."""
    order = {"drifted": 0, "unsure": 1, "same": 2}

    def weight(e: Json) -> float:
        return abs(e["difference"]["value"]) / e["margin"] if e["margin"] else float("inf")

    return min(drift["expectations"], key=lambda e: (order[e["status"]], -weight(e)), default=None)


def tally(baseline: Json) -> Iterator[str]:
    """What the comparison came to, and on what it rests."""
    counts = baseline["counts"]
    said = ", ".join(f"{counts[status]} {status}" for status in SYMBOLS if counts.get(status)) or "no claims in common"
    accepted = f"; {baseline['accepted']} accepted" if baseline["accepted"] else ""
    yield f"against {baseline['file']} of {baseline['created']}: {said}{accepted}"
    yield (
        f"same: the {baseline['level']:.0%} interval of the paired difference lies within {baseline['margin']:.0%} of the effect "
        "(or of its distance to the threshold)"
    )
    if left := baseline["not_judged"]:
        yield f"{left['n']} claims of the baseline are not here and not called missing: {left['why']}"


def surroundings(claims: Iterable[Json], baseline: Json) -> str:
    """What else changed between the runs: versions, commit, weights; nothing where that is the same."""
    within = Counter(
        (c["what"], c["before"], c["after"]) for claim in claims if claim["drift"] for c in claim["drift"]["changed"] if _is_short(c)
    )
    found = [_change(c["what"], c["before"], c["after"]) for c in baseline["changed"]]
    found += [f"{_change(*key)} ({n} claims)" for key, n in within.most_common()]
    return "; ".join(found[:_AROUND]) + (f"; and {len(found) - _AROUND} more" if len(found) > _AROUND else "")


def report_lines(claims: Sequence[Json], baseline: Json) -> Iterator[str]:
    """All of it, as plain text."""
    for status, line in change_lines(claims, baseline):
        yield f"{SYMBOLS[status]} {status:<13}{line}"
    yield from tally(baseline)
    if around := surroundings(claims, baseline):
        yield f"changed: {around}"


def _line(claim: Json) -> str:
    drift = claim["drift"]
    found = telling(drift)
    numbers = f"  {found['label']}: {difference_text(found)}" if found else ""
    reason = "" if found and drift["status"] in ("drifted", "unsure") else f" ({drift['reason']})"
    return f"{claim['id']}{reason}{numbers}{_accepted(drift)}"


def _accepted(change: Json) -> str:
    known = change["accepted"]
    return f"  [accepted {known['on']}: {known['why']}]" if known else ""


def _is_short(change: Json) -> bool:
    # Controls and counterexamples are told claim by claim, in the report.
    return not change["what"].startswith(("controls of", "counterexample of"))


def _change(what: str, before: str, after: str) -> str:
    return f"{what} {_brief(before)} -> {_brief(after)}"


def _brief(text: str) -> str:
    """A text for one line; of a hash, its beginning."""
    return shorten(" ".join(word[:12] if len(word) >= _HASH else word for word in text.split()), _LONGEST)
