"""One run of pytest, in a process of its own, and what the watching process wants to know of it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mechcheck.plugin.cases import claim_spec
from mechcheck.plugin.settings import SETTINGS
from mechcheck.plugin.watch.imports import made_of

# In the environment, so that the evidence says what was asked for, and no more.
_QUIETLY = "-q --no-header -W ignore::pytest.PytestAssertRewriteWarning"


class Told(NamedTuple):
    """What a run says; all of it is JSON."""

    status: int
    roots: list[str]
    """What was to be collected: files and folders."""
    arguments: list[str]
    """The same, as they were written."""
    files: dict[str, list[str]]
    """Test file -> what it is made of."""
    items: dict[str, dict[str, Any]]
    """Node id -> its file, its model (None where it has none, or makes it itself), whether it is about that one alone, and the folders
    that circuits are looked for in."""
    outcomes: dict[str, bool]
    """Node id -> whether it passed, of those that ran."""
    broken: list[str]
    """Files that could not be collected."""
    models: list[tuple[str, str]]
    """Models, and their dtypes, that the claims are about."""
    device: str


class _Recorder:
    """Told what the run collects, and how its tests end."""

    def __init__(self) -> None:
        self.told = Told(0, [], [], {}, {}, {}, [], [], "cpu")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        config, told = session.config, self.told
        told.arguments.extend(config.args)
        told.roots.extend(str(_place(config, text)) for text in config.args)
        told.files.update({str(file): sorted(map(str, made_of(file, config.rootpath))) for file in {item.path for item in session.items}})
        told.items.update({item.nodeid: _item(item) for item in session.items})
        models = {(str(item["model"]), str(item["dtype"])) for item in told.items.values() if item["model"]}
        self.told = told._replace(models=sorted(models), device=config.stash[SETTINGS].device)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and report.fspath:
            self.told.broken.append(report.fspath)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.told.outcomes[report.nodeid] = not report.failed and self.told.outcomes.get(report.nodeid, True)


def run_pytest(arguments: Sequence[str], answer: Path) -> int:
    """Run pytest as it would be run by itself, and leave what is to be known in a file."""
    os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} {_QUIETLY}".strip()
    recorder = _Recorder()
    status = int(pytest.main([*arguments], plugins=[recorder]))
    root = Path.cwd()
    broken = sorted({str((root / path).resolve()) for path in recorder.told.broken})
    answer.write_text(json.dumps(recorder.told._replace(status=status, broken=broken)._asdict()), encoding="utf-8")
    return status


def read_told(answer: Path) -> Told | None:
    """What a run has left; None where it was killed before."""
    try:
        return Told(**json.loads(answer.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _place(config: pytest.Config, text: str) -> Path:
    return (config.invocation_params.dir / text.partition("::")[0]).resolve()


def _item(item: pytest.Item) -> dict[str, Any]:
    spec = claim_spec(item)
    callspec = getattr(item, "callspec", None)
    chosen = callspec.params.get("model") if callspec else None
    settings = item.config.stash[SETTINGS]
    folders: list[Path] = []
    if spec is not None and spec.task is not None:
        from mechcheck.circuits.recorded import circuit_folders

        folders = list(circuit_folders(spec.task, item.path.parent, settings.circuits))
    runs = spec is not None and isinstance(chosen, str) and item.get_closest_marker("skip") is None
    others = spec is not None and (
        spec.partners or any(isinstance(one, Mapping) and "model" in one for one in (*spec.decoys, spec.positive_control))
    )
    return {
        "file": str(item.path),
        "model": str(chosen) if runs else None,
        "dtype": getattr(chosen, "dtype", "float32"),
        "alone": runs and not others,
        "circuits": [str(folder.resolve()) for folder in folders],
    }


if __name__ == "__main__":
    sys.exit(run_pytest(sys.argv[2:], Path(sys.argv[1])))
