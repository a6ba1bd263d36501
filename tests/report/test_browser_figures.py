"""The page in a real browser: figures that are drawn there, read out and saved. Skipped where there is no Chromium."""

import base64
import random
from types import SimpleNamespace

import numpy as np
import pytest
from browser import Browser
from steps import TOKENS, compared_figures, every_figure, fill_in, needs_browser, opened

from mechcheck.drawing.palette import STEPS, colour
from mechcheck.measures.figures.model import CircuitGraph

pytestmark = needs_browser


def test_packed_heatmaps_and_forests_are_those_of_the_plain_page(browser: Browser, write, make: SimpleNamespace) -> None:
    draw = random.Random(3)
    grids = [
        [[draw.gauss(0, 1) for _ in range(7)] for _ in range(5)],
        [[draw.random() / 1000 for _ in range(3)] for _ in range(2)],
        [[-1 - draw.random() for _ in range(3)] for _ in range(2)],
        [[1.5e7, 2e-9, None], [-3e-4, 0.0, 12.6]],
        [[2.0, 2.0]],
    ]
    figures = [make.heatmap(len(v), len(v[0]), values=v) for v in grids]
    forest = {f"template {i}": {"value": draw.gauss(0, 1), "n": i} for i in range(9)}
    evidence = make.evidence([make.claim("c", figures=figures, expectations=[make.expectation(by_template=forest)])])
    seen = []
    for packed in (False, True):
        browser.open(write(evidence, packed))
        opened(browser, "c")
        cells = "[...document.querySelectorAll('.grid tbody td')].map((cell) => [cell.textContent.trim(), cell.className])"
        rows = "[...document.querySelectorAll('.forest tbody tr')].map((row) => row.innerText)"
        dots = "document.querySelector('path.tpl').getAttribute('d').match(/[\\d.]+/g).map(Number)"
        seen.append([browser.evaluate(f"({what})") for what in (cells, rows, dots)])
    plain, unpacked = seen
    assert len(plain[0]) == sum(len(line) for grid in grids for line in grid)
    assert unpacked[0] == plain[0]
    assert unpacked[1] == plain[1]
    np.testing.assert_allclose(unpacked[2], plain[2], atol=1.0)  # drawn from rounded numbers


def test_attention_is_picked_marked_and_read_out(browser: Browser, write, make: SimpleNamespace) -> None:
    figures = every_figure()[:2]
    browser.open(write(make.evidence([make.claim("c", figures=figures)])))
    opened(browser, "c")
    read = "document.querySelector('figure.attention .readout').textContent"
    assert browser.evaluate("[...document.querySelectorAll('figure.attention button.tok bdi')].map((b) => b.textContent)") == [
        "<s>", "When", "Mary", "and", "John_1", "went", "to_1", "the", "store", ",", "John_2", "gave", "it", "to_2",
    ]  # fmt: skip
    which = "document.querySelector('figure.attention .which').textContent"
    assert browser.evaluate(which) == "head 0.0"
    # A cell of the head heatmap leads to that head's attention.
    browser.evaluate("document.querySelector('figure.heads tbody').rows[1].cells[1].click()")
    assert browser.evaluate(which) == "head 1.0"
    browser.evaluate("document.querySelectorAll('.head-button')[0].click()")
    assert browser.evaluate(which) == "mean of heads 1.0, 0.0"

    def weight(name: str, head: str) -> float:
        packed = next(p for p in figures[1]["data"][name] if p["head"] == head)
        byte = base64.b64decode(packed["values"])[13 * len(TOKENS) + 2]
        return packed["low"] + (packed["high"] - packed["low"]) * byte / 255

    browser.evaluate("document.querySelector('.matrix-view').focus()")
    for _ in range(13):
        browser.press("ArrowDown")
    for _ in range(2):
        browser.press("ArrowRight")
    text = browser.evaluate(read)
    assert text.startswith("from \u2068to_2\u2069 to \u2068Mary\u2069: attention ")
    raw, weighted = (float(part.split()[-1]) for part in text.split(" · "))
    assert raw == pytest.approx((weight("patterns", "0.0") + weight("patterns", "1.0")) / 2, abs=6e-4)
    assert weighted == pytest.approx((weight("weighted", "0.0") + weight("weighted", "1.0")) / 2, abs=6e-4)
    # A marked token shows what it attends to; the threshold empties the picture.
    browser.press("Enter")
    assert browser.evaluate("[...document.querySelectorAll('button.tok[aria-pressed=true] bdi')].map((b) => b.textContent)") == ["to_2"]
    assert browser.evaluate("document.querySelectorAll('.matrix-view text.on').length") == 4
    share = browser.evaluate("document.querySelectorAll('button.tok .from')[2].style.width")
    assert float(share.removesuffix("%")) == pytest.approx(100 * raw, abs=0.1)
    picture = "document.querySelector('.matrix-view image').getAttribute('href')"
    before = browser.evaluate(picture)
    fill_in(browser, ".controls input[type=range]", "1")
    assert browser.evaluate(picture) != before
    # No label is cut off by the edge of its picture.
    cut = """[...document.querySelectorAll('.matrix-view')].flatMap((svg) => {
      const { left, top } = svg.getBoundingClientRect();
      const beyond = (text) => text.getBoundingClientRect().left < left || text.getBoundingClientRect().top < top;
      return [...svg.querySelectorAll('text')].filter(beyond); }).length"""
    assert browser.evaluate(cut) == 0
    assert browser.problems() == []


