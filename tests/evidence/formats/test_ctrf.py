"""Test reports for dashboards of CI."""

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.formats.ctrf import ctrf


def test_every_claim_is_a_test_and_counted_by_how_it_came_out(run):
    made = ctrf(run)
    assert {(one["testId"], one["status"], one["rawStatus"]) for one in made["results"]["tests"]} == {
        ("ioi/test_a[m]", "passed", "supported"),
        ("ioi/test_a[n]", "failed", "refuted"),
        ("ioi/test_b[m]", "other", "inconclusive"),
        ("ioi/test_b[n]", "passed", "refuted"),  # as was expected
        ("ioi/test_c[m]", "skipped", "skipped"),
        ("ioi/test_c[n]", "failed", "errored"),
        ("ioi/test_c[o]", "skipped", "not_applicable"),
        ("ioi/test_d[m]", "failed", "vacuous"),
    }
    assert made["results"]["summary"] == {
        "tests": 8, "passed": 2, "failed": 3, "skipped": 2, "pending": 0, "other": 1, "start": 1795227240000, "stop": 1795227270000,
    }  # fmt: skip


def test_what_the_format_demands_is_there(run):
    made = ctrf(run)
    assert (made["reportFormat"], made["specVersion"], made["results"]["tool"]["name"]) == ("CTRF", "0.0.0", "mechcheck")
    for one in made["results"]["tests"]:
        assert isinstance(one["duration"], int)
        assert one["duration"] == 420
        assert all(isinstance(part, str) and part for part in one["suite"])
        assert all(isinstance(value, str) for value in one.get("labels", {}).values())


def test_a_test_says_what_decided_it_and_where_it_is(run):
    supported, _, _, expected, skipped, *_ = ctrf(run)["results"]["tests"]
    assert supported["message"] == "supported: logit difference above 0: +1.25 [+0.98, +1.49]"
    assert expected["message"].startswith("refuted, expected refuted: ")
    assert skipped["message"] == "skipped: no circuit"
    assert (supported["filePath"], supported["line"], supported["parameters"]) == ("claims/a b/test_it.py", 7, {"method": "zero"})
    assert supported["labels"]["model"] == "m"
    assert "labels" not in skipped


def test_of_a_run_that_did_not_say_when_it_began_the_end_is_told_twice(run):
    del run["run"]["began"]
    summary = ctrf(run)["results"]["summary"]
    assert summary["start"] == summary["stop"] == 1795227270000


def test_a_run_of_no_time(run):
    run["run"]["created"] = "yesterday"
    with pytest.raises(MechcheckError, match="made at 'yesterday', which is no time"):
        ctrf(run)


def test_a_strict_run_fails_what_has_caveats(run):
    claim = run["claims"][0]
    claim["caveats"] = [claim["caveats"][0] | {"fails": True}]
    first, *_ = ctrf(run)["results"]["tests"]
    assert (first["status"], first["rawStatus"]) == ("failed", "supported")
    assert first["message"].splitlines()[1] == "caveat bounded_metric: probabilities and accuracies alone were read"
