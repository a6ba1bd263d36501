"""Claims that are decided already: their tests end as they did, and nothing is measured."""

import pytest

from mechcheck.base.cached import cached_property
from mechcheck.evidence.caveats.known import failing_caveats
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.record import Record
from mechcheck.evidence.unfinished.resuming import Interrupted
from mechcheck.plugin.cases import case_of
from mechcheck.plugin.properties import attach
from mechcheck.plugin.runner import CAVEATS, OUTCOME, conclude
from mechcheck.verdicts.outcome import Outcome


class Replay:
    """Keeps decided claims from being run."""

    def __init__(self, parts: Parts, resumed: Interrupted | None):
        self._parts = parts
        self._resumed = resumed

    def pytest_report_collectionfinish(self) -> str:
        return "no run was interrupted here: all is run" if self._resumed is None else self._resumed.text

    @cached_property
    def _records(self) -> dict[str, Record]:
        """As they are there before the first test is run: where several processes run them, one of these may have put them there."""
        left = self._parts.left()
        return {name: record for name, record in left.records.items() if name in left.decided}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        record = self.decided(item)
        if record is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        item.stash[CAVEATS] = len(failing_caveats(record)) > 0
        item.stash[OUTCOME] = Outcome(record["verdict"], record["met"], record["reason"])
        attach(item, record)
        self._tell(item, pytest.CallInfo.from_call(lambda: None, when="setup"))
        self._tell(item, pytest.CallInfo.from_call(lambda: _end(record), when="call"))
        # What the test before left for this one.
        self._tell(item, pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown"))
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def decided(self, item: pytest.Item) -> Record | None:
        """The record of an item that is a decided claim."""
        case = case_of(item) if self._records else None
        record = None if case is None else self._records.get(case.id)
        return record if record is not None and record["nodeid"] == item.nodeid else None

    def _tell(self, item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
        item.ihook.pytest_runtest_logreport(report=item.ihook.pytest_runtest_makereport(item=item, call=call))


def _end(record: Record) -> None:
    """As the claim's test ended."""
    __tracebackhide__ = True
    if record["verdict"] == "skipped":
        pytest.skip(record["reason"])
    if record["verdict"] == "errored":
        pytest.fail(f"errored: {record['reason']}", pytrace=False)
    conclude(record)
