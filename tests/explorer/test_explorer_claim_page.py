"""From play to proof in a real browser: a claim is made on the page, shown, run and judged."""

import json
from threading import Thread

import pytest
from axe import violations
from browser import Browser
from steps import needs_browser

from mechcheck.explorer.server import Server
from mechcheck.models.loading import load_model

pytestmark = needs_browser

PATCHED = "task=ioi&heads=0.3@END&do=patch"
SOURCE = "document.getElementById('source').textContent"
FOCUSED = "document.activeElement.id"


@pytest.fixture(scope="module")
def saving(tmp_path_factory):
    """A server that saves: (its link, the folder)."""
    folder = tmp_path_factory.mktemp("claims")
    server = Server(load_model("names-gpt2-seed4"), folder=folder)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield server.link, folder, server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def opened(browser: Browser, saving):
    """Open the page with a state, and wait until it has predicted and all that is to be shown is."""

    def go(state: str = PATCHED, *, dark: bool = False) -> Browser:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.open(saving[0], state, dark=dark)
        browser.until("document.querySelectorAll('.next').length > 0")
        return browser

    return go


def write(browser: Browser, **fields: str) -> None:
    """Fill in the form."""
    for name, value in fields.items():
        browser.evaluate(
            f"(() => {{ const f = document.getElementById('{name}'); f.value = {json.dumps(value)};"
            "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )


def click(browser: Browser, name: str) -> None:
    browser.evaluate(f"document.getElementById('{name}').click()")


def make(browser: Browser, **fields: str) -> None:
    """Make the claim of the page."""
    write(browser, **{"statement": "0.3 says who is who", "threshold": "-1", "file": "test_who.py"} | fields)
    browser.evaluate("document.querySelector('#claim-form button').click()")


def typed(browser: Browser, text: str) -> None:
    for key in text:
        browser.press(key)


def test_from_play_to_a_verdict_by_the_keyboard(opened, saving):
    """Some seconds: pytest runs in a process of its own."""
    saving[2].workbench.measured.clear()
    browser = opened()
    browser.evaluate("document.getElementById('statement').focus()")
    typed(browser, "flips")
    for field, text in (("measure", ""), ("expects", ""), ("threshold", "-1")):
        browser.press("Tab")
        assert browser.evaluate(FOCUSED) == field
        typed(browser, text)
    browser.press("Enter")
    browser.until("!document.getElementById('made').hidden")
    assert browser.evaluate(FOCUSED) == "source"
    source = browser.evaluate(SOURCE)
    assert "'flips'" in source
    assert "THRESHOLD = -1.0" in source
    for name in ("copy", "save", "run"):
        browser.press("Tab")
        assert browser.evaluate(FOCUSED) == name
        if name == "save":
            browser.press("Enter")
            browser.until("document.getElementById('claim-said').textContent.startsWith('saved as')")
            assert (saving[1] / "test_explored.py").read_text() == source
    browser.press("Enter")
    browser.until("!document.getElementById('verdict').hidden", seconds=60)
    assert browser.evaluate("document.getElementById('verdict-word').textContent") == "supported"
    checks = browser.evaluate("[...document.querySelectorAll('#verdict-checks dd')].map((d) => d.textContent)")
    assert checks[0].startswith("-8.773 [")
    assert checks[1].startswith("3 of 3 rejected (random sites of the same kinds, layers")
    assert "1 supported" in browser.evaluate("document.getElementById('printed').textContent")
    assert browser.evaluate("document.getElementById('verdict-reason').textContent") == "on 240 fresh prompts"
    assert browser.evaluate(FOCUSED) == "run"
    assert browser.problems() == []
    # What is changed is no longer what was made, or proven.
    write(browser, threshold="-2")
    assert browser.evaluate("[document.getElementById('made').hidden, document.getElementById('verdict').hidden]") == [True, True]


def test_a_run_is_stopped(opened, saving, monkeypatch):
    slow = {"source": "import time\n\ndef test_slow():\n    time.sleep(60)\n", "fresh": 1, "problems": [], "here": 0.0, "beside": {}}
    monkeypatch.setattr(saving[2].workbench, "claim", lambda body: slow)
    browser = opened()
    make(browser)
    browser.until("!document.getElementById('made').hidden")
    for _ in range(2):  # the second is not refused: nothing of the first runs any more
        click(browser, "run")
        browser.until("document.getElementById('claim-said').textContent.startsWith('pytest runs')")
        assert browser.evaluate(FOCUSED) == "cancel"
        click(browser, "cancel")
        browser.until("document.getElementById('claim-said').textContent === 'stopped'")
        assert browser.evaluate(FOCUSED) == "run"
        browser.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert browser.evaluate("document.getElementById('of-run').hidden")


@pytest.mark.parametrize(
    ("state", "fields", "where"),
    [
        (PATCHED, {"statement": ""}, "statement"),
        (PATCHED, {"threshold": "much"}, "threshold"),
        (PATCHED, {"file": "../x.py"}, "file"),
        ("task=ioi&do=patch", {}, "heads"),
        ("task=ioi&heads=0.3@END", {}, "do"),
        ("text=Mary and John&heads=0.3&do=zero", {}, "claim"),
    ],
)
def test_what_is_missing_is_told_at_its_field(opened, state, fields, where):
    browser = opened(state)
    make(browser, **fields)
    browser.until(f"document.getElementById('of-{where}').textContent")
    assert browser.evaluate("document.getElementById('made').hidden")


def test_a_file_that_is_there_is_replaced_when_asked(opened, saving):
    browser = opened()
    (saving[1] / "test_mine.py").write_text("mine")
    make(browser, file="test_mine.py", statement='</pre><img src=x onerror=window.ran=1> "\\')
    browser.until("!document.getElementById('made').hidden")
    click(browser, "save")
    assert "already" in browser.until("document.getElementById('of-file').textContent")
    assert (saving[1] / "test_mine.py").read_text() == "mine"
    browser.until("!document.getElementById('replace-row').hidden")
    click(browser, "replace")
    click(browser, "save")
    browser.until("document.getElementById('claim-said').textContent.startsWith('saved')")
    assert (saving[1] / "test_mine.py").read_text() == browser.evaluate(SOURCE)
    assert browser.evaluate("[window.ran ?? 0, document.querySelectorAll('img').length]") == [0, 0]


def test_without_a_folder_it_says_how(browser, link):
    browser.open(link, PATCHED)
    browser.until("document.querySelectorAll('.next').length > 0")
    assert browser.evaluate("document.getElementById('save')") is None
    assert "--save-to DIR" in browser.evaluate("document.getElementById('made').textContent")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing_in_a_claim(opened, axe, saving, monkeypatch, dark, width):
    browser = opened(dark=dark)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    make(browser)
    browser.until("!document.getElementById('made').hidden")
    click(browser, "run")
    browser.until("!document.getElementById('verdict').hidden", seconds=60)
    monkeypatch.setattr(
        saving[2].workbench, "claim", lambda body: {"source": "", "fresh": 0, "problems": [{"where": "file", "said": "no such name"}]}
    )
    click(browser, "save")
    browser.until("!document.getElementById('of-file').hidden")
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    assert (found := violations(browser, "html", dark=dark)) == [], json.dumps(found, indent=1)


def test_a_circuit_that_was_discovered_becomes_a_claim_with_its_file(opened, saving):
    browser = opened("task=ioi")
    button = "[...document.querySelectorAll('#study-discovery button')].find((b) => b.textContent === 'claim this circuit')"
    browser.evaluate("document.querySelector('[data-study=discovery]').click()")
    browser.evaluate("document.querySelector('#study-discovery button').click()")
    browser.until(f"Boolean({button})", seconds=60)
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(f"[{FOCUSED}, document.getElementById('measure').value]") == ["statement", "faithful"]
    make(browser, file="test_found.py", threshold="0.2", statement="these edges do it")
    browser.until("!document.getElementById('made').hidden")
    click(browser, "save")
    browser.until("document.getElementById('claim-said').textContent.startsWith('saved as')")
    written = (saving[1] / "test_found.toml").read_text()
    assert written == browser.evaluate("document.getElementById('beside-text').textContent")
    assert "check.faithful(circuit.edges, prompts, margin=THRESHOLD" in (saving[1] / "test_found.py").read_text()
    assert browser.problems() == []
