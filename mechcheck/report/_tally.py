"""What several claims come to: how many came out with each verdict, and how many of them as claimed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from mechcheck.report._claims import VERDICTS, word

Json = dict[str, Any]


class Count(NamedTuple):
    """How many claims came out with a verdict, and how many of them were met."""

    verdict: str
    n: int
    met: int


def counts(claims: Iterable[Json]) -> list[Count]:
    """One count per verdict that occurs, in a fixed order."""
    tally = {v: [0, 0] for v in VERDICTS}
    for claim in claims:
        tally[claim["verdict"]][0] += 1
        tally[claim["verdict"]][1] += bool(claim["met"])
    return [Count(v, n, met) for v, (n, met) in tally.items() if n]


class Outcome(NamedTuple):
    """What some claims come to."""

    state: str
    """"all" came out as claimed, some are "undecided" and no more, some have "failed" to come out so, or "none" was run."""
    met: int
    judged: int
    text: str
    """In words, e.g. "3 of 5 as claimed, 2 inconclusive"."""


def unmet(claims: Iterable[Json]) -> list[tuple[str, int]]:
    """The verdicts of the claims that did not come out as claimed, and how many have each."""
    return [(count.verdict, count.n - count.met) for count in counts(c for c in claims if c["met"] is not None) if count.n > count.met]


def unmet_text(verdict: str, n: int) -> str:
    """A part of what did not come out as claimed, in words: a support is there only where something else was expected."""
    return f"{n} {word(verdict)}{' against expectation' if verdict == 'supported' else ''}"


def outcome(claims: Iterable[Json]) -> Outcome:
    """The outcome of claims of one kind, test, file or run."""
    judged = [c for c in claims if c["met"] is not None]
    met = sum(bool(c["met"]) for c in judged)
    if not judged:
        return Outcome("none", 0, 0, "not run")
    missed = unmet(judged)
    state = "all" if not missed else "undecided" if {verdict for verdict, _ in missed} == {"inconclusive"} else "failed"
    return Outcome(state, met, len(judged), ", ".join([f"{met} of {len(judged)} as claimed", *(unmet_text(*one) for one in missed)]))
