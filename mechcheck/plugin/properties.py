"""A claim's record on the test's report: plain text, which survives xdist and goes into JUnit XML and pytest-html."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mechcheck.evidence.deciding import claimed_text, deciding_check, deciding_name
from mechcheck.evidence.record import Record
from mechcheck.verdicts.words import interval_text, value_text

PROPERTY = "mechcheck"


def attach(item: pytest.Item | pytest.TestReport, record: Record) -> None:
    """Put the record's essentials on the test's report, or on the item that it will be made from."""
    slim = record | {"figures": [], "prompts": record["prompts"] and record["prompts"] | {"examples": []}}
    slim["expectations"] = [e | {"by_template": {}, "control": None} for e in record["expectations"]]
    item.user_properties.append((PROPERTY, json.dumps(slim, allow_nan=False)))
    item.user_properties += decided(record)
    for caveat in record["caveats"]:
        told = f" (accepted: {caveat['accepted']})" if "accepted" in caveat else " (fails it)" if caveat.get("fails") else ""
        item.user_properties.append((f"{PROPERTY}.caveat.{caveat['about']}", f"{caveat['text']}{told}"))
    for found in record["counterexamples"]:
        item.user_properties.append((f"{PROPERTY}.counterexample", found["example"]))


def decided(record: Record) -> Iterator[tuple[str, str]]:
    """The verdict, and the check that decided it, as properties."""
    yield f"{PROPERTY}.verdict", record["verdict"]
    deciding = deciding_check(record)
    if deciding is None:
        return
    estimate = deciding["estimate"]
    yield f"{PROPERTY}.check", deciding_name(record)
    yield f"{PROPERTY}.claimed", claimed_text(deciding)
    yield f"{PROPERTY}.effect", value_text(estimate, ".6g")
    if deciding["kind"] != "for_all":  # a search has no interval
        yield f"{PROPERTY}.interval", interval_text(estimate, ".6g")
    yield f"{PROPERTY}.n", str(estimate["n"])


def attached(report: Any) -> Record | None:
    """The record on a report, if it is a claim's."""
    found = None
    # A report of a failed collection has no properties at all.
    for name, value in getattr(report, "user_properties", ()):
        if name == PROPERTY:
            found = json.loads(value)
    return found
