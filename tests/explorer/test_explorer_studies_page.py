"""Studies in a real browser: run, seen growing, stopped, chosen, and opened again by their address."""

import json
import time

import pytest
from axe import violations
from browser import Browser
from steps import needs_browser

from mechcheck.engine.watch import watched_by

pytestmark = needs_browser

CHOSEN = "[...document.querySelectorAll('.cell[aria-pressed=true]')].map((c) => c.dataset.head).join()"
LIKELIEST = "[...document.querySelectorAll('.next')].map((t) => t.tBodies[0].rows[0].cells[0].textContent)"
RUNNING = "document.querySelectorAll('#s-studies progress:not([hidden])').length"


@pytest.fixture
def opened(browser: Browser, link: str):
    """Open the page with a state, and wait until it has predicted."""

    def go(state: str = "task=ioi", *, dark: bool = False, width: int = 1400) -> Browser:
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.open(link, state, dark=dark)
        browser.until("document.querySelectorAll('.next').length > 0")
        return browser

    yield go
    browser.call("Emulation.clearDeviceMetricsOverride")


def press(browser: Browser, study: str, button: str) -> None:
    browser.evaluate(f"document.querySelector('#study-{study} .{button}').click()")


def text(browser: Browser, study: str, of: str) -> str:
    return browser.evaluate(f"document.querySelector('#study-{study} .{of}').textContent")


def done(browser: Browser, study: str) -> str:
    """What it says when it is over."""
    browser.until(f"{RUNNING} === 0")
    return browser.until(f"document.querySelector('#study-{study} .said').textContent")


