"""What was decided, in words: the same in the terminal of a run, in a notebook and in a script.

A check is a mapping as the evidence has it, or as `dataclasses.asdict` makes it of an expectation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mechcheck.verdicts.verdict import Expectation, Verdict, deciding

if TYPE_CHECKING:
    from mechcheck.verdicts.for_all import Counterexample

Json = Mapping[str, Any]


def verdict_word(verdict: str) -> str:
    """A verdict as a reader is told it."""
    return verdict.replace("method_", "method-").replace("_", " ")


def check_name(checks: Sequence[Json], place: int) -> str:
    """What one of a claim's checks is called: its label, behind its place where there are several ("check 2 of 3: label")."""
    if len(checks) == 1:
        return str(checks[place]["label"])
    needed = ", a precondition" if checks[place]["role"] == "precondition" else ""
    return f"check {place + 1} of {len(checks)}{needed}: {checks[place]['label']}"


def value_text(estimate: Json, spec: str) -> str:
    """The estimate's value."""
    return "undefined" if _open(estimate["value"]) else format(estimate["value"], spec)


def interval_text(estimate: Json, spec: str) -> str:
    """Its interval: "[0.98, 1.49]", "no interval", or with an open side."""
    low, high = (None if _open(estimate[end]) else format(estimate[end], spec) for end in ("low", "high"))
    return "no interval" if low is None and high is None else f"[{low or '-inf'}, {high or 'inf'}]"


def measured_text(check: Json) -> str:
    """What was measured: value, interval, prompts and method; of a search, what it tried."""
    e = check["estimate"]
    if check["kind"] == "for_all":
        return str(e["method"])
    return f"measured {value_text(e, '.4g')}, {e['level']:.0%} interval {interval_text(e, '.4g')}, n={e['n']} ({e['method']})"


def check_lines(checks: Sequence[Json], place: int) -> list[str]:
    """A check's verdict and name, what was measured, and what a reader should know about that."""
    check = checks[place]
    more = filter(None, [check["estimate"]["caveat"], (check.get("settles") or {}).get("text")])
    return [f"  {check['verdict']}: {check_name(checks, place)}", f"    {measured_text(check)}", *(f"    {line}" for line in more)]


def deciding_first(checks: Sequence[object], which: int | None) -> list[int]:
    """The checks' places in the order in which they are told."""
    return sorted(range(len(checks)), key=lambda place: place != which)


def summary(
    verdict: Verdict, expectations: Sequence[Expectation], counterexamples: "Sequence[Counterexample]" = (), statement: str = ""
) -> str:
    """A claim's verdict, and each of its checks, the deciding one first."""
    told = (line for lines in told_checks(expectations, counterexamples) for line in lines)
    return "\n".join([": ".join(filter(None, [verdict_word(verdict), statement])), *told])


def told_checks(expectations: Sequence[Expectation], counterexamples: "Sequence[Counterexample]" = ()) -> list[list[str]]:
    """The lines of each check, the deciding one first: its verdict and name, what was measured, and what else there is to say."""
    checks = [asdict(expectation) for expectation in expectations]
    examples = {found.label: found.example for found in counterexamples}
    found = []
    for place in deciding_first(checks, deciding(expectations)):
        example = examples.get(checks[place]["label"])
        found.append([*check_lines(checks, place), *([] if example is None else [f"    {example}"])])
    return found


def _open(number: float | None) -> bool:
    """Whether a number is none: JSON has no infinity."""
    return number is None or not math.isfinite(number)
