"""The check that made a claim's verdict what it is, in words: what is shown wherever there is room for one of several."""

from collections.abc import Mapping
from typing import Any

from mechcheck.base.text import side_text
from mechcheck.verdicts import words
from mechcheck.verdicts.words import interval_text, value_text

Json = Mapping[str, Any]


def deciding_check(claim: Json) -> Json | None:
    """The expectation that decided; None where nothing was measured."""
    return None if claim["deciding"] is None else claim["expectations"][claim["deciding"]]


def check_name(claim: Json, place: int) -> str:
    """What one of a claim's checks is called: its label, behind its place where there are several ("check 2 of 3: label")."""
    return words.check_name(claim["expectations"], place)


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


def estimate_text(expectation: Json, spec: str) -> str:
    """Value and interval of an expectation; of a search, which has no interval, what it found."""
    estimate = expectation["estimate"]
    if expectation["kind"] == "for_all":
        return str(estimate["method"])
    if estimate["value"] is None and estimate["low"] is None and estimate["high"] is None:
        return value_text(estimate, spec)
    return f"{value_text(estimate, spec)} {interval_text(estimate, spec)}"
