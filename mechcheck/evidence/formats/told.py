"""What each format tells of a claim, in the same words."""

from datetime import datetime
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.deciding import deciding_check, deciding_name, estimate_text
from mechcheck.verdicts.words import verdict_word

Json = dict[str, Any]


def told(claim: Json) -> str:
    """Its verdict, and the check that made it: "refuted: effect > 0: +0.12 [-0.1, +0.31]"; before that how its cells came out, where it
    has several; where nothing was measured, why."""
    check = deciding_check(claim)
    why = claim["reason"] if check is None or claim["verdict"] == "errored" else f"{deciding_name(claim)}: {estimate_text(check, '+.4g')}"
    if "grid" in claim and claim["verdict"] != "errored":
        why = f"{claim['grid']['text']}; {why}"
    expected = "" if claim["expect"] == "supported" else f", expected {verdict_word(claim['expect'])}"
    return ": ".join(filter(None, [verdict_word(claim["verdict"]) + expected, why]))


def file_of(claim: Json) -> str:
    """The file of its test, as pytest calls it."""
    return str(claim["nodeid"]).partition("::")[0]


def body_of(claim: Json) -> str:
    """Its body, which cases of other models and parameters share, as pytest calls it."""
    return str(claim["nodeid"]).partition("[")[0]


def time_of(text: str) -> datetime:
    """Of a time in ISO 8601.

    Raises:
        MechcheckError: it is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise MechcheckError(f"the run says that it was made at {text!r:.60}, which is no time in ISO 8601") from None
