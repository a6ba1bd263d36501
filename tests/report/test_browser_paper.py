"""The page in a real browser on a phone and on paper. Skipped where there is no Chromium."""

import base64
import re
from collections.abc import Iterator

import pytest
from browser import Browser
from steps import Json, every_figure, needs_browser, opened

pytestmark = needs_browser


@pytest.fixture
def phone(browser: Browser) -> Iterator[Browser]:
    """A window of 390 pixels."""
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    yield browser
    browser.call("Emulation.clearDeviceMetricsOverride")


@pytest.fixture
def paper(browser: Browser) -> Iterator[Browser]:
    """As it is printed, on a page of 720 pixels."""
    browser.call("Emulation.setDeviceMetricsOverride", width=720, height=1000, deviceScaleFactor=1, mobile=False)
    yield browser
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_on_a_phone_nothing_covers_the_title_and_nothing_is_wider_than_the_page(phone: Browser, write, rich: Json) -> None:
    rich["claims"][0]["figures"] += every_figure()
    phone.open(write(rich))
    for claim in rich["claims"]:
        opened(phone, claim["id"])
    through = """(async () => { for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) { scrollTo(0, y);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))); } })()"""
    phone.evaluate(through)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    title = """(() => { scrollTo(0, 0); const range = document.createRange(); range.selectNodeContents(document.querySelector('h1'));
      const box = range.getBoundingClientRect();
      const seen = (at) => document.elementFromPoint(box.left + at * box.width, box.top + box.height / 2);
      return [0.02, 0.5, 0.98].every((at) => seen(at).matches('h1')); })()"""
    assert phone.evaluate(title)
    # What is wider than its place says so, and is reached by Tab; what is not says nothing.
    told = """[...document.querySelectorAll('.scroll, figure')].filter((box) => box.checkVisibility())
      .map((box) => [box.scrollWidth > box.clientWidth + 1, getComputedStyle(box, '::before').content.includes('scrolls sideways'),
        box.tabIndex === 0])"""
    found = phone.evaluate(told)
    assert len([one for one in found if one == [True, True, True]]) >= 3
    assert [one for one in found if one[0] != one[1] or one[0] > one[2]] == []
    # A token stands on one line, below the name of its position.
    tokens = """[...document.querySelectorAll('table.prompts .tok bdi')].filter((token) => token.checkVisibility())
      .map((token) => token.getClientRects().length)"""
    lines = phone.evaluate(tokens)
    assert len(lines) >= 9
    assert set(lines) == {1}


def test_paper_shows_what_is_open_and_cuts_nothing_off(paper: Browser, write, rich: Json) -> None:
    rich["claims"][0]["figures"] += every_figure()
    paper.open(write(rich))
    for claim in rich["claims"][:4]:
        opened(paper, claim["id"])
    paper.call("Emulation.setEmulatedMedia", media="print")
    assert (
        paper.evaluate("[...document.querySelectorAll('details.claim[open] .provenance')].filter((p) => p.checkVisibility()).length") == 4
    )
    beyond = """[...document.querySelectorAll('main *')].filter((e) => e.checkVisibility() && !e.closest('svg svg, .vh, .matrix-view'))
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => `${e.tagName}.${e.className} in ${e.parentElement.className}`)"""
    assert paper.evaluate(beyond) == []
    stuck = """[...document.querySelectorAll('main *')].filter((e) => ['sticky', 'fixed'].includes(getComputedStyle(e).position))
      .filter((e) => e.checkVisibility()).map((e) => e.className)"""
    assert paper.evaluate(stuck) == []
    # Verdicts are words, or symbols that are framed where a claim did not come out as claimed.
    chips = paper.evaluate(
        "[...document.querySelectorAll('summary.line .chip')].map((chip) => chip.innerText.trim().replace(/\\s+/g, ' '))"
    )
    assert {"✗ refuted", "✗ refuted , as expected", "? inconclusive"} <= set(chips)
    frames = paper.evaluate(
        "[...document.querySelectorAll('.marks .mark')].map((m) => [m.matches('.unmet'), getComputedStyle(m).boxShadow !== 'none'])"
    )
    assert {tuple(one) for one in frames} == {(True, True), (False, False)}


def test_it_is_printed_on_pages(browser: Browser, write, rich: Json) -> None:
    browser.open(write(rich))
    one = len(re.findall(rb"/Type /Page\b", base64.b64decode(browser.call("Page.printToPDF")["data"])))
    for claim in rich["claims"]:
        opened(browser, claim["id"])
    many = len(re.findall(rb"/Type /Page\b", base64.b64decode(browser.call("Page.printToPDF")["data"])))
    assert many >= one + 4
