"""The run as a whole: merging evidence, the report, the terminal summary. Lives in the process that owns the run."""

import os
import signal
import subprocess
from collections.abc import Collection, Generator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mechcheck.base.cached import cached_property
from mechcheck.base.outgoing import outgoing, printable
from mechcheck.evidence.leftovers import DeadRun, dead_runs, tell
from mechcheck.evidence.multiplicity import judge_run
from mechcheck.evidence.status import failing_changes
from mechcheck.evidence.store import FILE, SAMPLES, SCHEMA, evidence_of, move_samples, publish, remove
from mechcheck.plugin.baseline import Baseline, Selection
from mechcheck.plugin.junit import add_to_junit
from mechcheck.plugin.resuming.inputs import inputs, take_over
from mechcheck.plugin.roster import Roster
from mechcheck.plugin.settings import SETTINGS, Settings, check_writable, measures
from mechcheck.plugin.signals import Signals
from mechcheck.plugin.terminal import write_summary

PAGE = "index.html"
NOTHING_MEASURED = 10
"""Exit status of a run that collected claims and measured none of them. pytest ends with 0 to 5, its plugins with 6 or 7."""
_FINISHED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_PACKAGES = ("mechcheck", "torch", "transformer-lens", "transformers", "numpy", "scipy", "hypothesis", "pytest")


