"""Which claims a run is to decide, known in every process before the first of them is run; and which of them took their process along."""

from typing import Any

import pytest

from mechcheck.evidence.record import Record, record_of
from mechcheck.plugin.cases import case_of
from mechcheck.plugin.properties import attach, attached
from mechcheck.plugin.settings import SETTINGS, measures
from mechcheck.verdicts.outcome import Outcome


class Roster:
    """The claims that were collected and not deselected, as records of claims that were never decided."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.parts = config.stash[SETTINGS].parts
        self.claims: dict[str, Record] | None = None
        """By node id; None until they are known."""
        self.uncollected = False
        """Whether some test file could not be collected, so that nobody knows which claims it has."""
        self.reported: dict[str, Record] = {}
        """Claim id -> what its test's report says of it, which is less than its record and cannot be deleted."""
        self.losses: list[str] = []
        """Which workers of a cluster were lost over which claim."""
        self._interrupted = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell, where this process collects; xdist's controller is told by its workers, before they say that they have collected."""
        if not measures(self.config):
            return
        cases = [case for item in session.items if (case := case_of(item)) is not None]
        self.claims = {case.nodeid: record_of(case, Outcome()) for case in cases}
        if self.claims:
            self.parts.hold()
            self.parts.save_roster(self.claims, keep=not hasattr(self.config, "workerinput"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.uncollected = self.uncollected or report.failed

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        if self.claims is None:
            self.claims = self.parts.roster() or {}
            if self.claims:
                self.parts.hold()
                self.parts.save_roster(self.claims)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = attached(report) if report.when != "teardown" else None
        if record is not None:
            self.reported[record["id"]] = record
            self.parts.adopt(record)
            self.parts.heal()

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workerinput"):
            self.parts.heal()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: Any) -> None:
        self._interrupted = error == "keyboard-interrupt"

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A claim whose process died is decided: errored, whatever it had come to before its test was over."""
        record = (self.claims or {}).get(crashitem)
        if record is None or self._interrupted:
            return
        self.parts.save_record(record)
        attach(report, record)
        if "errored" not in self.config.stash[SETTINGS].fail_on:
            report.outcome = "skipped"
            report.wasxfail = "errored, which --mech-fail-on does not list"
