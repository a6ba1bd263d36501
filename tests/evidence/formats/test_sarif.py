"""Logs for code scanning."""

from mechcheck.evidence.formats.sarif import sarif


def results(run: dict) -> list[dict]:
    (log,) = sarif(run)["runs"]
    return log["results"]


def test_only_what_needs_looking_at_is_a_result(run):
    found = [(one["ruleId"].rpartition("::")[2], one["kind"], one["level"], one["properties"]["verdict"]) for one in results(run)]
    assert found == [
        ("caveat/bounded_metric", "fail", "note", "supported"),
        ("test_a", "fail", "error", "refuted"),
        ("caveat/bounded_metric", "fail", "note", "refuted"),
        ("test_b", "open", "none", "inconclusive"),
        ("test_c", "fail", "error", "errored"),
        ("test_d", "fail", "error", "vacuous"),
    ]


def test_a_result_names_its_rule_twice_and_alike(run):
    (log,) = sarif(run)["runs"]
    rules = log["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) == 5
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in log["results"])


def test_it_stands_at_the_line_of_the_test(run):
    _, refuted, *_ = results(run)
    (place,) = refuted["locations"]
    assert place["physicalLocation"] == {"artifactLocation": {"uri": "claims/a%20b/test_it.py"}, "region": {"startLine": 7}}
    assert place["logicalLocations"] == [{"fullyQualifiedName": "ioi/test_a[n]"}]
    assert refuted["message"]["text"].splitlines()[1] == "refuted: logit difference above 0: +1.25 [+0.98, +1.49]"


def test_without_a_line_there_is_no_region(run):
    for claim in run["claims"]:
        claim["line"] = None
    assert all("region" not in one["locations"][0]["physicalLocation"] for one in results(run))


def test_an_alert_is_the_same_one_however_it_came_out_and_wherever_it_stands(run):
    before = results(run)[1]["partialFingerprints"]
    refuted = run["claims"][1]
    refuted["verdict"], refuted["line"] = "vacuous", 20
    assert results(run)[1]["partialFingerprints"] == before
    assert len({tuple(one["partialFingerprints"].values()) for one in results(run)}) == 6


def test_the_paper_is_a_link_and_the_run_says_whether_it_was_whole(run):
    run["run"]["complete"] = False
    (log,) = sarif(run)["runs"]
    assert log["tool"]["driver"]["rules"][0]["helpUri"] == "https://arxiv.org/abs/2211.00593"
    (invocation,) = log["invocations"]
    assert invocation["executionSuccessful"] is False
    assert (invocation["startTimeUtc"], invocation["endTimeUtc"]) == ("2026-11-21T02:14:00Z", "2026-11-21T02:14:30Z")


def test_a_source_that_is_no_paper_of_arxiv_is_no_link(run):
    for claim in run["claims"]:
        claim["source"] = "arXiv: soon"
    assert all("helpUri" not in rule for rule in sarif(run)["runs"][0]["tool"]["driver"]["rules"])


def test_caveats_that_fail_a_claim_or_are_accepted(run):
    first, second, *_ = run["claims"]
    first["caveats"], second["caveats"] = (
        [dict(claim["caveats"][0], **more)] for claim, more in ((first, {"fails": True}), (second, {"accepted": "why"}))
    )
    failing, _, accepted, *_ = results(run)
    assert (failing["ruleId"], failing["level"]) == ("caveat/bounded_metric", "error")
    assert "suppressions" not in failing
    assert (accepted["level"], accepted["suppressions"]) == ("note", [{"kind": "inSource", "justification": "why"}])
