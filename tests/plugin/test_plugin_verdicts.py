"""How a claim ends: verdict, pytest outcome, exit code, and the reason in the evidence."""

import pytest

from mechcheck.plugin.session import NOTHING_MEASURED

VERDICTS = """
    CONTRAST = {"decoy": {"mean": -1.0}}

    @claim("supported", **CONTRAST)
    def test_supported(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("refuted", **CONTRAST)
    def test_refuted(check, mean=1.0):
        check.above(around(-mean), 0)

    @claim("inconclusive", **CONTRAST)
    def test_inconclusive(check, mean=1.0):
        check.above(around(0), 0)

    @claim("supported whatever the mean", **CONTRAST)
    def test_vacuous(check, mean=1.0):
        check.above(around(1.0), 0)

    @claim("refuted, as expected", expect="refuted", positive_control={"mean": 1.0})
    def test_refuted_as_expected(check, mean=-1.0):
        check.above(around(mean), 0)

    @claim("refuted by nothing", expect="refuted")
    def test_refuted_by_nothing(check, mean=-1.0):
        check.above(around(mean), 0)

    @claim("supported against expectation", expect="refuted", positive_control={"mean": 1.0})
    def test_unexpectedly_supported(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("one of two is refuted", **CONTRAST)
    def test_two_sided(check, mean=1.0):
        check.above(around(mean), 0)
        check.below(around(mean), 0)
        check.above(around(mean), 1)
"""


def test_verdicts_and_outcomes(claims):
    run = claims(VERDICTS, "-rA")
    assert run.verdicts == {
        "test_supported": "supported",
        "test_refuted": "refuted",
        "test_inconclusive": "inconclusive",
        "test_vacuous": "vacuous",
        "test_refuted_as_expected": "refuted",
        "test_refuted_by_nothing": "vacuous",
        "test_unexpectedly_supported": "supported",
        "test_two_sided": "refuted",
    }
    met = {c["id"] for c in run.evidence["claims"] if c["met"]}
    assert met == {"test_supported", "test_refuted_as_expected"}
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert run.result.parseoutcomes() == {"passed": 2, "failed": 5, "inconclusive": 1}


def test_what_a_failure_says(claims):
    run = claims(VERDICTS)
    for line in (
        "refuted: refuted",
        "  refuted: effect > 0",
        "    measured -1, 95% interval [[]-*, -*[]], n=24 (t interval over 8 templates)",
        "  expected: supported",
        "supported: supported against expectation",
        "  expected: refuted",
        "vacuous: supported whatever the mean",
        "  vacuous: the only alternative satisfies it (named by the claim), so it says nothing about this case*",
        "  its refutation says nothing: nothing was found on which the same test is supported. Name one: *positive_control=...*",
    ):
        run.result.stdout.fnmatch_lines_random([line])
    assert "Traceback" not in run.output
    assert run.claim("two_sided")["reason"] == "effect > 0: supported; effect < 0: refuted; effect > 1: inconclusive"


def test_words_of_the_verdicts(claims):
    run = claims(VERDICTS, "-v")
    for name, word in {
        "supported": "SUPPORTED AS CLAIMED",
        "refuted": "REFUTED",
        "inconclusive": "INCONCLUSIVE",
        "vacuous": "VACUOUS",
        "refuted_as_expected": "REFUTED AS CLAIMED",
        "refuted_by_nothing": "VACUOUS",
    }.items():
        run.result.stdout.fnmatch_lines([f"test_claims.py::test_{name} {word} *"])


def test_inconclusive_alone_is_no_failure(claims):
    run = claims(VERDICTS, "-k", "test_inconclusive or test_supported")
    assert run.result.ret == 0
    assert run.claim("inconclusive")["met"] is False


ERRORS = """
    @claim("crashes", decoy={"mean": -1.0})
    def test_exception(check, mean=1.0):
        raise KeyError("no such thing")

    @claim("asserts", decoy={"mean": -1.0})
    def test_assertion(check, mean=1.0):
        check.above(around(mean), 0)
        assert mean == 2, "mean is off"

    @claim("gives up", decoy={"mean": -1.0})
    def test_fail(check, mean=1.0):
        pytest.fail("gave up")

    @claim("NaN", decoy={"mean": -1.0})
    def test_nan(check, mean=1.0):
        check.above(around(float("nan")), 0)

    @claim("a share of nothing", decoy={"mean": -1.0})
    def test_of_nothing(check, mean=1.0):
        check.above(around(mean) / around(0) , 0)

    @claim("checks nothing", decoy={"mean": -1.0})
    def test_nothing_checked(check, mean=1.0):
        around(mean)

    @claim("has no check", decoy={"mean": -1.0})
    def test_no_check(mean=1.0):
        pass

    @pytest.fixture
    def broken():
        raise RuntimeError("no set-up")

    @claim("set-up fails", decoy={"mean": -1.0})
    def test_setup(check, broken, mean=1.0):
        check.above(around(1), 0)

    @claim("its decoy crashes", decoy={"mean": None})
    def test_decoy_crashes(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("its decoy skips", decoy={"mean": -1.0})
    def test_decoy_skips(check, mean=1.0):
        if mean < 0:
            pytest.skip("not for negative means")
        check.above(around(mean), 0)

    @claim("it has no decoy")
    def test_no_decoy(check):
        check.above(around(1), 0)
"""