class Session:
    """Collects what the run's processes left, once all of them are done."""

    def __init__(self, config: pytest.Config, selection: Selection, roster: Roster):
        self.config = config
        self.began = _now()
        self.settings: Settings = config.stash[SETTINGS]
        self.parts = self.settings.parts
        self.selection = selection
        self.roster = roster
        self.baseline = Baseline(self.settings, self.settings.baseline) if self.settings.baseline else None
        self.signals = Signals()
        self.dead: list[DeadRun] | None = None
        """Earlier runs that died here; None as long as no claim is to be run."""
        self.evidence: dict[str, Any] | None = None
        self.folder = self.settings.report
        """Where the evidence is."""
        self.failing: list[str] = []
        self.unmeasured = ""
        """Why nothing was measured, where that is so."""
        self._refused = False
        self.unkept = ""
        """What could not be written, and what is left of it."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        self._begin()

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Before the first claim: what this run would need to be recovered, if it died, and what died before it."""
        if self.dead is not None or not self.roster.claims or not measures(self.config):
            return
        check_writable(self.settings.report)
        self._resume()
        self.signals.install()
        self.parts.save_about(self._run(), self.settings.fdr)
        self.dead = dead_runs(self.settings.report)

    def _resume(self) -> None:
        """Take over what an interrupted run had decided, if this one is to go on with it, and may."""
        if self.settings.resumed is not None:
            self._refused = True
            take_over(self.settings.resumed, self._inputs, self.settings.models)
            self._refused = False

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        return inputs((self.roster.claims or {}).values(), self.settings, self.config.rootpath, versions())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Behind the others' part of it, also where that was interrupted once more."""
        try:
            return (yield)
        finally:
            try:
                with self.signals.deferred():
                    self._finish(session)
            finally:
                self.signals.restore()

    def _finish(self, session: pytest.Session) -> None:
        if self._refused:
            return  # what is there is another run's
        if measures(self.config):
            self._gather(session)
            if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                self.unmeasured = self._why_unmeasured(session)
        if self.evidence is None or (self.folder / FILE).exists():
            self.parts.remove()
        self.parts.release()
        session.exitstatus = self._status(session)

    def _status(self, session: pytest.Session) -> int | pytest.ExitCode:
        """pytest's own exit status, but for what it cannot know."""
        if self.signals.caught == signal.SIGINT:
            return pytest.ExitCode.INTERRUPTED
        if self.signals.caught is not None:
            return 128 + self.signals.caught
        if self.unkept and session.exitstatus in _FINISHED:
            return pytest.ExitCode.INTERNAL_ERROR
        cut = self.evidence is not None and not self.evidence["run"]["complete"]
        if cut and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return pytest.ExitCode.INTERRUPTED
        return NOTHING_MEASURED if self.unmeasured else session.exitstatus

    def _gather(self, session: pytest.Session) -> None:
        parts = self.parts
        parts.heal()
        left = parts.left()
        known = {name: record for name, record in self.roster.reported.items() if name not in left.decided}
        records = list({**left.records, **known}.values())
        if not (records or self.baseline):
            return
        problems = [
            *left.problems,
            *self.roster.losses,
            *(f"the record of {name} was lost: what its test's report said is kept, without figures" for name in known),
        ]
        undecided = self._undecided({*left.decided, *known})
        complete = bool(self.roster.claims or not records) and not undecided and not self.roster.uncollected
        run = self._run() | {"complete": complete, "undecided": undecided, "problems": problems}
        run["multiplicity"] = judge_run(records, self.settings.confidence, self.settings.fdr)
        if self.baseline is not None:
            run["baseline"] = self.baseline.compare(records, parts, run)
            if not records and not run["baseline"]["missing"]:
                return  # a run of other tests, which must not replace evidence by nothing
        evidence = evidence_of(run, records, parts.sentinels(), self.settings.report)
        self._keep(evidence)
        self.evidence = evidence
        self._conclude(session, evidence)
        if complete and not self.unkept:
            for one in self.dead or ():
                if one.told:
                    one.parts.remove()

    def _undecided(self, decided: Collection[str]) -> list[str]:
        return sorted(record["id"] for record in (self.roster.claims or {}).values() if record["id"] not in decided)

    def _keep(self, evidence: dict[str, Any]) -> None:
        """Write the evidence where it belongs; where that cannot be done, where it can be."""
        wanted, spare = self.settings.report, self.parts.spare
        samples = [*self.parts.samples, wanted / evidence["run"]["samples"]]
        try:
            publish(evidence, wanted, samples)
        except (OSError, MemoryError) as error:
            said = f"the evidence could not be written to {_shown(wanted)} ({_why(error)})"
            evidence["run"]["problems"].append(said)
            assert spare is not None
            self.folder = spare.with_name(f"{spare.name}-evidence")
            try:
                publish(evidence, self.folder, samples)
            except (OSError, MemoryError):
                with suppress(OSError):  # on one disk, which needs no room
                    move_samples(self.folder / evidence["run"]["samples"], spare / SAMPLES)
                remove(self.folder)
                self.unkept = f"{said}, and nowhere else; what was decided is kept: make room, and `mechcheck recover {_shown(wanted)}`"
                return
            self.unkept = f"{said}: it is in {self.folder}"
            self.parts.remove()
            remove(samples[-1])
        try:
            from mechcheck.evidence.samples.shown import prompts_of
            from mechcheck.report import write_report

            prompts = None if self.settings.prompts == "none" else prompts_of(evidence, self.folder)
            write_report(evidence, self.folder / PAGE, prompts, self.settings.prompts)
        except (OSError, MemoryError) as error:
            draws = f"`mechcheck report {_shown(self.folder / FILE)}` draws it"
            self.unkept = self.unkept or f"the page could not be written ({_why(error)}): {draws}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.evidence is not None:
            page, file = _shown(self.folder / PAGE), _shown(self.folder / FILE)
            if not (self.folder / FILE).exists():
                page = file = "nowhere"
            write_summary(terminalreporter, self.evidence, page, file, self.failing)
        said = [self.unkept] if self.unkept else []
        if self.unmeasured:
            said.append(f"nothing was measured: {self.unmeasured} (exit status {NOTHING_MEASURED})")
        said += [tell(one) for one in self.dead or () if one.parts.folder.exists()]
        for line in said:
            terminalreporter.ensure_newline()
            terminalreporter.write_line(line, red=True)

    def _why_unmeasured(self, session: pytest.Session) -> str:
        """Why no claim was measured in a run that was asked for some; nothing where one was, or where it was about other tests."""
        claims = self.evidence["claims"] if self.evidence is not None else []
        if any(claim["verdict"] != "skipped" for claim in claims):
            return ""
        if claims:
            return "every claim was skipped"
        nothing_ran = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        return "every claim was deselected" if nothing_ran and self.selection.deselected else ""

    def _conclude(self, session: pytest.Session, evidence: dict[str, Any]) -> None:
        """What only the whole run can tell: what fails it, and what JUnit XML could not say of a claim by itself."""
        undone = (evidence["run"]["multiplicity"] or {}).get("undone", 0)
        if undone and "inconclusive" in self.settings.fail_on and session.exitstatus in _FINISHED:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.baseline is not None:
            self.failing = failing_changes(evidence, self.settings.fail_on)
        if self.failing and session.exitstatus in _FINISHED:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        junit = self.config.getoption("xmlpath", None)
        if junit and (undone or self.baseline is not None):
            add_to_junit(Path(os.path.expandvars(junit)).expanduser(), evidence)

    def _run(self) -> dict[str, Any]:
        settings = self.settings
        commit, dirty = git_state(self.config.rootpath)
        run = {
            "schema": SCHEMA,
            "id": self.parts.run,
            "complete": False,
            "began": self.began,
            "created": _now(),
            "commit": commit,
            "dirty": dirty,
            "seed": settings.seed,
            "profile": settings.profile,
            "confidence": settings.confidence,
            "versions": versions(),
            "device": settings.device,
            "argv": ["pytest", *map(str, self.config.invocation_params.args)],
            "strict": sorted(settings.strict),
            "selection": self.selection.record(),
            "baseline": None,
            "multiplicity": None,
            "inputs": self._inputs,
        }
        if (resumed := self.settings.resumed) is not None:
            run["resumed"] = {"created": resumed.run["created"], "decided": len(resumed.records)}
        return outgoing(run)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _why(error: OSError | MemoryError) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _shown(path: Path) -> str:
    return printable(os.path.relpath(path))


def versions() -> dict[str, str]:
    """Of Python and of the packages that measure."""
    import platform

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # running from a checkout that is not installed
            continue
    return found


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit and whether there are uncommitted changes; None outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    status = git("status", "--porcelain") if commit else None
    return commit, None if status is None else bool(status)
