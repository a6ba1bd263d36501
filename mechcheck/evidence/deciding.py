"""The check that made a claim's verdict what it is, in words: what is shown wherever there is room for one of several."""

from collections.abc import Mapping
from typing import Any

from mechcheck.base.text import side_text

Json = Mapping[str, Any]


def verdict_word(verdict: str) -> str:
    """A verdict as a reader is told it."""
    return verdict.replace("_", " ")


def deciding_check(claim: Json) -> Json | None:
    """The expectation that decided; None where nothing was measured."""
    return None if claim["deciding"] is None else claim["expectations"][claim["deciding"]]


def check_name(claim: Json, place: int) -> str:
    """What one of a claim's checks is called: its label, behind its place where there are several ("check 2 of 3: label")."""
    checks = claim["expectations"]
    if len(checks) == 1:
        return str(checks[place]["label"])
    needed = ", a precondition" if checks[place]["role"] == "precondition" else ""
    return f"check {place + 1} of {len(checks)}{needed}: {checks[place]['label']}"


def deciding_name(claim: Json) -> str:
    """What the deciding check is called; nothing where nothing was measured."""
    return "" if claim["deciding"] is None else check_name(claim, claim["deciding"])


def claimed_text(expectation: Json) -> str:
    """Where the value is claimed to lie: "< 0.2"."""
    if expectation["kind"] == "for_all":
        return "of every example"
    low, high = expectation["region"]
    if low is None and high is None:  # schema 1 did not say of every rate
        return f"above or below {expectation['threshold']:g}, it is not recorded which"
    return side_text(low, high)


def value_text(estimate: Json, spec: str) -> str:
    """The estimate's value."""
    return "undefined" if estimate["value"] is None else format(estimate["value"], spec)


def interval_text(estimate: Json, spec: str) -> str:
    """Its interval: "[0.98, 1.49]", "no interval", or with an open side."""
    low, high = estimate["low"], estimate["high"]
    if low is None and high is None:
        return "no interval"
    return f"[{'-inf' if low is None else format(low, spec)}, {'inf' if high is None else format(high, spec)}]"


def estimate_text(expectation: Json, spec: str) -> str:
    """Value and interval of an expectation; of a search, which has no interval, what it found."""
    estimate = expectation["estimate"]
    if expectation["kind"] == "for_all":
        return str(estimate["method"])
    if estimate["value"] is None and estimate["low"] is None and estimate["high"] is None:
        return value_text(estimate, spec)
    return f"{value_text(estimate, spec)} {interval_text(estimate, spec)}"
