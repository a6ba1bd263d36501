"""In a worker: one session of pytest for as long as it lives, which runs the claims that it is sent."""

import os
from typing import Any, NamedTuple

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.serving import NUMBER
from mechcheck.plugin.options.cluster import SENT_HOME
from mechcheck.plugin.settings import SETTINGS

# Which claims run is for the controller to say, and only there can one debug.
_CHOOSING = {
    "keyword": "", "markexpr": "", "deselect": None, "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False,
    "stepwise_skip": False, "maxfail": 0, "usepdb": False, "trace": False,
}  # fmt: skip


class Setup(NamedTuple):
    """What a worker is to have in common with the process that owns the run."""

    arguments: list[str]
    folder: str
    """That pytest was started in."""
    told: dict[str, Any]
    """What xdist calls the worker's input; plugins put something there."""
    addopts: str
    """PYTEST_ADDOPTS."""


class Ran(NamedTuple):
    """What became of an item."""

    reports: list[Any]
    """Serialised."""
    warnings: list[dict[str, Any]]
    files: dict[str, bytes]
    """Evidence: packed files by name."""
    exited: tuple[str, int | None] | None
    """Message and status, where it ended the run by `pytest.exit`."""
    interrupted: bool
    """Whether it ended the run as Ctrl-C does."""
    stop: str
    """Why no more are to be run, where something said so."""


class _Recorder:
    """Keeps what is to be sent home."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reports: list[Any] = []
        self.warnings: list[dict[str, Any]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: tuple[str, int, str] | None) -> None:
        if when != "runtest":  # the others the controller has too
            return
        from xdist.remote import serialize_warning_message

        data = serialize_warning_message(warning_message)
        self.warnings.append({"data": data, "when": when, "nodeid": nodeid, "location": location})


class _Here:
    """The worker's session."""

    def __init__(self, setup: Setup) -> None:
        from _pytest.config import _prepareconfig

        if os.path.isdir(setup.folder):  # on another machine it may be another, where the cluster has put the files
            os.chdir(setup.folder)
        os.environ["PYTEST_ADDOPTS"] = setup.addopts
        config = _prepareconfig(setup.arguments, None)
        self.number = os.environ.get(NUMBER, "1")
        config.workerinput = setup.told | {"workerid": f"gw{int(self.number) - 1}", SENT_HOME: True}  # type: ignore[attr-defined]
        config.workeroutput = {}  # type: ignore[attr-defined]
        known = vars(config.option)
        known.update({name: value for name, value in _CHOOSING.items() if name in known})
        config.pluginmanager.unregister(name="terminal")
        self.recorder = _Recorder(config)
        config.pluginmanager.register(self.recorder, "mechcheck-recorder")
        self.config = config
        self.session = pytest.Session.from_config(config)
        config._do_configure()
        config.hook.pytest_sessionstart(session=self.session)
        config.hook.pytest_collection(session=self.session)
        self.items = {item.nodeid: item for item in self.session.items}

    def run(self, nodeid: str, following: str | None) -> Ran:
        item = self.items.get(nodeid)
        if item is None:
            raise MechcheckError(
                f"the worker on {os.uname().nodename} has not collected {nodeid} in {os.getcwd()}: are the files there the same as here?"
            )
        self.session._setupstate.teardown_exact(item)  # another item may have been expected
        exited, interrupted = None, False
        try:
            self.config.hook.pytest_runtest_protocol(item=item, nextitem=self.items.get(following or ""))
        except pytest.exit.Exception as error:
            exited = (str(error.msg), error.returncode)
        except KeyboardInterrupt:
            interrupted = True
        stop = self.session.shouldstop
        return self._told(exited, interrupted, str(stop) if stop else "")

    def _told(self, exited: tuple[str, int | None] | None, interrupted: bool, stop: str) -> Ran:
        from mechcheck.evidence.unfinished.outbox import Outbox

        parts, recorder = self.config.stash[SETTINGS].parts, self.recorder
        assert isinstance(parts, Outbox)
        ran = Ran(recorder.reports, recorder.warnings, parts.taken(self.number), exited, interrupted, stop)
        recorder.reports, recorder.warnings = [], []
        return ran

    def finish(self) -> None:
        self.session._setupstate.teardown_exact(None)
        self.config.hook.pytest_sessionfinish(session=self.session, exitstatus=pytest.ExitCode.OK)
        self.config._ensure_unconfigure()


_here: _Here | None = None


def begin(setup: Setup) -> None:
    """Collect what the controller has collected."""
    global _here
    _here = _Here(setup)


def run_item(nodeid: str, following: str | None) -> Ran:
    """Run an item, and say what became of it.

    Args:
        following: the one that is likely to come next, whose fixtures are kept.
    """
    assert _here is not None
    return _here.run(nodeid, following)


def finish() -> None:
    """End the session: fixtures of the whole session are torn down."""
    if _here is not None:
        _here.finish()
