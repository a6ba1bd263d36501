"""JUnit XML: what only the whole run can tell of a claim, added to the file when the last test is done."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechcheck.evidence.drift_text import telling
from mechcheck.evidence.multiplicity import undone_text
from mechcheck.plugin.properties import PROPERTY, decided

Json = dict[str, Any]


def add_to_junit(path: Path, evidence: Mapping[str, Any]) -> None:
    """Add each claim's drift, and what the run made of its verdict, to a finished JUnit XML file.

    Both are known only after the last test, when properties cannot be added.
    """
    claims = {claim["id"]: claim for claim in evidence["claims"] if claim["drift"] or undone_text(claim) is not None}
    tree = ElementTree.parse(path)
    for properties in tree.iterfind(".//testcase/properties"):
        for found in properties.findall(f"property[@name='{PROPERTY}']"):
            record = json.loads(found.attrib["value"])
            if (claim := claims.get(record["id"])) is None:
                continue
            known = {field: claim[field] for field in ("verdict", "met", "reason", "deciding", "drift")}
            found.attrib["value"] = json.dumps(record | known, allow_nan=False)
            for name, value in (dict(decided(claim)) | _properties(claim["drift"])).items():
                _set(properties, name, value)
    gone = (evidence["run"]["baseline"] or {}).get("missing", ())
    for suite in tree.iter("testsuite") if gone else ():
        about = suite.find("properties")
        if about is None:
            about = ElementTree.Element("properties")
            suite.insert(0, about)
        for claim in gone:
            ElementTree.SubElement(about, "property", name=f"{PROPERTY}.drift.missing", value=claim["id"])
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _set(properties: ElementTree.Element, name: str, value: str) -> None:
    found = properties.find(f"property[@name='{name}']")
    if found is None:
        found = ElementTree.SubElement(properties, "property", name=name)
    found.set("value", value)


def _properties(drift: Json | None) -> dict[str, str]:
    if drift is None:
        return {}
    found = {f"{PROPERTY}.drift": drift["status"]}
    e = telling(drift)
    if e is not None:
        d = e["difference"]
        found[f"{PROPERTY}.difference.check"] = e["label"]
        found[f"{PROPERTY}.difference"] = f"{d['value']:.6g} [{d['low']:.6g}, {d['high']:.6g}], margin {e['margin']:.6g}"
    if drift["accepted"]:
        found[f"{PROPERTY}.drift.accepted"] = drift["accepted"]["why"]
    return found
