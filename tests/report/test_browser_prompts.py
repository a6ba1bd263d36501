"""Every prompt of a claim in a real browser: sorted, searched, read by keys. Skipped where there is no Chromium."""

import math
import time
from types import SimpleNamespace

import pytest
from browser import Browser
from made_prompts import check, difference, texts, told, values
from steps import Json, fill_in, needs_browser, opened

from mechcheck.report import write_report
from mechcheck.report._prompts import Prompts
from mechcheck.report._values import MOST

pytestmark = needs_browser

N = 60
TEXTS = texts(N)
LOST, THERE = difference(values(N), TEXTS), check([1.0 if x > 0 else 0.0 for x in values(N, 1)], TEXTS)
THERE["operands"] = [{"name": "preference", "unit": "logits", "values": values(N, 1), "sign": 1}]


@pytest.fixture
def page(browser: Browser, make: SimpleNamespace, tmp_path):
    """Write the page of one claim, open it, and open the claim; returns its evidence and what was told."""

    def opener(
        checks: list[Json], expectations: list[Json], *, dark: bool = False, known: Json | None = TEXTS, **changes
    ) -> tuple[Json, Json]:
        evidence = make.evidence([make.claim("c", expectations=expectations, **changes)])
        found = told(tmp_path, known, c=checks)
        write_report(evidence, tmp_path / "index.html", found)
        browser.open(tmp_path / "index.html", dark=dark)
        opened(browser, "c")
        return evidence, found

    return opener


def column(browser: Browser, at: int = 0) -> list[str]:
    """What stands in one column."""
    return browser.evaluate(f"[...document.querySelectorAll('.every tbody tr')].map((row) => row.cells[{at}].textContent)")


def click(browser: Browser, label: str) -> None:
    """Press the button that is called so, or that begins with it."""
    browser.evaluate(f"[...document.querySelectorAll('.every button')].find((b) => b.textContent.startsWith({label!r})).click()")


@pytest.mark.parametrize(
    ("found", "expectation"),
    [
        (LOST, {"threshold": 0.5}),
        (LOST, {"kind": "below", "threshold": 0.5}),
        (LOST, {"kind": "between", "threshold": [0.5, 1.5]}),
        (THERE, {"kind": "rate", "threshold": 0.5}),
        (THERE, {"kind": "rate", "threshold": 0.5, "region": [None, 0.5]}),
        (check([float("nan"), float("inf"), 2.0, float("-inf"), 1.0], TEXTS), {"threshold": 0.0}),
        (check([10000.0 + value / 10 for value in values(N)], TEXTS), {"threshold": 10000.1}),
        (difference([math.nan, 1.0, math.nan, 1.0, 1.0], TEXTS), {"threshold": 0.0}),
    ],
    ids=["above", "below", "between", "rate", "rate below", "not finite", "far from zero", "undefined"],
)
def test_the_browser_has_the_order_of_the_page(browser: Browser, page, make: SimpleNamespace, found: Json, expectation: Json) -> None:
    evidence, known = page([found], [make.expectation(**expectation)])
    (made,) = Prompts(known).checks(evidence["claims"][0])
    click(browser, "all")
    ids = browser.evaluate("[...document.querySelectorAll('.every tbody tr')].map((row) => row.cells[1].title)")
    assert ids == [made.ids[row] for row in made.order]
    assert browser.evaluate("document.querySelectorAll('.every tbody tr.wrong').length") == len(made.wrong)
    assert browser.problems() == []


def test_a_few_rows_at_a_time(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST], [make.expectation()])
    assert (len(column(browser)), browser.evaluate("document.querySelector('.every output').value")) == (25, "25 of 60 shown")
    click(browser, "25 more")
    assert len(column(browser)) == 50
    click(browser, "10 more")
    assert len(column(browser)) == 60
    assert browser.evaluate("[...document.querySelectorAll('.every button')].filter((b) => b.hidden).length") == 2


def test_sorting_by_any_column_and_searching(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST], [make.expectation()])
    ordered = sorted(float(f"{value:.4g}") for value in LOST["values"])
    assert [float(x) for x in column(browser)] == ordered[:25]
    click(browser, "best first")
    assert [float(x) for x in column(browser)] == ordered[:-26:-1]
    assert browser.evaluate("[...document.querySelectorAll('.every [aria-pressed=true]')].map((b) => b.textContent)") == ["best first"]
    click(browser, "preference, untouched")
    assert [float(x) for x in column(browser, 2)] == sorted(float(f"{value:.4g}") for value in LOST["operands"][0]["values"])[:25]
    click(browser, "preference, untouched")
    sorts = "[...document.querySelectorAll('.every th')].map((th) => th.getAttribute('aria-sort'))"
    assert browser.evaluate(sorts) == [None, None, "descending", None, None, None]
    click(browser, "template")
    assert set(column(browser, 5)) == {"template 0", "template 1"}
    fill_in(browser, ".every input", "JOHN id001")  # the tenth to the nineteenth, every second of them with John
    assert len(column(browser)) == 5
    assert all("John" in text for text in column(browser, 1))
    assert browser.evaluate("document.querySelector('.every output').value") == "5 of 5 that fit, of 60 shown"


def test_texts_are_marked_as_on_the_page(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST], [make.expectation()])
    first = browser.evaluate("document.querySelector('.every tbody tr td:nth-child(2)').innerHTML")
    assert '<b class="' in first
    assert "Mary<sub>S</sub></b>" in first or "John<sub>S</sub></b>" in first
    assert first.endswith('<small class="muted"> asked for <bdi> Mary</bdi>, not <bdi> John</bdi></small>')
    assert browser.evaluate("document.querySelectorAll('section.each > .scroll').length") == 0  # all of them stand in the worst ones' place


