"""What goes wrong says so where it arose: a server that ends, a prompt that is too long; and references are as many as asked for."""

import json

from browser import Browser
from steps import needs_browser

from mechcheck.explorer.bodies import LIMIT

pytestmark = needs_browser
SLOW = {"source": "import time\n\ndef test_slow():\n    time.sleep(60)\n", "fresh": 1, "problems": [], "here": 0.0, "beside": {}}


def opened(browser: Browser, link: str, state: str) -> Browser:
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.open(link, state)
    browser.until("document.querySelectorAll('.next').length > 0")
    return browser


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a field as a reader does who leaves it afterwards."""
    browser.evaluate(
        f"(() => {{ const f = document.getElementById('{name}'); f.value = {json.dumps(value)};"
        "f.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def test_a_server_that_ends_while_a_claim_runs_says_so(browser, saving, monkeypatch):
    own, _, server = saving
    monkeypatch.setattr(server.workbench, "claim", lambda body: SLOW)
    opened(browser, own.link, "task=ioi&heads=0.3@END&do=patch")
    browser.evaluate("document.querySelector('#claim-form button').click()")
    browser.until("!document.getElementById('made').hidden")
    browser.evaluate("document.getElementById('run').click()")
    browser.until("document.getElementById('claim-said').textContent.startsWith('pytest runs')")
    server.stop()
    told = browser.until("document.getElementById('of-run').textContent")
    assert told == "the server came to its end, and what was run with it"
    assert browser.evaluate("[document.getElementById('run').disabled, document.getElementById('verdict').hidden]") == [False, True]
    assert browser.evaluate("document.getElementById('claim-said').textContent") == ""


def test_a_prompt_that_is_too_long_is_told_at_the_prompt(browser, link):
    opened(browser, link, "task=ioi")
    choose(browser, "text", "Mary and " * 60)
    assert "has 121 tokens, and this model sees" in browser.until("document.getElementById('of-text').textContent")
    choose(browser, "text", "x" * LIMIT)
    assert f"more than {LIMIT:,} bytes" in browser.until("document.getElementById('of-page').textContent")
    choose(browser, "text", "Mary and John")
    browser.until("document.querySelectorAll('#tokens .tok').length === 4")
    assert browser.evaluate("[document.getElementById('of-text').hidden, document.getElementById('of-page').hidden]") == [True, True]


def test_references_are_as_many_as_the_reader_wants(browser, link):
    opened(browser, link, "task=greater_than&heads=1.0&do=mean")
    lines = "document.getElementById('references').value.split('\\n').length"
    there = browser.evaluate("[document.getElementById('taken').textContent, Number(document.getElementById('alike').textContent)]")
    assert there[0] == "8"
    assert there[1] > 20
    assert browser.evaluate(lines) == 8
    before = browser.evaluate("document.getElementById('numbers').textContent")
    choose(browser, "many", "20")
    browser.until(f"{lines} === 20")
    browser.until(f"document.getElementById('numbers').textContent !== {json.dumps(before)}")
    assert browser.evaluate("document.getElementById('taken').textContent") == "20"
    assert "many=20" in browser.evaluate("location.hash")
    # Another prompt has as many, and so has the page that the address opens.
    browser.evaluate("document.getElementById('another').click()")
    browser.until("location.hash.includes('row=1')")
    assert browser.until(f"{lines} === 20")
    choose(browser, "many", "1000")
    browser.until(
        f"document.getElementById('many').value === '64' && {lines} === Math.min(64, Number(document.getElementById('alike').textContent))"
    )
    assert browser.problems() == []
