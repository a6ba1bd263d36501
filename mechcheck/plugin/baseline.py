"""--mech-baseline: which claims the run asked for, and what changed since the baseline."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.accepted import read_accepted
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.runs import Json, RunRecord, read_baseline, read_evidence
from mechcheck.evidence.store import SAMPLES
from mechcheck.models.names import model_name
from mechcheck.plugin.cases import claim_id, claim_spec
from mechcheck.plugin.settings import SETTINGS, Settings

_DESELECTED = "mechcheck_deselected"
# Options that leave files uncollected, so that no hook hears of the claims in them.
_HIDING = {"lf": "--lf", "ignore": "--ignore", "ignore_glob": "--ignore-glob", "pyargs": "--pyargs"}


class Selection:
    """Hears in every process which claims were left out; under xdist the controller collects nothing itself."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.deselected = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        settings = self.config.stash[SETTINGS]
        if not settings.baseline_only or settings.baseline is None:
            return
        known = {claim["id"] for claim in read_evidence(settings.baseline)["claims"] if claim["verdict"] != "skipped"}
        others = [item for item in items if (spec := claim_spec(item)) is None or claim_id(item, spec) not in known]
        items[:] = [item for item in items if item not in set(others)]
        # Nothing that the baseline has was left out, so that a claim of it that is not here is missing.
        deselected, self.deselected = self.deselected, 0
        self.config.hook.pytest_deselected(items=others)
        self.deselected = deselected

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += sum(claim_spec(item) is not None for item in items)

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput[_DESELECTED] = self.deselected

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # Each worker collects everything; one that was killed leaves no output.
        self.deselected = max(self.deselected, getattr(node, "workeroutput", {}).get(_DESELECTED, 0))

    def record(self) -> Json:
        """The run's `selection`, as the evidence schema has it."""
        reasons = [f"{self.deselected} claims were deselected"] if self.deselected else []
        reasons += [option for name, option in _HIDING.items() if self.config.getoption(name, None)]
        return {
            "paths": [_from_root(self.config, argument) for argument in self.config.args],
            "models": [model_name(name) for name in self.config.stash[SETTINGS].models],
            "narrowed": ", ".join(reasons) or None,
        }


def _from_root(config: pytest.Config, argument: str) -> str:
    path, mark, rest = argument.partition("::")
    relative = os.path.relpath(config.invocation_params.dir / path, config.rootpath)
    return Path(relative).as_posix() + mark + rest


class Baseline:
    """The earlier run, read before this one starts: a file that is unfit must not cost a run, and this run may overwrite it."""

    def __init__(self, settings: Settings, file: Path):
        try:
            self._before = read_baseline(file)
            self._accepted = read_accepted(file)
        except MechcheckError as error:
            raise pytest.UsageError(f"--mech-baseline: {error}") from None
        self._margin = settings.margin

    def compare(self, records: Sequence[Json], parts: Parts, run: Json) -> Json:
        """Fill in the `drift` of the records, before they are merged; returns the run's `baseline`."""
        from mechcheck.evidence.compare import compare

        after = RunRecord(run, {record["id"]: record for record in records}, parts.folder / SAMPLES)
        found = compare(self._before, after, fraction=self._margin, accepted=self._accepted)
        for record in records:
            record["drift"] = found.drift.get(record["id"])
        return found.baseline | {"file": os.path.relpath(self._before.file)}
