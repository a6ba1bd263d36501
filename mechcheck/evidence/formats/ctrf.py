"""Common Test Report Format (ctrf.io): a test for each claim, as dashboards and bots of CI read it."""

from collections import Counter

from mechcheck.evidence.caveats.known import failing_caveats
from mechcheck.evidence.formats.told import Json, file_of, time_of, told

SPECIFICATION = "0.0.0"
"""What the specification, a working draft, calls its version."""
_STATUSES = ("passed", "failed", "skipped", "pending", "other")


def ctrf(evidence: Json) -> Json:
    """The run as a report of tests: `passed` as claimed, `other` undecided, `skipped` not measured, else `failed`.

    Raises:
        MechcheckError: a run that names no time.
    """
    run, claims = evidence["run"], evidence["claims"]
    stop = int(time_of(run["created"]).timestamp() * 1000)
    start = int(time_of(run["began"]).timestamp() * 1000) if "began" in run else stop
    tests = [_test(claim) for claim in claims]
    counts = Counter(test["status"] for test in tests)
    summary = {"tests": len(tests), **{status: counts[status] for status in _STATUSES}, "start": start, "stop": stop}
    commit = {} if run["commit"] is None else {"commit": run["commit"]}
    about = {name: run[name] for name in ("complete", "seed", "profile", "confidence", "versions", "device") if name in run}
    return {
        "reportFormat": "CTRF",
        "specVersion": SPECIFICATION,
        "timestamp": run["created"],
        "generatedBy": "mechcheck",
        **({"runId": run["id"]} if run.get("id") else {}),
        "results": {
            "tool": {"name": "mechcheck", **_version(run)},
            "summary": summary,
            "tests": tests,
            "environment": {**commit, "extra": about},
        },
    }


def status(claim: Json) -> str:
    """A claim's verdict among the format's words; what a strict run fails for its caveats failed, whatever its verdict."""
    if failing_caveats(claim):
        return "failed"
    if claim["met"]:
        return "passed"
    if claim["verdict"] in ("skipped", "not_applicable"):
        return "skipped"
    return "other" if claim["verdict"] == "inconclusive" else "failed"


def _test(claim: Json) -> Json:
    made = {
        "testId": claim["id"],
        "name": claim["statement"],
        "status": status(claim),
        "rawStatus": claim["verdict"],
        "duration": round(1000 * claim["duration_s"]),
        "message": "\n".join([told(claim), *(f"caveat {text}" for text in failing_caveats(claim))]),
        "suite": [claim["task"] or "no task", *([claim["kind"]] if claim["kind"] else [])],
        "filePath": file_of(claim),
        "parameters": claim["params"],
        "extra": {"expectations": [_check(check) for check in claim["expectations"]], "command": claim["command"]},
    }
    if claim.get("line"):
        made["line"] = claim["line"]
    if claim["model"] is not None:
        made["labels"] = {"model": claim["model"]["name"], "weights_sha256": claim["model"]["weights_sha256"]}
    return made


def _check(check: Json) -> Json:
    return {name: check[name] for name in ("label", "verdict", "region", "unit", "estimate")}


def _version(run: Json) -> Json:
    return {"version": run["versions"]["mechcheck"]} if "mechcheck" in run["versions"] else {}
