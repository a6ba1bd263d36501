"""The pytest plugin. Nothing here imports torch when it is loaded: collecting unrelated tests must not pay for it."""

from pathlib import Path

import pytest

from mechcheck.base import standin
from mechcheck.plugin import failing, neutral, planning, spelling, startup
from mechcheck.plugin.baseline import Selection
from mechcheck.plugin.cases import claim_id, claim_spec
from mechcheck.plugin.distribution import pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler, take_gpu
from mechcheck.plugin.fixtures import check, circuit, circuit_for, make_prompts, model, partner, prompts, prompts_for, replicas
from mechcheck.plugin.roster import Roster
from mechcheck.plugin.runner import pytest_pyfunc_call, pytest_runtest_makereport, pytest_runtest_setup
from mechcheck.plugin.selection import pytest_generate_tests
from mechcheck.plugin.session import PAGE, Session
from mechcheck.plugin.settings import REPORT, SETTINGS, check_writable, make_settings, measures, pytest_addoption, pytest_configure_node
from mechcheck.plugin.terminal import pytest_report_teststatus
from mechcheck.verdicts.claim import MARK

__all__ = [
    "check",
    "circuit",
    "circuit_for",
    "make_prompts",
    "model",
    "partner",
    "prompts",
    "prompts_for",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_load_initial_conftests",
    "pytest_pyfunc_call",
    "pytest_report_teststatus",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
    "replicas",
]


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    standin.list_only(early_config.known_args_namespace.collectonly)


def pytest_unconfigure() -> None:
    standin.list_only(False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(spec): a mechanistic hypothesis; write it with the decorator mechcheck.claim.")
    take_gpu(config)
    settings = config.stash[SETTINGS] = make_settings(config)
    selection = Selection(config)
    config.pluginmanager.register(selection, "mechcheck-selection")
    config.pluginmanager.register(failing, "mechcheck-failing")
    config.pluginmanager.register(neutral, "mechcheck-neutral")
    config.pluginmanager.register(spelling, "mechcheck-spelling")
    roster = Roster(config)
    config.pluginmanager.register(roster, "mechcheck-roster")
    config.pluginmanager.register(startup, "mechcheck-startup")
    config.pluginmanager.register(planning, "mechcheck-planning")
    if config.getoption("--mech-resume"):
        from mechcheck.plugin.resuming.replay import Replay

        config.pluginmanager.register(Replay(settings.parts, settings.resumed), "mechcheck-replay")
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--mech-report") != REPORT and measures(config):
        check_writable(settings.report)
    config.pluginmanager.register(Session(config, selection, roster), "mechcheck-session")
    if config.getoption("--mech-cluster") is not None:
        from mechcheck.plugin.cluster.controller import Controller

        config.pluginmanager.register(Controller(config, roster), "mechcheck-cluster")
    if config.pluginmanager.hasplugin("html"):
        from mechcheck.plugin.html import HtmlAdapter

        config.pluginmanager.register(HtmlAdapter(settings.report / PAGE), "mechcheck-html")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse two claims of one id, by which evidence tells them apart, or of one node id, by which pytest's own plugins do."""
    seen: dict[str, str] = {}
    places: dict[str, Path] = {}
    for item in items:
        spec = claim_spec(item)
        if spec is None:
            continue
        name = claim_id(item, spec)
        if seen.setdefault(name, item.nodeid) != item.nodeid:
            raise pytest.UsageError(f"two claims are called {name!r}: {seen[name]} and {item.nodeid}; give one @claim(..., id=...)")
        if places.setdefault(item.nodeid, item.path) != item.path:
            raise pytest.UsageError(
                f"pytest calls two claims {item.nodeid!r}, those of {places[item.nodeid]} and of {item.path}, as files outside of its root "
                "directory have no folder in their names; name a folder that both are in with --rootdir"
            )
    if seen and measures(config) and not hasattr(config, "workerinput"):
        check_writable(config.stash[SETTINGS].report)
