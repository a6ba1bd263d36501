"""The page in a real browser: what it does, what it asks for, what it costs. Skipped where there is no Chromium."""

import base64
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from mechcheck._figures import Bars, Lines, Table, head_heatmap
from mechcheck._model_figures import AttentionView, CircuitGraph, LensGrid, SearchTrace
from mechcheck.report import _render, anchor, write_report
from mechcheck.report import row as report_row
from mechcheck.report._palette import STEPS, colour

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

Json = dict[str, Any]
TOKENS = ["<s>", " When", " Mary", " and", " John", " went", " to", " the", " store", ",", " John", " gave", " it", " to"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture
def write(tmp_path: Path):
    """Write the page of an evidence, packed or not, and return its path."""

    def writer(evidence: Json, packed: bool | None = None) -> Path:
        path = tmp_path / f"index-{packed}.html"
        with pytest.MonkeyPatch.context() as patch:
            if packed is not None:
                patch.setattr(_render, "_INLINE", -1 if packed else 10**9)
            write_report(evidence, path)
        return path

    return writer


def every_figure() -> list[Json]:
    """A figure of each kind."""
    rng = np.random.default_rng(0)
    n = len(TOKENS)
    patterns = {}
    for head in ("0.0", "0.1", "1.0", "1.1"):
        scores = np.tril(np.exp(2 * rng.normal(size=(n, n))))
        patterns[head] = scores / scores.sum(1, keepdims=True)
    weighted = {head: pattern * rng.gamma(2, size=n) for head, pattern in patterns.items()}
    p = rng.random((3, n))
    top = [[[(" Mary", 0.5), ("John", 0.25)] for _ in TOKENS] for _ in range(3)]
    bands = {"name": ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), "random": ([0.5] * 3, [0.75] * 3)}
    nodes = [("0.1", 0, "S-inhibition"), ("1.0", 1, "name mover"), ("logits", 2, "")]
    figures = [
        head_heatmap("Direct effect", np.array([[0.5, -0.25], [1.0, 0.0]]), "logits"),
        AttentionView("Attention", TOKENS, patterns, weighted),
        LensGrid("Lens", TOKENS, ["0", "1", "2"], p, 1 - p, top),
        Lines("Steering", [0, 1, 2], {"name": [0.5, 1.5, 2.5]}, "scale", "logit difference", bands),
        CircuitGraph("Circuit", nodes, [("0.1", "1.0", 2.0), ("1.0", "logits", -1.0)]),
        SearchTrace("Search", [("0.1", 0.5), ("1.0", 0.1)], "p(answer)", start=0.9, goal=0.2),
        Table("Calibration", ["detector", "precision"], [["variance", 0.8], ["always yes", None]]),
        Bars("Ranking", ["0.1", "1.0"], [2.0, -1.0], [1.0, -2.0], [3.0, 0.0], "logits", 1.0),
    ]  # fmt: skip
    return [figure.data() for figure in figures]


def opened(browser: Browser, claim_id: str) -> None:
    """Open a claim and wait until its figures are drawn."""
    drawn = f"""(async () => {{
      const claim = document.getElementById({json.dumps(anchor(claim_id))}).closest("details");
      claim.open = true;
      while (!claim.dataset.ready) await new Promise((resolve) => setTimeout(resolve, 5));
      return true;
    }})()"""
    assert browser.evaluate(drawn)


def fill_in(browser: Browser, field: str, value: str) -> None:
    """Set a field's value as a reader would."""
    browser.evaluate(
        f"""(() => {{ const field = document.querySelector({json.dumps(field)}); field.value = {json.dumps(value)};
        field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"""
    )


def shown(browser: Browser) -> list[str]:
    """The ids of the claims that are listed, in their order."""
    return browser.evaluate("[...document.querySelectorAll('details.claim:not([hidden]) .body')].map((body) => body.id)")


def numbered(make: SimpleNamespace, effects: list[float]) -> list[Json]:
    """Claims c0, c1, ... of these effects."""
    return [make.claim(f"c{i}", expectations=[make.expectation(x, x - 0.5, x + 0.5)]) for i, x in enumerate(effects)]


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_goes_wrong_and_nothing_is_asked_for(browser: Browser, write, rich: Json, packed: bool) -> None:
    rich["claims"][0]["figures"] += every_figure()
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
    claim["figures"] += [AttentionView(script, [script, "שלום", "\U0001f600"], patterns).data(), *every_figure()]
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
    rows = browser.evaluate("[...document.querySelectorAll('summary.line')].map((row) => row.innerText)")
    assert len(rows) == len(rich["claims"])
    for claim in rich["claims"]:
        told = report_row(claim)
        parts = (claim["statement"][:20], claim["verdict"], told.effect, told.interval, told.n)
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


