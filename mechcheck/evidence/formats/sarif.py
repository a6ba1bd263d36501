"""SARIF 2.1.0 (OASIS): what is not as claimed, and what best practice warns of, at the lines of the tests, as code scanning shows it."""

from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote

from mechcheck.evidence.caveats.known import briefly
from mechcheck.evidence.formats.told import Json, body_of, file_of, time_of, told

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(evidence: Json) -> Json:
    """The run as a log: a rule for each test, an error for a claim that failed, an open result for one that could not be decided.

    Claims that are as claimed and those that were not measured are left out, since most readers show every result as something to be done.

    Raises:
        MechcheckError: a run that names no time.
    """
    run, claims = evidence["run"], evidence["claims"]
    rules = {body_of(claim): _rule(claim) for claim in claims} | {f"caveat/{about}": _warning(about) for about in _abouts(claims)}
    places = {name: place for place, name in enumerate(rules)}
    results = [one | {"ruleIndex": places[one["ruleId"]]} for claim in claims for one in _results(claim)]
    version = run["versions"].get("mechcheck")
    driver = {"name": "mechcheck", **({"version": version} if version else {}), "rules": list(rules.values())}
    ended = {"endTimeUtc": _utc(run["created"]), **({"startTimeUtc": _utc(run["began"])} if "began" in run else {})}
    invocation = {"executionSuccessful": bool(run["complete"]), "arguments": run["argv"][1:], **ended}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results, "columnKind": "unicodeCodePoints"}],
    }


def _abouts(claims: list[Json]) -> list[str]:
    return sorted({caveat["about"] for claim in claims for caveat in claim.get("caveats", ())})


def _rule(claim: Json) -> Json:
    sources = {"helpUri": f"https://arxiv.org/abs/{found}"} if (found := _arxiv(claim["source"])) else {}
    about = {name: claim[name] for name in ("task", "kind", "source") if claim[name] is not None}
    return {"id": body_of(claim), "shortDescription": {"text": claim["statement"]}, "properties": about, **sources}


def _warning(about: str) -> Json:
    return {"id": f"caveat/{about}", "shortDescription": {"text": briefly(about)}, "defaultConfiguration": {"level": "note"}}


def _results(claim: Json) -> Iterator[Json]:
    """Nothing is told of a claim that is as claimed but its caveats."""
    if claim["met"] is False and claim["verdict"] != "not_applicable":
        undecided = claim["verdict"] == "inconclusive"
        told_as = {"kind": "open", "level": "none"} if undecided else {"kind": "fail", "level": "error"}
        yield _result(claim, body_of(claim), f"{claim['statement']}\n{told(claim)}") | told_as
    for caveat in claim.get("caveats", ()):
        found = _result(claim, f"caveat/{caveat['about']}", f"{claim['statement']}\n{caveat['text']}")
        known = {"suppressions": [{"kind": "inSource", "justification": caveat["accepted"]}]} if "accepted" in caveat else {}
        yield found | {"kind": "fail", "level": "error" if caveat.get("fails") else "note"} | known


def _result(claim: Json, rule: str, text: str) -> Json:
    place: Json = {"artifactLocation": {"uri": quote(file_of(claim))}}
    if claim.get("line"):
        place["region"] = {"startLine": claim["line"]}
    model = {} if claim["model"] is None else {"model": claim["model"]["name"]}
    return {
        "ruleId": rule,
        "message": {"text": text},
        "locations": [{"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": claim["id"]}]}],
        # By what a claim is, and not where it stands or how it came out: the same alert in the next run.
        "partialFingerprints": {"claim/v1": sha256(f"{claim['id']}|{rule}".encode()).hexdigest()},
        "properties": {"verdict": claim["verdict"], **model},
    }


def _arxiv(source: str | None) -> str | None:
    """The number of an arXiv paper that a source names."""
    _, named, rest = (source or "").partition("arXiv:")
    number = rest.split()[0].rstrip(",.;)") if named and rest.split() else ""
    return number if number.replace(".", "", 1).isdigit() else None


def _utc(text: str) -> str:
    return time_of(text).strftime("%Y-%m-%dT%H:%M:%SZ")
