"""--mech-fail-on: which verdicts fail a run."""

import xml.etree.ElementTree as ElementTree

import pytest
from synthetic import HEADER  # noqa: F401  (read by the fixture `claims`)

VERDICTS = """
    @claim("refuted", decoy={"mean": -1.0})
    def test_refuted(check, mean=-1.0):
        check.above(around(mean), 0)

    @claim("supported but expected refuted", expect="refuted", positive_control={"mean": 1.0})
    def test_unexpected(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("inconclusive", decoy={"mean": -1.0})
    def test_inconclusive(check, mean=0.0):
        check.above(around(mean), 0)

    @claim("vacuous", decoy={"mean": 2.0})
    def test_vacuous(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("errored", decoy={"mean": 2.0})
    def test_errored(check, mean=1.0):
        raise KeyError("crash")

    @pytest.fixture
    def broken():
        raise KeyError("fixture")

    @claim("errored before it began")
    def test_fixture(check, broken): ...

    @claim("supported", decoy={"mean": -1.0})
    def test_supported(check, mean=1.0):
        check.above(around(mean), 0)
"""


@pytest.mark.parametrize(
    ("fail_on", "outcomes"),
    [
        (None, {"failed": 4, "errors": 1, "inconclusive": 1, "passed": 1}),
        ("refuted,vacuous,errored", {"failed": 4, "errors": 1, "inconclusive": 1, "passed": 1}),
        ("refuted,vacuous,errored,inconclusive", {"failed": 5, "errors": 1, "passed": 1}),
        ("refuted", {"failed": 2, "vacuous": 1, "errored": 1, "xfailed": 1, "inconclusive": 1, "passed": 1}),
        ("inconclusive", {"failed": 1, "refuted": 1, "vacuous": 1, "errored": 1, "xfailed": 2, "passed": 1}),
        ("", {"refuted": 1, "vacuous": 1, "errored": 1, "xfailed": 2, "inconclusive": 1, "passed": 1}),
    ],
)
def test_verdicts_that_fail_the_run(claims, fail_on, outcomes):
    processes = ("-n2",) if fail_on == "inconclusive" else ()
    options = [] if fail_on is None else [f"--mech-fail-on={fail_on}"]
    run = claims(VERDICTS, *processes, *options)
    assert run.result.parseoutcomes() == outcomes
    assert run.result.ret == (1 if "failed" in outcomes else 0)
    assert run.verdicts == {
        "test_refuted": "refuted", "test_unexpected": "supported", "test_inconclusive": "inconclusive", "test_vacuous": "vacuous",
        "test_errored": "errored", "test_fixture": "errored", "test_supported": "supported",
    }  # fmt: skip


def test_an_inconclusive_claim_that_fails_says_why(claims):
    run = claims(VERDICTS, "-k", "inconclusive", "--mech-fail-on=inconclusive", "-x", "--junitxml=junit.xml")
    assert "inconclusive: inconclusive" in run.output
    run.result.stdout.fnmatch_lines(["    measured *, 95% interval [[]*], n=24 (*)"])
    (case,) = ElementTree.parse("junit.xml").iter("testcase")
    assert case.find("failure") is not None
    claims(VERDICTS, "-k", "test_refuted", "--mech-fail-on=inconclusive", "--junitxml=junit.xml")
    (case,) = ElementTree.parse("junit.xml").iter("testcase")
    assert case.find("failure") is None
    assert case.find("skipped").attrib["message"] == "refuted, which --mech-fail-on does not list"


def test_what_is_no_claim_fails_as_ever(claims):
    run = claims("def test_plain(): assert False\n\n" + "@pytest.fixture\ndef late():\n    yield\n    assert False\n\n", "--mech-fail-on=")
    assert run.result.ret == 1
    source = """
        @pytest.fixture
        def late():
            yield
            assert False

        @claim("x", decoy={"mean": -1.0})
        def test_it(check, late, mean=1.0):
            check.above(around(mean), 0)
    """
    assert claims(source, "--mech-fail-on=").result.parseoutcomes() == {"passed": 1, "errors": 1}
