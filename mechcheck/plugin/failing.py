"""--mech-fail-on: which verdicts fail a test, and which are only reported."""

from collections.abc import Generator

import pytest

from mechcheck.plugin.runner import CAVEATS, OUTCOME
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.outcome import Outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail or excuse a claim's test by its verdict; an excused one is an xfail, as those are by default that could not be decided.

    Changing the report, and not the exit status, makes -x, --lf and JUnit XML agree with it.
    """
    report = yield
    outcome = item.stash.get(OUTCOME, None)
    if outcome is None or report.when == "teardown" or outcome.met is not False or item.stash.get(CAVEATS, False):
        return report
    fails = not _words(outcome).isdisjoint(item.config.stash[SETTINGS].fail_on)
    error = call.excinfo.value if call.excinfo else None
    if report.failed and not fails:
        report.outcome = "skipped"
        report.wasxfail = f"{outcome.verdict}, which --mech-fail-on does not list"
    elif (
        fails
        and outcome.verdict in ("inconclusive", "not_applicable")
        and isinstance(error, pytest.xfail.Exception)
        and hasattr(report, "wasxfail")
    ):
        report.outcome = "failed"
        report.longrepr = str(error.msg)
        del report.wasxfail
    return report


def _words(outcome: Outcome) -> set[str]:
    """An unmet verdict as --mech-fail-on calls it: what was decided against the claim is refuted, also an expected refutation.

    A claim that is refuted under some of its methods goes by that word as well, so that a list that was written without the other holds.
    """
    if outcome.verdict == "method_dependent":
        return {"method_dependent", "refuted"}
    return {"refuted" if outcome.verdict == "supported" else outcome.verdict}
