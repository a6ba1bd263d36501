"""A claim's record on the test's report: plain text, which survives xdist and goes into JUnit XML and pytest-html."""

import json
from typing import Any

import pytest

from mechcheck.evidence.deciding import claimed_text, deciding_check, deciding_name
from mechcheck.evidence.record import Record
from mechcheck.verdicts.words import interval_text, value_text

PROPERTY = "mechcheck"


def attach(item: pytest.Item, record: Record) -> None:
    """Put the record's essentials on the test's report."""
    slim = record | {"figures": [], "prompts": record["prompts"] and record["prompts"] | {"examples": []}}
    slim["expectations"] = [e | {"by_template": {}, "control": None} for e in record["expectations"]]
    item.user_properties.append((PROPERTY, json.dumps(slim, allow_nan=False)))
    item.user_properties.append((f"{PROPERTY}.verdict", record["verdict"]))
    deciding = deciding_check(record)
    if deciding is not None:
        estimate = deciding["estimate"]
        item.user_properties.append((f"{PROPERTY}.check", deciding_name(record)))
        item.user_properties.append((f"{PROPERTY}.claimed", claimed_text(deciding)))
        item.user_properties.append((f"{PROPERTY}.effect", value_text(estimate, ".6g")))
        if deciding["kind"] != "for_all":  # a search has no interval
            item.user_properties.append((f"{PROPERTY}.interval", interval_text(estimate, ".6g")))
        item.user_properties.append((f"{PROPERTY}.n", str(estimate["n"])))
    for found in record["counterexamples"]:
        item.user_properties.append((f"{PROPERTY}.counterexample", found["example"]))


def attached(report: Any) -> Record | None:
    """The record on a report, if it is a claim's."""
    found = None
    # A report of a failed collection has no properties at all.
    for name, value in getattr(report, "user_properties", ()):
        if name == PROPERTY:
            found = json.loads(value)
    return found
