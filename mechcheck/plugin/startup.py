"""What a run pays before its first claim and after its last one: imports, and passes of the garbage collector over what they brought."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mechcheck.plugin.cases import claim_spec
from mechcheck.plugin.options.cluster import elsewhere
from mechcheck.plugin.settings import measures

BRIDGE = "transformer_lens.model_bridge"
HYPOTHESIS = "hypothesispytest"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Import what models are made of, where a claim is to run on one. At this time nothing is alive yet but what was imported."""
    here = measures(session.config) and not elsewhere(session.config) and BRIDGE not in sys.modules
    if not here or not any(_loads_a_model(item) for item in session.items):
        return
    with for_good():
        import transformer_lens.model_bridge  # noqa: F401


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let Hypothesis' plugin go where no test has used Hypothesis: it would import it now, only to find that it has nothing to say.

    The owner of a run in several processes has not imported it either, and reports what its workers' tests have found.
    """
    manager = session.config.pluginmanager
    if (
        "hypothesis" not in sys.modules
        and manager.hasplugin(HYPOTHESIS)
        and not (manager.hasplugin("dsession") or elsewhere(session.config))
    ):
        manager.unregister(name=HYPOTHESIS)


@contextmanager
def for_good() -> Iterator[None]:
    """Within it is imported what stays: the collector does not run, and never again looks at what is there at the end.

    It would go over a million objects some twenty times while they are made, and ten times more when pytest ends.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if ran:
            gc.enable()


def _loads_a_model(item: pytest.Item) -> bool:
    """Whether it is a claim that our fixture makes a model for."""
    return claim_spec(item) is not None and "model" in getattr(item, "fixturenames", ()) and item.get_closest_marker("skip") is None
