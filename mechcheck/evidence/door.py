"""What is let in as evidence: what its schema says, and what the schema cannot say."""

from typing import Any

from mechcheck.base.json_schema import misfit
from mechcheck.drawing.figure import RecordedFigure
from mechcheck.evidence.store import schema

Json = dict[str, Any]


def unfit(evidence: Any) -> str | None:
    """What is wrong with evidence of this version, read from a file: where it is, and what; None where nothing is.

    Whatever reads evidence relies on it afterwards, so that nothing behind this door asks what type a field has.
    """
    return misfit(evidence, schema()) or _inconsistent(evidence)


def _inconsistent(evidence: Json) -> str | None:
    """What no schema says: names that are unique, places that are there, parts that are as long as each other."""
    seen: set[str] = set()
    for place, claim in enumerate(evidence["claims"]):
        where = f"claims[{place}]"
        if claim["id"] in seen:
            return f"{where}: a claim before it is {claim['id']!r} too"
        seen.add(claim["id"])
        if (claim["deciding"] or 0) >= len(claim["expectations"]) and claim["deciding"] is not None:
            return f"{where}.deciding: check {claim['deciding']} of {len(claim['expectations'])}"
        if claim["decoys"] is not None and claim["decoys"]["n"] != len(claim["decoys"]["runs"]):
            return f"{where}.decoys: there are {len(claim['decoys']['runs'])} runs, and it says {claim['decoys']['n']}"
    return None


def unfit_figure(evidence: Json) -> str | None:
    """The first figure that cannot be drawn, whose parts are of different lengths, say; None where all can be."""
    for place, claim in enumerate(evidence["claims"]):
        for number, figure in enumerate(claim["figures"]):
            try:
                RecordedFigure(figure)
            except ValueError as error:
                return f"claims[{place}].figures[{number}]: {error}"
    return None
