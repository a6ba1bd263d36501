"""The run as a whole: merging evidence, the report, the terminal summary. Lives in the process that owns the run."""

import os
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mechcheck.base.outgoing import outgoing, printable
from mechcheck.evidence.multiplicity import judge_run
from mechcheck.evidence.status import failing_changes
from mechcheck.evidence.store import FILE, SCHEMA, merge
from mechcheck.plugin.baseline import Baseline, Selection
from mechcheck.plugin.junit import add_to_junit
from mechcheck.plugin.settings import RUN_FOLDER, SETTINGS, Settings
from mechcheck.plugin.terminal import write_summary

PAGE = "index.html"
NOTHING_MEASURED = 10
"""Exit status of a run that collected claims and measured none of them. pytest ends with 0 to 5, its plugins with 6 or 7."""
_FINISHED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_PACKAGES = ("mechcheck", "torch", "transformer-lens", "transformers", "numpy", "scipy", "hypothesis", "pytest")


class Session:
    """Collects what the run's processes left, once all of them are done."""

    def __init__(self, config: pytest.Config, selection: Selection):
        self.config = config
        self.settings: Settings = config.stash[SETTINGS]
        self.selection = selection
        self.baseline = Baseline(self.settings, self.settings.baseline) if self.settings.baseline else None
        self.evidence: dict[str, Any] | None = None
        self.failing: list[str] = []
        self.unmeasured = ""
        """Why nothing was measured, where that is so."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.config.option.collectonly:
            return
        self._gather(session, exitstatus)
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            self.unmeasured = self._why_unmeasured(session)
        if self.unmeasured:
            session.exitstatus = NOTHING_MEASURED

    def _gather(self, session: pytest.Session, exitstatus: int) -> None:
        parts = self.settings.parts
        ran = (parts.folder / "claims").is_dir()
        if not (ran or self.baseline):
            return
        stopped = bool(session.shouldstop or session.shouldfail)
        complete = exitstatus in _FINISHED and not stopped
        run, records = self._run(complete), parts.records()
        run["multiplicity"] = judge_run(records, self.settings.confidence, self.settings.fdr)
        if self.baseline is not None:
            run["baseline"] = self.baseline.compare(records, parts, run)
            if not ran and not run["baseline"]["missing"]:
                return  # a run of other tests, which must not replace evidence by nothing
            parts.folder.mkdir(parents=True, exist_ok=True)
        self.evidence = merge(parts.folder, self.settings.report, run, records)
        self._conclude(session, self.evidence)
        from mechcheck.report import write_report

        write_report(self.evidence, self.settings.report / PAGE)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.evidence is not None:
            page, file = _shown(self.settings.report / PAGE), _shown(self.settings.report / FILE)
            write_summary(terminalreporter, self.evidence, page, file, self.failing)
        if self.unmeasured:
            terminalreporter.ensure_newline()
            terminalreporter.write_line(f"nothing was measured: {self.unmeasured} (exit status {NOTHING_MEASURED})", red=True)

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

    def _run(self, complete: bool) -> dict[str, Any]:
        settings = self.settings
        commit, dirty = _git_state(self.config.rootpath)
        run = {
            "schema": SCHEMA,
            "id": settings.parts.folder.name.removeprefix(RUN_FOLDER),
            "complete": complete,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit,
            "dirty": dirty,
            "seed": settings.seed,
            "profile": settings.profile,
            "confidence": settings.confidence,
            "versions": _versions(),
            "device": settings.device,
            "argv": ["pytest", *map(str, self.config.invocation_params.args)],
            "selection": self.selection.record(),
            "baseline": None,
            "multiplicity": None,
        }
        return outgoing(run)


def _shown(path: Path) -> str:
    return printable(os.path.relpath(path))


def _versions() -> dict[str, str]:
    import platform

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # running from a checkout that is not installed
            continue
    return found


def _git_state(root: Path) -> tuple[str | None, bool | None]:
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
