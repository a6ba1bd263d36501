"""In the process that owns the run: claims are handed out, and what comes home goes where pytest's own reports go."""

import os
from concurrent.futures import BrokenExecutor
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import error_text
from mechcheck.cluster.executor import cluster_executor
from mechcheck.cluster.pool import Pool, Task
from mechcheck.cluster.workers import LostWorkerError
from mechcheck.models.names import model_name
from mechcheck.plugin.cases import case_of
from mechcheck.plugin.cluster.shares import needs
from mechcheck.plugin.cluster.worker import Ran, Setup, begin, finish, run_item
from mechcheck.plugin.distribution import pytest_xdist_auto_num_workers
from mechcheck.plugin.options.cluster import asked_of
from mechcheck.plugin.roster import Roster
from mechcheck.plugin.settings import SETTINGS, measures, pytest_configure_node


class Controller:
    """Runs the collected items on workers, instead of here."""

    def __init__(self, config: pytest.Config, roster: Roster):
        self.config = config
        self.roster = roster
        self.asked = asked_of(config)
        self.parts = config.stash[SETTINGS].parts

    def pytest_report_header(self) -> str:
        return f"claims run on: {self.asked.where}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        collected = not session.testsfailed or self.config.option.continue_on_collection_errors
        if not (measures(self.config) and session.items and collected):
            return None  # pytest's own says what there is to say
        items = self._undecided(session)
        if items:
            self._run(session, items)
        return True

    def _run(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        pool = self._pool()
        tasks: dict[Task, pytest.Item] = {}
        try:
            done: SimpleQueue[Task] = SimpleQueue()
            for item, following in _with_following(items):
                tasks[self._submitted(pool, item, following)] = item
            for task in tasks:
                task.add_done_callback(done.put)  # type: ignore[arg-type]
            for _ in range(len(tasks)):
                task = done.get()
                self._take(tasks[task], task)
                del tasks[task]
                _heed(session)
        except BaseException:
            for task, item in tasks.items():
                if task.running() and (record := (self.roster.claims or {}).get(item.nodeid)) is not None:
                    self.parts.save_record(record, "started")
            pool.stop()
            raise
        pool.shutdown()

    def _undecided(self, session: pytest.Session) -> list[pytest.Item]:
        """The items that are to be run; claims that an interrupted run has decided are told here."""
        replay = self.config.pluginmanager.get_plugin("mechcheck-replay")
        if replay is None:
            return session.items
        left = []
        for item in session.items:
            if replay.pytest_runtest_protocol(item, None):
                _heed(session)
            else:
                left.append(item)
        return left

    def _pool(self) -> Pool:
        setup = Setup(
            [str(one) for one in self.config.invocation_params.args], str(self.config.invocation_params.dir), self._told(),
            os.environ.get("PYTEST_ADDOPTS", ""),
        )  # fmt: skip
        asked = self.asked
        workers = asked.workers or (pytest_xdist_auto_num_workers(self.config) if asked.where == "local" else None)
        try:
            return cluster_executor(asked.where, workers, initializer=begin, initargs=(setup,), finalizer=finish, options=asked.jobs)
        except MechcheckError as error:
            raise pytest.UsageError(f"--mech-cluster {asked.where}: {error}") from None

    def _told(self) -> dict[str, Any]:
        """What workers are told, by whichever plugin has something to say to xdist's."""
        told: dict[str, Any] = {"workercount": self.asked.workers or 1, "testrunuid": self.parts.run, "mainargv": ["pytest"]}
        node = SimpleNamespace(config=self.config, workerinput=told, gateway=SimpleNamespace(id="cluster"))
        if hasattr(self.config.hook, "pytest_configure_node"):
            self.config.hook.pytest_configure_node(node=node)
        else:
            pytest_configure_node(node)
        return told

    def _submitted(self, pool: Pool, item: pytest.Item, following: pytest.Item | None) -> Task:
        model = _model_of(item)
        resources = needs(self.asked.resources, model, self.config.stash[SETTINGS].device)
        next_one = following.nodeid if following is not None else None
        return pool.submit(run_item, item.nodeid, next_one, resources=resources, affinity="" if model is None else model_name(model))

    def _take(self, item: pytest.Item, task: Task) -> None:
        """Have an item's reports heard by all of pytest's plugins."""
        for worker in task.losses:
            self.roster.losses.append(f"{item.nodeid}: the worker that ran it was lost ({worker})")
        try:
            ran: Ran = task.result()
        except LostWorkerError as error:
            self._crashed(item, str(error))
            return
        except (BrokenExecutor, MechcheckError) as error:
            raise pytest.UsageError(f"--mech-cluster {self.asked.where}: {error}") from error
        except Exception as error:  # of pytest's or a plugin's in the worker; the others' claims are decided all the same
            why = f"the worker could not run it: {error_text(error)}"
            if (record := (self.roster.claims or {}).get(item.nodeid)) is not None:
                record["reason"] = why  # its process goes on
            self._crashed(item, why)
            return
        self.parts.take(ran.files)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for one in ran.warnings:
            self._warn(one)
        for data in ran.reports:
            hook.pytest_runtest_logreport(report=self.config.hook.pytest_report_from_serializable(config=self.config, data=data))
        if ran.interrupted:
            raise KeyboardInterrupt
        if ran.exited is not None:
            pytest.exit(*ran.exited)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if ran.stop:
            item.session.shouldstop = ran.stop

    def _warn(self, one: dict[str, Any]) -> None:
        from xdist.workermanage import unserialize_warning_message

        warning = unserialize_warning_message(one.pop("data"))
        self.config.hook.pytest_warning_recorded.call_historic(kwargs={"warning_message": warning, **one})

    def _crashed(self, item: pytest.Item, why: str) -> None:
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", f"{why}; it was running {item.nodeid}", "call")
        self.roster.pytest_handlecrashitem(item.nodeid, report)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _heed(session: pytest.Session) -> None:
    """End the run where -x or a plugin says so."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def _with_following(items: list[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    """Each item, and the next one on its model."""
    seen: dict[str | None, pytest.Item] = {}
    found: list[tuple[pytest.Item, pytest.Item | None]] = []
    for item in reversed(items):
        model = _model_of(item)
        found.append((item, seen.get(model)))
        seen[model] = item
    return found[::-1]


def _model_of(item: pytest.Item) -> str | None:
    """The model that a claim is run on, as it was asked for."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = params.get("model")
    return str(chosen) if case_of(item) is not None and isinstance(chosen, str) else None