def setting(browser: Browser, study: str, name: str, value: object) -> None:
    browser.evaluate(
        f"(() => {{ const f = document.querySelector('#study-{study} [data-setting={name}]'); f.value = {json.dumps(value)};"
        "f.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def choose(browser: Browser, name: str, value: str) -> None:
    browser.evaluate(
        f"(() => {{ const f = document.getElementById('{name}'); f.value = {json.dumps(value)}; f.dispatchEvent(new Event('change')); }})()"
    )


def test_a_targeted_search_finds_heads_that_flip_the_prediction(opened):
    browser = opened("task=ioi&at=END")
    assert browser.evaluate(LIKELIEST) == ["Lucy answer"]
    press(browser, "targeted", "run")
    assert done(browser, "targeted") == "Seth is the prediction with 0.3@END. 8 sets were measured."
    press(browser, "targeted", "choose")
    browser.until(f"{CHOSEN} === '0.3' && document.querySelectorAll('.next').length === 2")
    assert browser.evaluate(LIKELIEST) == ["Lucy answer", "Seth foil"]
    assert browser.evaluate("document.getElementById('heads').value") == "0.3@END"
    assert browser.evaluate("document.querySelector('#do :checked').value") == "patch"
    # It was the search that asked for nothing to be done but a patch: what it found is still there.
    assert browser.evaluate("document.querySelectorAll('#study-targeted .results figure').length") == 1
    browser.evaluate("document.getElementById('undo').click()")
    browser.until(f"{CHOSEN} === ''")
    assert browser.problems() == []


def test_the_trace_grows_step_by_step(opened):
    browser = opened("task=ioi&do=zero&study=tab:generic")
    browser.evaluate(
        "(() => { window.steps = []; new MutationObserver(() => {"
        "const rows = document.querySelectorAll('#study-generic .results tr').length;"
        "if (rows && rows !== window.steps.at(-1)) window.steps.push(rows); })"
        ".observe(document.querySelector('#study-generic .results'), {childList: true, subtree: true}); })()"
    )
    press(browser, "generic", "run")
    assert done(browser, "generic") == "0.1 0.3 1.0 moves the prediction most: no further site brings more. 17 sets were measured."
    assert browser.evaluate("window.steps") == [3, 4, 5, 6]
    # What is chosen does not change what was found; what is done does.
    choose(browser, "heads", "1.1")
    browser.until(f"{CHOSEN} === '1.1'")
    assert browser.evaluate("document.querySelectorAll('#study-generic .results figure').length") == 1
    browser.evaluate("document.querySelector('#do input[value=patch]').click()")
    browser.until("document.querySelectorAll('#study-generic .results figure').length === 0")
    assert text(browser, "generic", "said") == ""


def test_it_runs_while_the_page_goes_on_and_is_stopped(opened):
    browser = opened("task=ioi&do=patch&study=tab:discovery&study=method:prune&study=prompts:240")
    browser.evaluate("document.querySelector('#study-discovery .run').focus()")
    browser.press("Enter")
    browser.until(f"{RUNNING} === 1")
    assert browser.evaluate("document.activeElement.className") == "stop"
    browser.until("document.querySelector('#study-discovery .far').textContent === 'circuits'")
    choose(browser, "heads", "0.3@END")
    browser.until(f"{CHOSEN} === '0.3' && document.querySelectorAll('.next').length === 2")
    assert browser.evaluate(LIKELIEST) == ["Lucy answer", "Seth foil"]
    assert browser.evaluate(RUNNING) == 1
    browser.press("Enter")
    assert done(browser, "discovery") == "stopped"
    assert browser.evaluate("document.activeElement.className") == "run"
    # Another prompt ends it too, and another study does.
    press(browser, "discovery", "run")
    browser.until(f"{RUNNING} === 1")
    press(browser, "lens", "run")
    browser.until("document.querySelectorAll('#study-lens .results figure').length > 0")
    assert text(browser, "discovery", "said") == "stopped"
    press(browser, "discovery", "run")
    browser.until(f"{RUNNING} === 1")
    choose(browser, "text", "When Mary and John went to the park , John gave a ring to")
    browser.until(f"{RUNNING} === 0")
    assert text(browser, "discovery", "said") == ""
    assert browser.evaluate("document.querySelectorAll('#study-lens .results figure').length") == 0


def test_it_ends_when_the_page_is_left(opened):
    browser = opened("task=ioi&study=tab:discovery&study=method:prune&study=prompts:48")
    runs = []
    with watched_by(runs.append):
        press(browser, "discovery", "run")
        browser.until("document.querySelector('#study-discovery .far').textContent === 'circuits'")
        browser.call("Page.navigate", url="about:blank")
        time.sleep(1.0)
        stopped = len(runs)
        time.sleep(1.0)
        assert len(runs) == stopped > 0


def test_errors_stand_at_the_study(opened):
    browser = opened("task=ioi")
    choose(browser, "counterfactual", "")
    browser.until("document.querySelectorAll('#other-tokens span').length === 0")
    told = "(n) => document.querySelector(`#study-${n} .problem`).textContent"
    for study, expected in (("targeted", "choose in Do"), ("patching", "write one"), ("discovery", "take a prompt of one")):
        press(browser, study, "run")
        browser.until(f"({told})('{study}').includes({json.dumps(expected)})")
        assert text(browser, study, "said") == ""
    setting(browser, "steering", "layer", 7)
    assert "entering layer" in text(browser, "steering", "problem")
    press(browser, "steering", "run")
    assert browser.evaluate(RUNNING) == 0
    assert "layer:7" not in browser.evaluate("location.hash")
    setting(browser, "steering", "layer", 2)
    assert text(browser, "steering", "problem") == ""
    assert "layer%3A2" in browser.evaluate("location.hash")
    browser.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    press(browser, "steering", "run")
    browser.until(f"({told})('steering').includes('still running')")
    browser.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    press(browser, "steering", "run")
    browser.until("document.querySelectorAll('#study-steering .results figure').length === 1")
    assert text(browser, "steering", "problem") == ""


def test_tabs_by_keyboard_and_the_address_opens_them_again(opened):
    browser = opened()
    browser.evaluate("document.getElementById('tab-targeted').focus()")
    for _ in range(5):
        browser.press("ArrowRight")
    assert browser.evaluate("document.activeElement.id") == "tab-steering"
    assert browser.evaluate("[...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map((p) => p.id)") == ["study-steering"]
    setting(browser, "steering", "reach", 2.5)
    setting(browser, "steering", "along", "difference")
    setting(browser, "targeted", "size", 3)
    address = browser.evaluate("location.hash")
    assert browser.evaluate("document.getElementById('undo').disabled")
    opened(address.removeprefix("#"))
    assert browser.evaluate("document.querySelector('[aria-selected=true]').id") == "tab-steering"
    values = "[...document.querySelectorAll('[data-setting]')].map((f) => [f.dataset.setting, f.value])"
    found = browser.evaluate(values)
    assert [value for name, value in found if name == "size"] == ["3", "3"]
    assert dict(found)["reach"] == "2.5"
    assert dict(found)["along"] == "difference"
    # What no page has written is as it is to begin with.
    opened("task=ioi&study=tab:none&study=size:99&study=reach:x&study=method:guess&study=place:&study=__proto__:1")
    assert dict(browser.evaluate(values)) | {"size": "4"} == {
        "target": "", "size": "4", "method": "eap-ig-inputs", "prompts": "48", "faithful": "0.9", "along": "unembedding", "layer": "0",
        "place": "END", "reach": "4",
    }  # fmt: skip
    assert browser.evaluate("document.querySelector('[aria-selected=true]').id") == "tab-targeted"


def test_the_slider_reads_out_a_coefficient_at_a_time(opened):
    browser = opened("task=ioi&study=tab:steering&study=layer:1&study=along:difference&study=reach:2")
    press(browser, "steering", "run")
    assert done(browser, "steering").startswith("From −0.5 on the prediction is Seth.")
    out = "document.querySelector('#study-steering .more output').textContent"
    assert "Lucy⁩ is predicted" in browser.evaluate(out)
    slider = "document.querySelector('#study-steering [type=range]')"
    browser.evaluate(f"(() => {{ {slider}.value = 0; {slider}.dispatchEvent(new Event('input')); }})()")
    found = browser.evaluate(out)
    assert found.startswith("−2.000: ⁨Seth⁩ is predicted; logit difference −")
    assert browser.evaluate(f"{slider}.getAttribute('aria-valuetext')") == "−2.000"


def test_a_circuit_is_shown_and_its_heads_are_chosen(opened):
    browser = opened("task=ioi&do=zero&study=tab:discovery&study=prompts:8")
    press(browser, "discovery", "run")
    assert done(browser, "discovery").startswith("9 of 110 edges keep 9")
    assert browser.evaluate("document.querySelectorAll('#study-discovery svg.graph .edge').length") == 9
    assert browser.evaluate("document.querySelector('#study-discovery pre').textContent.includes('[roles.discovered]')")
    press(browser, "discovery", "choose")
    browser.until(f"{CHOSEN} === '0.3,1.0,1.1,1.2,1.3'")
    assert browser.evaluate("document.querySelectorAll('#study-discovery svg.graph').length") == 1
    assert browser.problems() == []


@pytest.mark.parametrize(("dark", "width"), [(False, 1400), (True, 390)], ids=["light", "dark and narrow"])
def test_axe_finds_nothing_in_any_study(opened, axe, dark, width):
    browser = opened("task=ioi&do=patch&at=END&heads=0.3&study=layer:1&study=prompts:8", dark=dark, width=width)
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    for study in ("targeted", "generic", "patching", "discovery", "lens", "steering"):
        browser.evaluate(f"document.getElementById('tab-{study}').click()")
        press(browser, study, "run")
        done(browser, study)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert (found := violations(browser, "#s-studies", dark=dark)) == [], json.dumps(found, indent=1)