def test_filter_by_text_verdict_model_and_task(browser: Browser, write, rich: Json) -> None:
    browser.open(write(rich))

    def ids(**wanted: str) -> set[str]:
        return {anchor(c["id"]) for c in rich["claims"] if all(str(c[key]) == value for key, value in wanted.items())}

    def fill(name: str, value: str) -> None:
        fill_in(browser, f"#filters [name={name}]", value)

    fill("verdict", "refuted")
    assert set(shown(browser)) == ids(verdict="refuted")
    assert browser.evaluate("document.getElementById('shown').value") == f"2 of {len(rich['claims'])} shown"
    fill("verdict", "")
    fill("task", "induction")
    assert set(shown(browser)) == ids(task="induction")
    fill("model", "gpt2")
    assert shown(browser) == [anchor("ind/equivalent")]
    fill("task", "")
    fill("model", "")
    fill("text", "FLIP patch")
    assert shown(browser) == [anchor("ioi/flip[patch]")]
    fill("text", "")
    browser.evaluate("document.querySelector('button.count[data-verdict=vacuous]').click()")
    assert set(shown(browser)) == ids(verdict="vacuous")


def test_columns_sort_by_number(browser: Browser, write, make: SimpleNamespace) -> None:
    effects = [9.0, -10.0, 100.0, -2.5, 10.0]
    claims = [*numbered(make, effects), make.claim("none", verdict="errored", met=False, expectations=[])]
    browser.open(write(make.evidence(claims)))
    up = [anchor(f"c{i}") for i in np.argsort(effects)]
    browser.evaluate("document.querySelector('[data-sort=effect]').click()")
    assert shown(browser) == [*up, anchor("none")]
    browser.evaluate("document.querySelector('[data-sort=effect]').click()")
    assert shown(browser) == [*up[::-1], anchor("none")]
    assert browser.evaluate("document.querySelector('[data-sort=effect]').ariaLabel") == "effect, sorted descending"


@pytest.mark.parametrize("packed", [False, True])
def test_a_deep_link_opens_its_claim(browser: Browser, write, make: SimpleNamespace, packed: bool) -> None:
    claims = numbered(make, [float(i) for i in range(60)])
    claims[40]["figures"] = [make.heatmap(2, 2)]
    path = write(make.evidence(claims), packed)
    browser.open(path, "claim-c40")
    assert browser.evaluate("document.getElementById('claim-c40').closest('details').open")
    opened(browser, "c40")
    browser.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    head, top, bottom = browser.evaluate(
        """(() => { const row = document.getElementById('claim-c40').previousElementSibling.getBoundingClientRect();
        return [document.querySelector('.head').getBoundingClientRect().bottom, row.top, row.bottom]; })()"""
    )
    assert head + 30 < bottom  # not hidden by the head of the table, which stays in place
    assert top < 200
    assert browser.evaluate("[...document.querySelectorAll('details.claim[open] .body')].map((b) => b.id)") == ["claim-c40"]
    assert browser.evaluate("document.querySelectorAll('#claim-c40 .grid tbody td').length") == 4
    # A mark on a card leads there too, past a filter that hides it.
    fill_in(browser, "#filters [name=text]", "nothing")
    assert shown(browser) == []
    browser.evaluate("document.querySelector('a.mark[href=\"#claim-c7\"]').click()")
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert browser.evaluate("document.getElementById('claim-c7').closest('details').open")
    assert len(shown(browser)) == 60


def test_keys_walk_and_open_and_everything_can_be_reached(browser: Browser, write, make: SimpleNamespace) -> None:
    browser.open(write(make.evidence(numbered(make, [1.0, 2.0, 3.0]))))
    at = "document.activeElement.closest('details.claim')?.querySelector('.body').id ?? document.activeElement.name ?? ''"
    found = []
    for key in "jjjk":
        browser.press(key)
        found.append(browser.evaluate(at))
    assert found == ["claim-c0", "claim-c1", "claim-c2", "claim-c1"]
    browser.press("Enter")
    assert browser.evaluate("[...document.querySelectorAll('details.claim[open] .body')].map((b) => b.id)") == ["claim-c1"]
    browser.press("/")
    assert browser.evaluate(at) == "text"
    browser.press("j")  # typed, not a command
    assert browser.evaluate("document.getElementById('filters').text.value") == "j"
    # Everything that can be clicked can be reached by Tab.
    stray = "[...document.querySelectorAll('button, a, input, select, summary')].filter((e) => e.tabIndex < 0).length"
    assert browser.evaluate(stray) == 0


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


def test_prompts_can_be_searched(browser: Browser, write, make: SimpleNamespace) -> None:
    claim = make.claim("c")
    example = claim["prompts"]["examples"][0]
    claim["prompts"]["examples"] = [example | {"id": f"{i:010x}", "template": f"template {i}"} for i in range(6)]
    browser.open(write(make.evidence([claim])))
    opened(browser, "c")
    fill_in(browser, "input.find", "template 4")
    rows = "[...document.querySelectorAll('table.prompts tbody tr:not([hidden])')].map((row) => row.cells[1].textContent.trim())"
    assert browser.evaluate(rows) == ["template 4"]


