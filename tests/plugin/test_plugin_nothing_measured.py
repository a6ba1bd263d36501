"""A run that collected claims and measured none of them fails, with an exit status of its own; runs of other tests are left alone."""

import pytest

from mechcheck.plugin.session import NOTHING_MEASURED

SKIPPED = """
    @pytest.mark.skip(reason="not here")
    @claim("a", decoy={"mean": -1.0})
    def test_a(check, mean=1.0):
        check.above(around(mean), 0)

    @claim("b", models=["names-gpt2-seed4"])
    def test_b(model, check): ...
"""
MEASURED = """
    @claim("c", decoy={"mean": -1.0})
    def test_c(check, mean=1.0):
        check.above(around(mean), 0)
"""
ORDINARY = """
    def test_plain():
        assert True
"""
ELSEWHERE = "--mech-model=names-gpt2-seed1"
BOTH = pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "two processes"])


def test_the_status_is_neither_pytests_nor_a_known_plugins():
    assert NOTHING_MEASURED not in {int(code) for code in pytest.ExitCode} | {6, 7}  # custom-exit-code, rerunfailures


@BOTH
def test_every_claim_is_skipped(claims, processes):
    run = claims(SKIPPED, ELSEWHERE, *processes)
    assert set(run.verdicts.values()) == {"skipped"}
    assert run.result.ret == NOTHING_MEASURED == 10
    assert "nothing was measured: every claim was skipped (exit status 10)" in run.output


@BOTH
def test_beside_other_tests_too(claims, processes):
    assert claims(SKIPPED + ORDINARY, ELSEWHERE, *processes).result.ret == NOTHING_MEASURED


@BOTH
def test_one_that_is_measured_is_enough(claims, processes):
    run = claims(SKIPPED + MEASURED, ELSEWHERE, *processes)
    assert run.result.ret == 0
    assert "nothing was measured" not in run.output


def test_one_that_errs_is_a_failure_as_always(claims):
    assert claims(SKIPPED + MEASURED.replace("mean), 0)", "mean), [])"), ELSEWHERE).result.ret == pytest.ExitCode.TESTS_FAILED


@BOTH
def test_every_claim_is_deselected_and_nothing_else_runs(claims, processes):
    run = claims(MEASURED + ORDINARY, "-k", "no_such_name", *processes)
    assert run.result.ret == NOTHING_MEASURED
    assert "nothing was measured: every claim was deselected (exit status 10)" in run.output
    assert run.evidence is None


@BOTH
def test_other_tests_that_were_asked_for_are_left_alone(claims, processes):
    run = claims(MEASURED + ORDINARY, "-k", "plain", *processes)
    assert (run.result.ret, run.evidence) == (0, None)


@BOTH
def test_runs_without_claims_are_left_alone(claims, processes):
    assert claims(ORDINARY, *processes).result.ret == 0
    assert claims(ORDINARY, "-k", "no_such_name", *processes).result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    skipped = claims('@pytest.mark.skip(reason="later")\ndef test_plain(): ...', *processes)
    assert skipped.result.ret == 0


def test_collecting_measures_nothing_and_says_nothing(claims):
    run = claims(SKIPPED, "--collect-only")
    assert run.result.ret == 0
    assert "nothing was measured" not in run.output


def test_the_last_failed_of_none(claims):
    """--lf runs everything where nothing failed."""
    assert claims(MEASURED).result.ret == 0
    assert claims.again("--lf").result.ret == 0
    assert claims.again("--lf", "--last-failed-no-failures=none").result.ret == NOTHING_MEASURED


def test_with_a_baseline(claims, pytester):
    claims(MEASURED)
    (pytester.path / "reports").rename(pytester.path / "base")
    gone = claims(MEASURED.replace("@claim", '@pytest.mark.skip(reason="gone")\n    @claim'), "--mech-baseline=base")
    assert gone.claim()["drift"]["status"] == "missing"
    assert gone.result.ret == NOTHING_MEASURED
    failing = claims.again("--mech-baseline=base", "--mech-fail-on=missing")
    assert failing.result.ret == pytest.ExitCode.TESTS_FAILED, "what the run was told to fail on weighs more"