def test_each_check_is_chosen_by_its_name(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST, THERE], [make.expectation(label="lost"), make.expectation(label="there", kind="rate", threshold=0.5)], deciding=1)
    assert column(browser)[0] == "0"  # worst first
    select = "document.querySelector('.of-check')"
    browser.evaluate(f"(() => {{ {select}.value = '0'; {select}.dispatchEvent(new Event('change')); }})()")
    assert float(column(browser)[0]) == pytest.approx(min(LOST["values"]), rel=1e-3)
    assert browser.evaluate("document.querySelector('.each .told').textContent").startswith("60 prompts, check 1 of 2: lost")
    assert browser.evaluate(f"[...{select}.options].map((o) => o.textContent)") == [
        "check 1 of 2: lost (> 0 logits)", "check 2 of 2: there (> 0.5 logits)",
    ]  # fmt: skip


def test_the_histogram_counts_every_value(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST], [make.expectation(threshold=0.5)])
    heights = browser.evaluate("[...document.querySelectorAll('.histogram .bin')].map((bar) => Number(bar.getAttribute('height')))")
    label = browser.evaluate("document.querySelector('.histogram').getAttribute('aria-label')")
    most = int(label.rpartition(" ")[2])
    assert label.startswith(f"histogram of 60 values from {min(LOST['values']):.3g} to ")
    assert sum(round(height * most / max(heights)) for height in heights) == 60
    assert len(set(heights)) > 3
    side, threshold = browser.evaluate(
        "[document.querySelector('.histogram .side').x.baseVal.value, document.querySelector('.histogram .thr').getBBox().x]"
    )
    assert side == pytest.approx(threshold)


def test_the_ends_of_a_histogram_are_told_apart(browser: Browser, page, make: SimpleNamespace) -> None:
    page([check([10000.1, 10000.4, 10001.5], TEXTS)], [make.expectation(threshold=10000.2)])
    assert browser.evaluate("[...document.querySelectorAll('.histogram text')].map((end) => end.textContent)") == ["10000", "10002"]
    page([check([10000.1, 10000.2, 10000.3], TEXTS)], [make.expectation(threshold=10000.2)])
    assert browser.evaluate("[...document.querySelectorAll('.histogram text')].map((end) => end.textContent)") == ["10000.1", "10000.3"]


def test_counterexamples_are_marked(browser: Browser, page, make: SimpleNamespace) -> None:
    broken = make.counterexample(["When"], expectation="logit difference above 0")
    broken["prompts"][0]["id"] = TEXTS["ids"][7]
    page([LOST], [make.expectation()], counterexamples=[broken])
    click(browser, "all")
    marked = "[...document.querySelectorAll('.every tr')].filter((row) => row.querySelector('strong')).map((row) => row.cells[1].title)"
    assert browser.evaluate(marked) == [TEXTS["ids"][7]]


def test_everything_is_reached_by_the_keyboard(browser: Browser, page, make: SimpleNamespace) -> None:
    page([LOST, THERE], [make.expectation(label="lost"), make.expectation(label="there", kind="rate", threshold=0.5)], deciding=0)
    browser.evaluate("document.querySelector('.of-check').focus()")
    reached = []
    for _ in range(11):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.textContent || document.activeElement.getAttribute('aria-label')"))
    assert reached[:3] == ["filter prompts", "worst first", "best first"]
    assert [name for name in reached if name in ("prompt", "template", "25 more", "all 60")] == ["prompt", "template", "25 more", "all 60"]
    browser.press("Enter")
    assert len(column(browser)) == 60


@pytest.mark.parametrize("n", [MOST, 2 * MOST])
def test_a_histogram_is_of_all_values_also_where_the_page_has_the_worst_only(browser: Browser, page, make: SimpleNamespace, n: int) -> None:
    known = texts(n)
    page([check(values(n), known)], [make.expectation(threshold=0.5)], known=known)
    label = browser.evaluate("document.querySelector('.histogram').getAttribute('aria-label')")
    assert label.startswith(f"histogram of {n} values from {min(values(n)):.3g} to {max(values(n)):.3g}; the fullest of 32 bins has ")
    ends = browser.evaluate("[...document.querySelectorAll('.every [aria-pressed]')].map((button) => button.textContent)")
    assert ends == (["worst first", "best first"] if n == MOST else ["worst first"])
    heights = browser.evaluate("[...document.querySelectorAll('.histogram .bin')].map((bar) => Number(bar.getAttribute('height')))")
    assert sum(round(height * int(label.rpartition(" ")[2]) / max(heights)) for height in heights) == n


def test_sorting_two_thousand_is_quick(browser: Browser, page, make: SimpleNamespace) -> None:
    known = texts(2000)
    page([difference(values(2000), known)], [make.expectation()], known=known)
    start = time.perf_counter()
    for label in ("best first", "template", "preference, Patch", "worst first"):
        click(browser, label)
    assert time.perf_counter() - start < 2


def test_a_browser_that_cannot_unpack_keeps_the_worst(browser: Browser, make: SimpleNamespace, tmp_path) -> None:
    evidence = make.evidence([make.claim("c", expectations=[make.expectation()])])
    write_report(evidence, tmp_path / "index.html", told(tmp_path, TEXTS, c=[LOST]))
    browser.open(tmp_path / "index.html")
    browser.evaluate("delete globalThis.DecompressionStream")
    opened(browser, "c")
    assert "Not every prompt can be shown (DecompressionStream is not defined)." in browser.evaluate(
        "document.querySelector('.each').innerText"
    )
    assert browser.evaluate("document.querySelectorAll('.each tr').length") == 6
