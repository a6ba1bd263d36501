"""The page in a real browser: what it asks for, what it lets run, who can read it. Skipped where there is no Chromium."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from axe import axe_script, violations
from browser import Browser
from made_prompts import check, difference, texts, told, values
from steps import Json, compared_figures, every_figure, needs_browser, opened

from mechcheck.measures.figures.model import AttentionView
from mechcheck.report import anchor
from mechcheck.report import row as report_row

pytestmark = needs_browser


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_goes_wrong_and_nothing_is_asked_for(browser: Browser, write, rich: Json, packed: bool) -> None:
    rich["claims"][0]["figures"] += [*every_figure(), *compared_figures()]
    path = write(rich, packed)
    browser.open(path)
    for claim in rich["claims"]:
        opened(browser, claim["id"])
    assert browser.problems() == []
    assert browser.requests() == [path.as_uri()]
    kinds = "['heat', 'attention', 'lines', 'group'].map((kind) => document.querySelectorAll(`figure.${kind}`).length > 0)"
    assert browser.evaluate(kinds) == [True] * 4
    # No figure reaches beyond its claim but by scrolling within itself.
    wide = "[...document.querySelectorAll('figure')].filter((f) => f.getBoundingClientRect().right > innerWidth).length"
    assert browser.evaluate(wide) == 0


def test_the_policy_stops_scripts_and_requests(browser: Browser, write, make: SimpleNamespace) -> None:
    browser.open(write(make.evidence([make.claim()])))
    injected = """(async () => {
      const stopped = [];
      document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<img src='x:' onerror='window.ran = true'>");
      await fetch("https://example.invalid/").catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [window.ran ?? false, [...new Set(stopped)].sort()];
    })()"""
    ran, stopped = browser.evaluate(injected)
    assert not ran
    assert {"connect-src", "script-src-elem", "img-src"} <= set(stopped)


@pytest.mark.parametrize("packed", [False, True])
def test_hostile_texts_are_text(browser: Browser, write, make: SimpleNamespace, packed: bool) -> None:
    claim = make.hostile_claim()
    script = "<script>alert(1)</script>"
    patterns = {script: np.eye(3)}
    claim["figures"] += [AttentionView(script, [script, "שלום", "\U0001f600"], patterns).data(), *every_figure(), *compared_figures()]
    browser.open(write(make.evidence([claim]), packed))
    opened(browser, claim["id"])
    body = browser.evaluate(f"document.getElementById({json.dumps(anchor(claim['id']))}).closest('details').innerText")
    assert body.count(script) >= 10
    for text in ("\U0001f600", "שלום", "</style><b>", "{{ 7 * 7 }}", "\\u202e"):
        assert text in body
    assert browser.evaluate("document.querySelectorAll('#claims :is(b, i:not(.sample, .from, .to), u, sup, iframe)').length") == 0
    assert browser.problems() == []
    assert not [event for event in browser.events if event.get("method") == "Page.javascriptDialogOpening"]
    assert all(url.startswith("file:") for url in browser.requests())


@pytest.mark.parametrize("packed", [False, True])
def test_it_reads_with_scripts_switched_off(browser: Browser, write, rich: Json, packed: bool) -> None:
    browser.open(write(rich, packed), script=False)
    assert browser.evaluate("[document.getElementById('filters').hidden, document.getElementById('theme').hidden]") == [True, True]
    rows = browser.evaluate("[...document.querySelectorAll('summary.line')].map((row) => row.textContent)")  # also of rows out of sight
    assert len(rows) == len(rich["claims"])
    for claim in rich["claims"]:
        told = report_row(claim)
        parts = (claim["statement"][:20], claim["verdict"].replace("_", " "), told.effect, told.interval, told.n)
        assert any(all(part in row for part in parts) for row in rows), parts
    # A click opens a claim without any script.
    x, y = browser.evaluate(
        """(() => { const row = document.querySelector('summary.line'); row.scrollIntoView();
        const box = row.getBoundingClientRect(); return [box.x + 9, box.y + 9]; })()"""
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    opened_text = browser.evaluate("document.querySelector('details.claim[open]').innerText")
    assert "repeat it" in opened_text
    assert "pytest" in opened_text


def test_light_dark_and_print(browser: Browser, write, make: SimpleNamespace) -> None:
    path = write(make.evidence([make.claim()]))
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(path)
    browser.evaluate("localStorage.clear()")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
    browser.open(path, dark=True)
    assert browser.evaluate(background) == "rgb(15, 20, 26)"
    click = "(() => { const b = document.getElementById('theme'); b.click(); return b.textContent; })()"
    assert [browser.evaluate(click), browser.evaluate(background)] == ["theme: dark", "rgb(15, 20, 26)"]
    assert [browser.evaluate(click), browser.evaluate(background)] == ["theme: light", "rgb(255, 255, 255)"]
    assert browser.evaluate(click) == "theme: as the system"
    browser.evaluate(click)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
    assert browser.evaluate("document.getElementById('filters').checkVisibility()") is False
    browser.evaluate("localStorage.clear()")
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker axe-core, from the package registry."""
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, write, rich: Json, axe: str, dark: bool, tmp_path: Path) -> None:
    rich["claims"][0]["figures"] = [*every_figure(), *compared_figures()]
    known = texts(60)
    prompts = told(tmp_path, known, **{rich["claims"][0]["id"]: [difference(values(60), known), check(values(60), known)]})
    browser.open(write(rich, prompts=prompts), dark=dark)
    for claim in rich["claims"]:
        opened(browser, claim["id"])
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    assert (found := violations(browser, "html", dark=dark)) == [], json.dumps(found, indent=1)
    # The other positions of what is switched: attention as lines, the last grid of a lens.
    browser.evaluate("document.querySelectorAll('.choice label:last-child input').forEach((input) => input.click())")
    assert (found := violations(browser, "figure", dark=dark)) == [], json.dumps(found, indent=1)
