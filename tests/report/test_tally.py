"""What several claims come to, in words."""

from types import ModuleType

import pytest
from page_reader import Page

from mechcheck.report import render
from mechcheck.report._tally import outcome


@pytest.mark.parametrize(
    ("verdicts", "state", "text"),
    [
        ([("supported", True), ("refuted", True)], "all", "2 of 2 as claimed"),
        ([("supported", True), ("inconclusive", False)], "undecided", "1 of 2 as claimed, 1 inconclusive"),
        ([("inconclusive", False)], "undecided", "0 of 1 as claimed, 1 inconclusive"),
        ([("refuted", False), ("inconclusive", False), ("skipped", None)], "failed", "0 of 2 as claimed, 1 refuted, 1 inconclusive"),
        ([("supported", False), ("supported", True)], "failed", "1 of 2 as claimed, 1 supported against expectation"),
        ([("vacuous", False), ("errored", False)], "failed", "0 of 2 as claimed, 1 vacuous, 1 errored"),
        ([("skipped", None)], "none", "not run"),
        ([], "none", "not run"),
    ],
)
def test_refuted_is_told_from_inconclusive(verdicts: list, state: str, text: str) -> None:
    came = outcome({"verdict": verdict, "met": met} for verdict, met in verdicts)
    assert (came.state, came.text) == (state, text)


def test_each_part_of_what_did_not_come_out_leads_to_its_claims(make: ModuleType) -> None:
    claims = [
        make.claim("a", verdict="refuted", met=False),
        make.claim("b", verdict="inconclusive", met=False),
        make.claim("c", verdict="inconclusive", met=False),
        make.claim("d"),
    ]
    page = Page(render(make.evidence(claims)))
    assert "1 of 4 claims came out as claimed; 3 did not: 1 refuted, 2 inconclusive." in page.text
    views = [a["data-view"] for a in page.all("a") if "data-view" in a]
    assert views == ["met=no", "met=no&verdict=refuted", "met=no&verdict=inconclusive"]
