"""The page in a real browser: a lens that is switched, prompts that are picked, attention as a mean and as lines."""

import base64

import numpy as np
import pytest
from browser import Browser
from steps import TOKENS, Json, compared_figures, every_figure, fill_in, needs_browser, opened

from mechcheck import RecordedFigure

pytestmark = needs_browser

HEATS, PROMPTS, RUNS, *_ = compared_figures()
SEEN = (
    "[...document.querySelectorAll('figure.switched .pane')].filter((p) => !p.hidden).map((p) => [p.dataset.run, p.dataset.what, p.open])"
)


@pytest.fixture
def page(browser: Browser, write, make) -> Browser:
    browser.open(write(make.evidence([make.claim("c", figures=[HEATS, PROMPTS, RUNS])])))
    opened(browser, "c")
    return browser


def weights(data: Json) -> np.ndarray:
    """[head, from, to]."""
    n = len(data["tokens"])
    steps = [np.frombuffer(base64.b64decode(one["values"]), np.uint8).reshape(n, n) / 255 for one in data["patterns"]]
    return np.array([one["low"] + (one["high"] - one["low"]) * step for one, step in zip(data["patterns"], steps, strict=True)])


def test_a_lens_is_switched_by_its_run_and_by_what_is_shown(page: Browser) -> None:
    assert page.evaluate(SEEN) == [["clean", "p(answer)", True]]
    page.evaluate("document.querySelectorAll('figure.switched .choice input')[0].focus()")
    page.press("ArrowRight")  # a radio button's own keys
    assert page.evaluate(SEEN) == [["corrupted", "p(answer)", True]]
    page.evaluate("document.querySelectorAll('figure.switched .choice')[1].querySelectorAll('input')[2].click()")
    assert page.evaluate(SEEN) == [["corrupted", "most probable token", True]]
    cells = (
        "[...new Set([...document.querySelectorAll('figure.switched .pane[open] td[class^=b]')].map((cell) => cell.textContent.trim()))]"
    )
    assert page.evaluate(cells) == ["corrupted"]
    saved = page.evaluate("svgText(document.querySelector('figure.switched'))")
    assert "corrupted:" in saved.replace("</text>", " ")
    assert "clean:" not in saved
    assert page.problems() == []


def test_heatmaps_are_coloured_on_their_common_scale(page: Browser) -> None:
    classes = "[...document.querySelectorAll('figure.group .grid tbody td')].map((cell) => [cell.textContent.trim(), cell.className])"
    assert page.evaluate(classes) == [["0.50", "b6"], ["0.25", "b3"], ["-2.00", "o24"], ["1.00", "b12"]]
    keys = "[...document.querySelectorAll('figure.group .key')].map((key) => key.innerText.replace(/\\s+/g, ' '))"
    (key,) = page.evaluate(keys)
    assert key.endswith("logits · one scale for all 2")
    page.evaluate("document.querySelectorAll('figure.group .grid')[1].focus()")
    read = page.evaluate("document.querySelectorAll('figure.group .readout')[1].textContent")
    assert read.startswith("layer \u20680\u2069, head \u20680\u2069: -2 logits")


def test_a_prompt_is_picked_and_its_heads_stay_picked(page: Browser) -> None:
    tokens = "[...document.querySelectorAll('figure.attention button.tok bdi')].map((b) => b.textContent)"
    which = "document.querySelector('figure.attention .which').textContent"
    assert len(page.evaluate(tokens)) == len(TOKENS)
    page.evaluate("document.querySelectorAll('figure.attention .head-button')[1].click()")
    fill_in(page, ".prompts select", "1")
    assert page.evaluate(tokens) == ["<s>", "When", "Mary"]
    assert page.evaluate(which) == "mean of heads 0.0, 0.1 on prompt 1"
    page.evaluate("document.querySelector('.matrix-view').focus()")
    page.press("ArrowDown")
    read = page.evaluate("document.querySelector('figure.attention .readout').textContent")
    assert read.startswith("from \u2068When\u2069 to \u2068<s>\u2069: attention ")
    expected = weights(PROMPTS["data"]["others"][0]).mean(0)[1, 0]
    assert float(read.split("attention ")[1].split()[0]) == pytest.approx(expected, abs=6e-4)
    assert page.problems() == []


def test_the_mean_over_heads_has_a_scale_of_its_own(page: Browser) -> None:
    key = "document.querySelector('figure.attention .panel .key').innerText.replace(/\\s+/g, ' ').trim()"
    assert page.evaluate(key) == "0 1 attention"
    page.evaluate("[...document.querySelectorAll('figure.attention .head-button')].at(-1).click()")
    most = weights(PROMPTS["data"]).mean(0).max()
    low, high, told = page.evaluate(key).split(" ", 2)
    assert (low, told) == ("0", "attention · the mean, on a scale of its own")
    assert float(high) == pytest.approx(most, rel=2e-3)
    pressed = "[...document.querySelectorAll('figure.attention .head-button')].map((b) => b.getAttribute('aria-pressed'))"
    assert page.evaluate(pressed) == ["true", "true", "true"]


def test_attention_as_lines_has_a_line_for_each_weight_and_of_a_marked_token_its_own(page: Browser) -> None:
    page.evaluate("document.querySelectorAll('figure.attention .choice input')[1].click()")
    lines = "document.querySelectorAll('.lines-view')[0].querySelectorAll('.weights path').length"
    values = weights(PROMPTS["data"])[0]
    assert page.evaluate(lines) == (values > 0.01).sum()
    # The widest line is drawn last, and is that of the largest weight.
    widest = "document.querySelectorAll('.lines-view')[0].querySelector('.weights path:last-child').getAttribute('stroke-width')"
    assert float(page.evaluate(widest)) == pytest.approx(0.6 + 2.4 * values.max(), abs=0.01)
    page.evaluate("document.querySelector('.lines-view').focus()")
    page.press("ArrowDown")
    page.press("Enter")
    assert page.evaluate(lines) == (values[1] > 0.01).sum() + (values[:, 1] > 0.01).sum() - (values[1, 1] > 0.01)
    assert (
        page.evaluate("[...document.querySelectorAll('.lines-view')[0].querySelectorAll('.on')].map((t) => t.textContent)") == ["When"] * 2
    )
    # Below the threshold nothing is left but the largest.
    page.evaluate("document.querySelectorAll('button.tok')[1].click()")
    fill_in(page, "figure.attention input[type=range]", "0.99")
    assert page.evaluate(lines) == (values > 0.99).sum()
    assert page.problems() == []
    assert page.requests() == [url for url in page.requests() if url.startswith("file:")]


@pytest.mark.parametrize("width", [390, 1400])
def test_no_figure_is_wider_than_its_page(browser: Browser, tmp_path, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 480)
    try:
        for record in (*every_figure(), *compared_figures()):
            browser.open(RecordedFigure(record).save(tmp_path / "figure.html"))
            assert browser.evaluate("document.documentElement.scrollWidth") == width, record["title"]
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
