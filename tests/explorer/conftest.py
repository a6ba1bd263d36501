"""Fixtures of the explorer's tests: a server in a thread, a browser."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asking import Asker
from axe import axe_script
from browser import Browser

from mechcheck.explorer.server import Server
from mechcheck.explorer.workbench import Workbench
from mechcheck.models.loading import load_model
from mechcheck.prompts.prompt_set import PromptSet

MODEL = "names-gpt2-seed4"


@pytest.fixture(scope="session")
def link() -> Iterator[str]:
    """Of a server that runs."""
    server = Server(load_model(MODEL))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield server.link
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def asker(link: str) -> Asker:
    """Asks it."""
    return Asker(link)


@pytest.fixture(scope="session")
def bench() -> Workbench:
    """Answers without a server."""
    return Workbench(load_model(MODEL))


@pytest.fixture
def body(bench: Workbench) -> dict[str, Any]:
    """What the page asks of the first prompt of IOI, with nothing done."""
    drawn = bench.example({"task": "ioi", "row": 0})
    del drawn["row"], drawn["alike"]
    return drawn | {"do": "none", "heads": "", "at": [], "factor": 2}


@pytest.fixture
def prompts(bench, body) -> PromptSet:
    """The same prompt, made by hand."""
    return PromptSet.from_text(
        bench.model, [body["text"]], answers=[body["answer"]], foils=[body["foil"]], counterfactual=[body["counterfactual"]],
        positions={name: [at] for name, at in body["positions"].items()}, after_space=True,
    )  # fmt: skip


@pytest.fixture
def references(bench, body) -> PromptSet:
    """The prompts that mean and resample draw from, made by hand."""
    texts = body["references"]
    return PromptSet.from_text(bench.model, texts, positions={name: [at] * len(texts) for name, at in body["positions"].items()})


@pytest.fixture
def wanted(body: dict[str, Any]) -> dict[str, Any]:
    """What the page asks for: heads patched at END, the foil is preferred."""
    return body | {
        "task": "ioi", "row": 0, "heads": "0.3@END", "do": "patch", "statement": "0.3 says who is who", "expects": "below",
        "threshold": "-1", "file": "test_flips.py",
    }  # fmt: skip


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[tuple[Asker, Path, Server]]:
    """A server that saves: (its asker, the folder, itself)."""
    server = Server(load_model(MODEL), folder=tmp_path)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield Asker(server.link), tmp_path, server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a run."""
    with Browser(1400, 1000) as running:
        yield running


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker."""
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture
def opened(browser: Browser, link: str):
    """Open the page with a state, and wait until it has predicted."""

    def go(state: str = "task=ioi", *, dark: bool = False) -> Browser:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.open(link, state, dark=dark)
        browser.until("document.querySelectorAll('.next').length > 0")
        return browser

    return go