def test_errors_are_no_refutations(claims):
    run = claims(ERRORS)
    assert {verdict for name, verdict in run.verdicts.items() if name != "test_of_nothing"} == {"errored"}
    assert run.verdicts["test_of_nothing"] == "not_applicable"
    assert all(c["met"] is False for c in run.evidence["claims"])
    assert run.result.parseoutcomes() == {"failed": 9, "not_applicable": 1, "errors": 1}
    for name, reason in {
        "exception": "KeyError: 'no such thing'",
        "assertion": "AssertionError: mean is off",
        "fail": "Failed: gave up",
        "nan": "NonFiniteError: effect is not finite on 24 of 24 prompts (p0, p1, p2)",
        "of_nothing": "effect / effect > 0: undefined",
        "nothing_checked": "ClaimError: this claim checked nothing: use the `check` fixture",
        "no_check": "ClaimError: this claim checked nothing: use the `check` fixture",
        "setup": "RuntimeError: no set-up",
        "decoy_crashes": "ClaimError: the test crashed on its contrast (mean: None): TypeError",
        "decoy_skips": "ClaimError: the test skipped its contrast (mean: -1.0): not for negative means",
        "no_decoy": "ClaimError: a claim without `model` and `circuit` has no decoy of its own: name one with @claim(decoy={...})",
    }.items():
        assert run.claim(f"test_{name}")["reason"].startswith(reason)


def test_what_was_measured_before_an_error_stays_out(claims):
    """A half-finished claim shows no estimate that could be mistaken for its result."""
    assert claims(ERRORS, "-k", "test_assertion").claim()["expectations"] == []


def test_an_assertion_on_a_decoy_decides_nothing(claims):
    run = claims("""
        @claim("the mean is positive", decoy={"mean": -1.0})
        def test_assert(check, mean=1.0):
            assert mean > 0
            check.above(around(mean), 0)

        @claim("the mean is positive", decoy={"mean": -1.0})
        def test_fail(check, mean=1.0):
            if mean < 0:
                pytest.fail("negative")
            check.above(around(mean), 0)
    """)
    assert set(run.verdicts.values()) == {"supported"}
    for name, note in (("assert", "an assertion ended it: "), ("fail", "an assertion ended it: negative")):
        decoys = run.claim(name)["decoys"]
        assert decoys["runs"][0]["verdict"] == "inconclusive"
        assert decoys["runs"][0]["note"].startswith(note)
        assert "cannot tell: the only alternative neither satisfies nor fails it" in decoys["caveat"]


SUBTESTS = """
    @claim("its own subtests fail", decoy={"mean": -1.0})
    def test_own(check, subtests, mean=1.0):
        with subtests.test("never"):
            assert mean > 2
        check.above(around(mean), 0)

    @claim("its decoy's subtests fail", decoy={"mean": -1.0})
    def test_decoys(check, subtests, mean=1.0):
        with subtests.test("large"):
            assert mean > 0
        check.above(around(mean), 0)
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two"])
def test_subtests(claims, workers):
    """A claim whose subtests fail is not supported; those of its decoy decide nothing, and fail nothing."""
    pytest.importorskip("_pytest.subtests", reason="this pytest has no subtests")
    run = claims(SUBTESTS, *workers)
    assert run.verdicts == {"test_own": "errored", "test_decoys": "supported"}
    assert run.claim("own")["reason"].startswith("AssertionError: 1 of its subtests failed: ")
    assert run.claim("decoys")["decoys"]["runs"][0]["verdict"] == "refuted"
    assert "test_decoys" not in "".join(line for line in run.output.splitlines() if line.startswith(("FAILED", "SUBFAILED")))


def test_skips(claims):
    run = claims("""
        @pytest.mark.skip(reason="not yet")
        @claim("skipped by a mark")
        def test_marked(check): ...

        @claim("skipped in its body")
        def test_in_body(check):
            pytest.skip("no data")

        @pytest.fixture
        def data():
            pytest.skip("no network")

        @claim("skipped in its set-up")
        def test_in_setup(check, data): ...
    """)
    assert set(run.verdicts.values()) == {"skipped"}
    assert run.result.ret == NOTHING_MEASURED
    assert [run.claim(n)["reason"] for n in ("marked", "in_body", "in_setup")] == ["not yet", "no data", "no network"]
    assert [c["met"] for c in run.evidence["claims"]] == [None] * 3


def test_xfail_in_a_body_decides_nothing(claims):
    run = claims("""
        @claim("known not to hold")
        def test_it(check):
            pytest.xfail("someone is at it")
    """)
    assert run.claim()["verdict"] == "errored"
    assert "someone is at it" in run.claim()["reason"]