def test_attention_has_the_colours_of_its_bar(browser: Browser, write, make: SimpleNamespace) -> None:
    browser.open(write(make.evidence([])))
    drawn = "pixels(document.createElement('canvas'), [0, 1, -1, 0.5], 2, 1).getContext('2d').getImageData(0, 0, 2, 2).data"
    found = browser.evaluate(f"[...{drawn}]")
    expected = [(*colour(step), 255) for step in (0, STEPS, -STEPS, STEPS // 2)]
    assert found == [byte for pixel in expected for byte in pixel]


def test_heatmaps_read_out_their_exact_values(browser: Browser, write, make: SimpleNamespace) -> None:
    small = make.heatmap(2, 2, values=[[0.123456, -2.0], [None, 1.0]])
    large = make.heatmap(25, 30, values=[[float(f"{r}.{c:02d}") for c in range(30)] for r in range(25)])
    browser.open(write(make.evidence([make.claim("c", figures=[small, large])])))
    opened(browser, "c")
    read = "[...document.querySelectorAll('figure.heat .readout')].map((o) => o.textContent)"
    browser.evaluate("document.querySelector('.grid').focus()")
    assert browser.evaluate(read)[0] == "layer \u20680\u2069, head \u20680\u2069: 0.123456 logits"
    browser.press("ArrowDown")
    assert browser.evaluate(read)[0] == "layer \u20681\u2069, head \u20680\u2069: not measured"
    browser.evaluate("document.querySelector('.frame img').focus()")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        browser.press(key)
    assert browser.evaluate(read)[1] == "layer \u20681\u2069, head \u20682\u2069: 1.02 logits"
    browser.evaluate("document.querySelector('figure.heat details.plain').open = true")
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")
    assert (
        browser.evaluate("document.querySelector('figure.heat details.plain table').tBodies[0].rows[24].cells[30].textContent") == "24.29"
    )


def test_every_figure_can_be_saved(browser: Browser, write, make: SimpleNamespace) -> None:
    figures = [*every_figure(), *compared_figures()]
    browser.open(write(make.evidence([make.claim("c", figures=figures)])), dark=True)
    opened(browser, "c")
    saved = browser.evaluate(
        """(async () => { const found = [];
        for (const figure of [...document.querySelectorAll('figure')].filter((f) => f.querySelector(':scope > .save'))) {
          const text = svgText(figure);
          const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
          const bytes = new Uint8Array(await (await pngOf(figure)).arrayBuffer());
          found.push([figure.querySelector('figcaption')?.textContent.trim() ?? '', parsed.querySelectorAll('parsererror').length,
            parsed.documentElement.textContent, bytes.length, [...bytes.slice(1, 4)], parsed.querySelector('rect').getAttribute('fill')]);
        } return found; })()"""
    )
    assert {figure["title"] for figure in figures} <= {caption for caption, *_ in saved}
    for caption, errors, text, size, signature, paper in saved:
        assert errors == 0
        assert caption.replace(" ", "") in text.replace(" ", "")
        assert (size > 1000, bytes(signature)) == (True, b"PNG")
        assert paper == "rgb(255, 255, 255)"  # for paper, though the page is dark
    assert browser.evaluate("document.documentElement.dataset.theme ?? null") is None
    assert browser.problems() == []


def graph_of_edges() -> dict:
    """Two heads read the input as query, key and value, and speak to the logits; one edge is named by a check of the claim."""
    nodes = [("input", -1, ""), ("0.1", 0, "reader"), ("1.0", 1, "mover"), ("logits", 2, "")]
    edges = [
        ("input", "0.1", 4.0, "q", 3.0, 5.0), ("input", "0.1", 1.0, "v", 0.5, 1.5), ("0.1", "1.0", -2.0, "k", -2.5, -1.5),
        ("1.0", "logits", 0.5, "", 0.25, 0.75),
    ]  # fmt: skip
    return CircuitGraph("Circuit", nodes, edges, "logits", 0.95).data()


def test_a_circuit_is_thinned_read_out_and_leads_to_its_evidence(browser: Browser, write, make: SimpleNamespace) -> None:
    checks = [make.expectation(label="worth of the whole"), make.expectation(label="worth of 0.1->1.0.k > 1")]
    browser.open(write(make.evidence([make.claim("c", figures=[graph_of_edges()], expectations=checks)])))
    opened(browser, "c")
    read = "document.querySelector('figure.circuit .readout').textContent"
    visible = "(e) => getComputedStyle(e).visibility === 'visible'"
    shown = f"[...document.querySelectorAll('figure.circuit .edge[data-size]')].filter({visible}).length"
    assert (browser.evaluate(read), browser.evaluate(shown)) == ("", 4)
    # By keys: the strongest first, each with its value and interval.
    browser.evaluate("document.querySelector('svg.graph').focus()")
    assert browser.evaluate(read) == "\u2068input → 0.1 (query): 4.00 logits, 95% interval [3.00, 5.00]\u2069"
    browser.press("ArrowRight")
    assert browser.evaluate(read) == "\u20680.1 → 1.0 (key): -2.00 logits, 95% interval [-2.50, -1.50]\u2069"
    # A check that names the edge is where Enter leads; an edge without one is a row of the table.
    browser.press("Enter")
    assert "worth of 0.1->1.0.k" in browser.evaluate("document.activeElement.textContent")
    browser.evaluate("document.querySelector('svg.graph').focus()")
    browser.press("ArrowDown")
    browser.press("Enter")
    assert browser.evaluate("[...document.activeElement.cells].map((c) => c.textContent.trim())") == [
        "input",
        "0.1",
        "value",
        "1.00",
        "[0.50, 1.50]",
    ]
    # By the pointer.
    browser.evaluate("document.querySelectorAll('.edge[data-size]')[3].dispatchEvent(new MouseEvent('mouseenter'))")
    assert browser.evaluate(read).startswith("\u20681.0 → logits: 0.50 logits")
    browser.evaluate("document.querySelectorAll('.edge[data-size]')[3].dispatchEvent(new MouseEvent('click', { bubbles: true }))")
    assert browser.evaluate("document.activeElement.cells[1].textContent.trim()") == "logits"
    # The slider hides what is weaker, and what it leaves without edges fades.
    fill_in(browser, "figure.circuit input[type=range]", "0.3")
    assert browser.evaluate(shown) == 2
    assert browser.evaluate("[...document.querySelectorAll('figure.circuit tbody tr')].map((row) => row.hidden)") == [
        False,
        False,
        True,
        True,
    ]
    assert browser.evaluate("document.querySelector('figure.circuit .controls output').textContent") == "1.2 logits: 2 of 4 edges"
    assert browser.evaluate("[...document.querySelectorAll('.node.alone')].map((n) => n.dataset.label)") == ["logits"]
    assert browser.evaluate(read) == ""
    assert not browser.problems()


@pytest.mark.parametrize("dark", [False, True])
def test_a_circuit_without_a_script_is_a_picture_and_a_table(browser: Browser, write, make: SimpleNamespace, dark: bool) -> None:
    browser.open(write(make.evidence([make.claim("c", figures=[graph_of_edges()])])), script=False, dark=dark)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)  # to look at the page, whose own script has not run
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.evaluate("[...document.querySelectorAll('svg.graph .port')].map((t) => t.textContent)") == ["q", "v", "k"]
    assert browser.evaluate("document.querySelectorAll('svg.graph .edge[data-size]').length") == 4
    assert browser.evaluate("document.querySelectorAll('figure.circuit tbody tr').length") == 4
    inputs = "['q', 'k', 'v', 'o'].map((kind) => getComputedStyle(document.querySelector(`svg .edge.${kind} .line`)).stroke)"
    assert len(set(browser.evaluate(inputs))) == 4
    assert browser.evaluate("document.querySelector('figure.circuit input')") is None