def test_every_figure_can_be_saved(browser: Browser, write, make: SimpleNamespace) -> None:
    figures = every_figure()
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
    assert browser.evaluate("getComputedStyle(document.getElementById('filters')).display") == "none"
    browser.evaluate("localStorage.clear()")
    browser.call("Emulation.setEmulatedMedia", media="")


def thousand(make: SimpleNamespace) -> Json:
    """Claims as a real suite has them: two checks with 20 templates each, controls, decoys, every second with a map of heads."""
    draw = random.Random(0)
    templates = [f"{i}: When {{A}} and {{B}} went to the place {i % 7}, {{B}} gave a {{thing}} to" for i in range(20)]
    claims = []
    for i in range(1000):
        task, model, method = (
            ("ioi", "induction", "agreement", "negation")[i % 4],
            f"names-gpt2-seed{i // 4 % 8}",
            ("zero", "mean")[i // 32 % 2],
        )
        effect = draw.gauss(1, 0.5)
        by_template = {f"{task} {t}": {"value": draw.gauss(effect, 0.4), "n": 10} for t in templates}
        expectations = [
            make.expectation(effect, effect - 0.3, effect + 0.3, label=label, by_template=by_template) for label in ("a > 0", "b > 0")
        ]
        if i % 4 == 0:
            values = [draw.gauss(0, 0.3) for _ in range(20)]
            expectations[0]["control"] = {
                "kind": "random heads",
                "n": 20,
                "values": values,
                "labels": [f"0.{k}" for k in range(20)],
                "effect": effect,
            }
        runs = [{"label": f"0.{k}@END", "verdict": "refuted", "values": {"a > 0": draw.gauss(0, 0.2), "b > 0": 0.0}} for k in range(4)]
        claim = make.claim(
            f"{task}/test_{i // 64}[{method}-{model}]-{i}", task=task, params={"method": method}, model=make.model(model),
            statement=f"Claim {i // 64}: ablating the heads of {task} takes away most of the preference for the answer",
            expectations=expectations, decoys={"kind": "random sites", "n": 4, "supported": 0, "runs": runs},
            figures=[make.heatmap(12, 12, seed=i)] if i % 2 == 0 else [],
        )  # fmt: skip
        claims.append(claim)
    return make.evidence([]) | {"claims": claims}


def test_a_thousand_claims_stay_small_and_quick(browser: Browser, write, make: SimpleNamespace, record_property) -> None:
    path = write(thousand(make))
    size = path.stat().st_size
    begun = time.monotonic()
    browser.open(path)
    loaded = time.monotonic() - begun
    openings = browser.evaluate(
        """(async () => { const claims = document.querySelectorAll('details.claim'); const found = [];
        for (const i of [4, 5, 250, 500, 501, 998]) { const begun = performance.now(); claims[i].open = true;
          while (!claims[i].dataset.ready) await new Promise((resolve) => setTimeout(resolve)); claims[i].getBoundingClientRect();
          found.push(performance.now() - begun); }
        return found; })()"""
    )
    filtering = browser.evaluate(
        """(() => { const form = document.getElementById('filters'); form.text.value = 'induction mean'; const begun = performance.now();
        form.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - begun; })()"""
    )
    record_property("report", {"bytes": size, "load_s": loaded, "open_ms": openings, "filter_ms": filtering})
    assert size <= 5_000_000
    # The aims are 2 s, 50 ms and 50 ms; the bounds leave room for a machine that does other things too.
    assert loaded < 10
    assert sorted(openings)[len(openings) // 2] < 500
    assert filtering < 1000
    assert browser.problems() == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker axe-core, from the package registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine")
    folder = tmp_path_factory.mktemp("axe")
    try:
        done = subprocess.run([npm, "pack", "axe-core@4", "--silent"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry does not answer")
    if done.returncode:
        pytest.skip("the package registry cannot be reached")
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, write, rich: Json, axe: str, dark: bool) -> None:
    rich["claims"][0]["figures"] = every_figure()
    browser.open(write(rich), dark=dark)
    for claim in rich["claims"]:
        opened(browser, claim["id"])
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    # Cells whose lightness is turned round by a filter are beyond what the checker can compute.
    skipped = "[['.grid'], ['.ramp']]" if dark else "[]"
    found = browser.evaluate(
        f"""axe.run({{exclude: {skipped}}}).then((result) => result.violations.map((v) =>
          [v.id, v.impact, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + n.failureSummary)]))"""
    )
    assert found == [], json.dumps(found, indent=1)
