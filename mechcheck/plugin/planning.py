"""`--mech-plan`: what the selected claims will take, told before any model is loaded, and no claim is run."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.models.names import place_of
from mechcheck.plugin.cases import case_of
from mechcheck.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from mechcheck.evidence.costs.plan import Planned
    from mechcheck.models.stored import Stored


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Say what the run would take, in place of it."""
    if session.config.getoption("--mech-plan") is None:
        return None
    if getattr(session.config.option, "numprocesses", None):
        raise pytest.UsageError("--mech-plan tells what one process takes, and needs no others: leave out -n")
    reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if not session.testsfailed:
        for line in _lines(session):
            reporter.write_line(line)
    return True


def _lines(session: pytest.Session) -> list[str]:
    import torch

    from mechcheck.base.speed import multiplications
    from mechcheck.drawing.numbers import quantity, seconds
    from mechcheck.evidence.costs.plan import Machine, loading_seconds, planned, total_seconds
    from mechcheck.models.loading import stored_model

    settings = session.config.stash[SETTINGS]
    if settings.threads:
        torch.set_num_threads(settings.threads)  # as the claims will be
    cases = [case for item in session.items if (case := case_of(item)) is not None]
    unknown: dict[str, str] = {}

    @cache
    def model(name: str) -> "Stored | None":
        try:
            return stored_model(place_of(name, settings.models))
        except MechcheckError as error:
            unknown[name] = str(error)
            return None

    @cache
    def speed(inner: int, outer: int) -> float:
        return multiplications(inner, outer, device=settings.device, dtype=settings.dtype)

    earlier = _earlier(session.config)
    plans = planned(cases, earlier["claims"], earlier.get("run"), Machine(speed, model))
    if not plans:
        return ["mechcheck: no claim was selected that runs on a model whose files are on this machine"]
    models = {plan.model: found for plan in plans if (found := model(plan.model)) is not None}
    lines = [_line(plan) for plan in sorted(plans, key=lambda plan: -plan.seconds)]
    for name, found in models.items():
        lines.append(f"{name}: {found.n_params:,} weights, loaded in {seconds(loading_seconds(found))}")
    lines += [f"not counted: {name}: {why}" for name, why in unknown.items() if any(case.model == name for case in cases)]
    assumed = sum(plan.known_from == "assumed" for plan in plans)
    if assumed:
        lines.append(f"{assumed} of {len(plans)} claims are in no earlier evidence, so that what they take is assumed: run them once with")
        lines.append("--mech-profile smoke on a small model, and name that evidence: --mech-plan reports/evidence.json")
    memory = quantity(max(plan.memory for plan in plans), "B")
    whole = total_seconds(plans, models)
    return [*lines, f"plan: {len(plans)} claims, {seconds(whole)} in one process of {settings.threads or 'all'} threads, at most {memory}"]


def _line(plan: "Planned") -> str:
    from mechcheck.drawing.numbers import quantity, seconds

    counts = f"{plan.forwards:,} forward passes, {quantity(plan.flops, 'FLOP')}, {seconds(plan.seconds)}, {quantity(plan.memory, 'B')}"
    return f"{plan.claim}: {counts} ({plan.known_from if plan.known_from == 'assumed' else f'from {plan.known_from}'})"


def _earlier(config: pytest.Config) -> dict[str, Any]:
    from mechcheck.evidence.runs import read_evidence

    asked = config.getoption("--mech-plan")
    path = config.invocation_params.dir / asked if asked else Path(config.stash[SETTINGS].report, "evidence.json")
    if not asked and not path.is_file():
        return {"claims": []}
    try:
        return read_evidence(path)
    except MechcheckError as error:
        raise pytest.UsageError(f"--mech-plan: {error}") from None
